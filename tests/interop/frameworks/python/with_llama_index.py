"""LlamaIndex's tools."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec

from signing import signed
from vendors import tell

PACKAGE = "llama-index-tools-mcp"
RENEWAL = "by `http_client`, asked at each request"
PATIENCE = "`timeout`"
LIMITS = "a new session for each list and call"


class Framework:
    def __init__(self, client: BasicMCPClient) -> None:
        self.client = client
        self.tools: dict[str, Any] = {}

    async def names(self) -> list[str]:
        listed = await McpToolSpec(client=self.client).to_tool_list_async()
        self.tools = {tool.metadata.name: tool for tool in listed}
        return list(self.tools)

    async def ask(self, at: str) -> None:
        await self.names()
        made = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in self.tools.values()]
        await asyncio.to_thread(tell, f"{at}/openai", made)

    async def call(self, name: str, arguments: Any) -> dict[str, Any]:
        output = await self.tools[name].acall(**arguments)
        result = output.raw_output
        failed = "told to the model" if result.is_error else ""
        return {"failed": failed, "text": output.content, "structured": result.structured_content}


@asynccontextmanager
async def connect(url: str, headers: Callable[[], dict[str, str]], patient: bool) -> AsyncIterator[Framework]:
    http = httpx2.AsyncClient(auth=signed(httpx2.Auth, headers), timeout=httpx2.Timeout(30, read=300))
    yield Framework(BasicMCPClient(url, http_client=http, **({"timeout": 100} if patient else {})))
