"""FastMCP's client."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from signing import signed

PACKAGE = "fastmcp"
RENEWAL = "by `auth`, asked at each request"
PATIENCE = "`timeout`"
LIMITS = "–"


class Framework:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def names(self) -> list[str]:
        return [tool.name for tool in await self.client.list_tools()]

    async def ask(self, at: str) -> None:
        """Leaves models to others."""

    async def call(self, name: str, arguments: Any) -> dict[str, Any]:
        try:
            result = await self.client.call_tool(name, arguments)
        except Exception as error:
            if type(error).__name__ != "ToolError":
                raise
            return {"failed": "raises `ToolError`", "text": str(error), "structured": None}
        return {"failed": "", "text": result.content[0].text, "structured": result.structured_content}


@asynccontextmanager
async def connect(url: str, headers: Callable[[], dict[str, str]], patient: bool) -> AsyncIterator[Framework]:
    options = {"timeout": 100} if patient else {}
    async with Client(StreamableHttpTransport(url, auth=signed(httpx2.Auth, headers)), **options) as client:
        yield Framework(client)
