"""Google's Agent Development Kit."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import MagicMock

from google.adk.tools.mcp_tool import McpToolset, StreamableHTTPConnectionParams

PACKAGE = "google-adk"
RENEWAL = "by `header_provider`, in a new session"
PATIENCE = "`timeout`"
LIMITS = "lists at each turn"


class Framework:
    def __init__(self, toolset: McpToolset) -> None:
        self.toolset = toolset
        self.context = MagicMock()
        self.tools: dict[str, Any] = {}

    async def names(self) -> list[str]:
        self.tools = {tool.name: tool for tool in await self.toolset.get_tools(self.context)}
        return list(self.tools)

    async def forms(self) -> dict[str, list[Any]]:
        await self.names()
        made = [tool._get_declaration().model_dump(exclude_none=True, mode="json") for tool in self.tools.values()]
        schema = [tool.get("parameters_json_schema") or tool.get("parameters") for tool in made]
        return {"Gemini": [{"name": tool["name"], "parameters": found} for tool, found in zip(made, schema)]}

    async def call(self, name: str, arguments: Any) -> dict[str, Any]:
        result = await self.tools[name].run_async(args=arguments, tool_context=self.context)
        if "content" not in result:
            raise RuntimeError(json.dumps(result))
        failed = "told to the model" if result.get("isError") else ""
        return {"failed": failed, "text": result["content"][0]["text"], "structured": result.get("structuredContent")}


@asynccontextmanager
async def connect(url: str, headers: Callable[[], dict[str, str]], patient: bool) -> AsyncIterator[Framework]:
    params = StreamableHTTPConnectionParams(url=url, **({"timeout": 100} if patient else {}))
    toolset = McpToolset(connection_params=params, header_provider=lambda context: headers())
    try:
        yield Framework(toolset)
    finally:
        await toolset.close()
