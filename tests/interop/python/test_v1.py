"""Version 1 of the Python SDK, which speaks the revisions with sessions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
from mcp import ClientSession, types
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from every_client import (
    EveryClient,
    EverySessionClient,
    EverySseClient,
    EveryStreamableClient,
    Json,
    Visit,
    in_time,
    wire,
)


class Guest:
    def __init__(self) -> None:
        self._tell, self._changes = anyio.create_memory_object_stream[None](100)
        self.session: ClientSession
        self.revision: str | None = None
        self.server_name: str | None = None

    async def hear(self, message: Any) -> None:
        notification = message.root if isinstance(message, types.ServerNotification) else None
        if isinstance(notification, types.ToolListChangedNotification):
            await self._tell.send(None)

    async def list(self) -> list[Json]:
        return wire(await self.session.list_tools())["tools"]

    async def call(self, name: str, arguments: Json | None = None, on_progress: Any = None) -> Json:
        return wire(await self.session.call_tool(name, arguments, progress_callback=on_progress))

    async def changed(self) -> None:
        await self._changes.receive()


@asynccontextmanager
async def introduce(streams: Any, visit: Visit) -> AsyncIterator[Guest]:
    guest = Guest()
    async with ClientSession(*streams, message_handler=guest.hear) as guest.session:
        if visit.session_id is None:
            answer = await guest.session.initialize()
            guest.revision = str(answer.protocolVersion)
            guest.server_name = answer.serverInfo.name
        yield guest


class TestStreamableHttp(EveryClient, EveryStreamableClient, EverySessionClient):
    agreed = "2025-11-25"
    # It shows every 404 so.
    session_lost = 32600

    @asynccontextmanager
    async def enter(self, visit: Visit) -> AsyncIterator[Guest]:
        async with (
            in_time(),
            httpx.AsyncClient(headers=visit.all_headers(), event_hooks=visit.hooks()) as http,
            streamable_http_client(
                visit.url(visit.path), http_client=http, terminate_on_close=visit.ends_session
            ) as (read, write, _),
            introduce((read, write), visit) as guest,
        ):
            yield guest


class TestSse(EveryClient, EverySseClient):
    agreed = "2025-11-25"
    streamable = TestStreamableHttp()

    @asynccontextmanager
    async def enter(self, visit: Visit) -> AsyncIterator[Guest]:
        def make(**options: Any) -> httpx.AsyncClient:
            return httpx.AsyncClient(event_hooks=visit.hooks(), **options)

        async with (
            in_time(),
            sse_client(visit.url("/sse"), headers=visit.all_headers(), httpx_client_factory=make) as streams,
            introduce(streams, visit) as guest,
        ):
            yield guest
