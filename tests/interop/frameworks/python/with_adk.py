"""Google's Agent Development Kit."""

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import MagicMock

from google.adk.agents import LlmAgent
from google.adk.models import Gemini
from google.adk.runners import InMemoryRunner
from google.adk.tools.mcp_tool import McpToolset, StreamableHTTPConnectionParams

from vendors import refused

os.environ["GOOGLE_API_KEY"] = "none"
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

    async def ask(self, at: str) -> None:
        model = Gemini(model="gemini-3-pro", base_url=f"{at}/gemini")
        agent = LlmAgent(name="test", model=model, tools=[self.toolset])
        await refused(InMemoryRunner(agent).run_debug("Hello", quiet=True))

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
