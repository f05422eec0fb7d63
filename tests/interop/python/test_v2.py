"""Version 2 of the Python SDK, which speaks 2026-07-28 and the revisions with sessions."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.to_thread
import httpx2
import mcp_types as types
import pytest
from mcp import Client, ClientSession
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ToolsListChanged
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from every_client import (
    CREATE,
    LIST,
    EveryClient,
    EverySessionClient,
    EverySseClient,
    EveryStreamableClient,
    Json,
    Visit,
    create_and_find,
    enable,
    in_time,
    names,
    new_user,
    texts,
    wire,
)
from server import USED, Server

MODERN = "2026-07-28"
# Nobody listens there: the test looks at where it is sent.
CALLBACK = "http://localhost:9/callback"


class Guest:
    def __init__(self) -> None:
        self._tell, self._changes = anyio.create_memory_object_stream[None](100)
        self.client: Client | ClientSession
        self.revision: str | None = None
        self.server_name: str | None = None

    async def hear(self, message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            await self._tell.send(None)

    async def list(self) -> list[Json]:
        listed = wire(await self.client.list_tools())
        # A client that never asked who is there is told with every result.
        info = listed.get("_meta", {}).get("io.modelcontextprotocol/serverInfo", {})
        self.server_name = info.get("name", self.server_name)
        return listed["tools"]

    async def call(self, name: str, arguments: Json | None = None, on_progress: Any = None) -> Json:
        return wire(await self.client.call_tool(name, arguments, progress_callback=on_progress))

    async def changed(self) -> None:
        await self._changes.receive()


class Subscriber(Guest):
    """Hears of changes by a subscription, as there is no session to hear them from."""

    subscription: Any

    async def changed(self) -> None:
        assert isinstance(await anext(self.subscription), ToolsListChanged)


@asynccontextmanager
async def connect(transport: Any, mode: str, guest: Guest) -> AsyncIterator[Guest]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(transport, mode=mode, message_handler=guest.hear))
        guest.client = client
        guest.revision = client.protocol_version
        guest.server_name = client.server_info.name if client.server_info else None
        if isinstance(guest, Subscriber):
            guest.subscription = await stack.enter_async_context(client.listen(tools_list_changed=True))
        yield guest


@asynccontextmanager
async def streamable(visit: Visit) -> AsyncIterator[Any]:
    """The transport."""
    async with (
        httpx2.AsyncClient(headers=visit.all_headers(), event_hooks=visit.hooks()) as http,
        streamable_http_client(
            visit.url(visit.path), http_client=http, terminate_on_close=visit.ends_session
        ) as streams,
    ):
        yield streams


@pytest.mark.anyio
class EveryResoluteClient:
    """What this version adds over Streamable HTTP: it says that it no longer wants an answer."""

    async def test_it_gives_up_a_slow_call_which_is_then_given_up_upstream(self, server: Server) -> None:
        async with self.enter(Visit(server, new_user(["sandbox-faults", "google-calendar"]))) as guest:
            before = server.abandoned()
            with anyio.CancelScope() as scope:

                async def on_progress(progress: float, total: float | None, message: str | None) -> None:
                    scope.cancel()

                await guest.call("sandbox-faults_sleep", {"ms": 60_000}, on_progress)
            assert scope.cancelled_caught
            # In a thread, so that the client gets to say it.
            while await anyio.to_thread.run_sync(server.abandoned) <= before:
                pass
            await create_and_find(guest)


class TestModern(EveryClient, EveryStreamableClient, EveryResoluteClient):
    """Finds 2026-07-28 by itself."""

    agreed = MODERN
    is_stateless = True
    mode = "auto"

    @asynccontextmanager
    async def enter(self, visit: Visit) -> AsyncIterator[Subscriber]:
        async with in_time(), connect(streamable(visit), self.mode, Subscriber()) as guest:
            yield guest

    @pytest.mark.anyio
    async def test_it_has_every_tool_at_hand_without_a_chat(self, server: Server) -> None:
        async with self.enter(Visit(server, new_user(), {"mode": "dynamic"})) as guest:
            enabled = await enable(guest, LIST)
            assert texts(enabled)[0].startswith("Tools enabled for calls by name")
            assert [tool["name"] for tool in enabled["structuredContent"]["tools"]] == [LIST]
            assert await names(guest) == ["enable-tools"]
            await create_and_find(guest)

    @pytest.mark.anyio
    async def test_it_repeats_the_arguments_in_headers_that_a_tool_asks_for(self, server: Server) -> None:
        visit = Visit(server, new_user(["test"]))
        async with self.enter(visit) as guest:
            assert "test_broken_headers" in await names(guest)
            result = await guest.call("test_custom_headers", {"region": "us-west1", "query": "q", "priority": 3})
            assert not result.get("isError"), result
        assert visit.posts[-1].headers["mcp-param-region"] == "us-west1"

    @pytest.mark.anyio
    async def test_it_is_told_when_the_server_ends_its_subscription(self) -> None:
        brief = Server()
        try:
            async with self.enter(Visit(brief, new_user())) as guest:
                brief.drain()
                with pytest.raises(StopAsyncIteration):
                    await anext(guest.subscription)
        finally:
            brief.kill()

    @pytest.mark.anyio
    async def test_it_goes_on_with_what_a_session_of_its_chat_enabled(self, server: Server) -> None:
        chat = Visit(server, new_user(), {"mode": "dynamic"}, {"x-chat-id": "tea"})
        async with TestStreamableHttp().enter(chat) as first:
            # At its first call of a tool that it has not seen, the client lists the tools. After the change, that list
            # would be all that it is owed.
            assert await names(first) == ["enable-tools"]
            await enable(first, CREATE, LIST)
            await first.changed()
            async with self.enter(Visit(server, chat.token, chat.query, chat.headers)) as second:
                assert await names(second) == ["enable-tools", CREATE, LIST]
                await create_and_find(second)
                await enable(second, LIST)
                await first.changed()
                assert await names(first) == ["enable-tools", LIST]


class TestPinned(TestModern):
    """Insists on 2026-07-28, without asking for it first."""

    mode = MODERN


class TestStreamableHttp(EveryClient, EveryStreamableClient, EveryResoluteClient, EverySessionClient):
    agreed = "2025-11-25"
    # Its own word for a 404 that is not typed as JSON, where it does not know that there was a session.
    session_lost = -32601

    @asynccontextmanager
    async def enter(self, visit: Visit) -> AsyncIterator[Guest]:
        guest = Guest()
        if visit.session_id is None:
            async with in_time(), connect(streamable(visit), "legacy", guest):
                yield guest
        else:
            async with in_time(), streamable(visit) as streams, ClientSession(*streams) as guest.client:
                yield guest

    @pytest.mark.anyio
    async def test_it_goes_on_with_what_2026_07_28_enabled_in_its_chat(self, server: Server) -> None:
        chat = Visit(server, new_user(), {"mode": "dynamic"}, {"x-chat-id": "tea"})
        async with TestModern().enter(chat) as first:
            await enable(first, CREATE, LIST)
        assert chat.session_id is None
        async with self.enter(Visit(server, chat.token, chat.query, chat.headers)) as second:
            assert await names(second) == ["enable-tools", CREATE, LIST]
            await create_and_find(second)


class TestSse(EveryClient, EverySseClient):
    agreed = "2025-11-25"
    mode = "legacy"
    streamable = TestStreamableHttp()

    @asynccontextmanager
    async def enter(self, visit: Visit) -> AsyncIterator[Guest]:
        def make(**options: Any) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(event_hooks=visit.hooks(), **options)

        transport = sse_client(visit.url("/sse"), headers=visit.all_headers(), httpx_client_factory=make)
        async with in_time(), connect(transport, self.mode, Guest()) as guest:
            yield guest


class TestSseAfterModern(TestSse):
    """Looks for 2026-07-28 first, and finds a session."""

    mode = "auto"


class Tokens:
    """What the client was given, kept for as long as the test."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class SigningIn:
    """A client's own way to a token, whose user says yes. `http` says how the user's browser asks."""

    def __init__(self, url: str, **http: Any) -> None:
        self.tokens = Tokens()
        self.http = http
        self.back: dict[str, str] = {}
        client = OAuthClientMetadata(redirect_uris=[CALLBACK], client_name="test", token_endpoint_auth_method="none")
        self.oauth = OAuthClientProvider(
            url, client, self.tokens, redirect_handler=self.browse, callback_handler=self.come_back
        )

    async def browse(self, url: str) -> None:
        """What a browser does: it follows redirects until one leads back to the client."""
        async with httpx2.AsyncClient(**self.http) as http:
            while not url.startswith(CALLBACK):
                url = (await http.get(url)).headers["location"]
        self.back.update({name: values[0] for name, values in parse_qs(urlsplit(url).query).items()})

    async def come_back(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(code=self.back["code"], state=self.back["state"], iss=self.back.get("iss"))

    def must_have_a_token(self) -> None:
        assert self.tokens.tokens
        # Neither may show in the log.
        USED.update([self.tokens.tokens.access_token.rsplit(".", 1)[-1], self.back["code"]])


@pytest.mark.anyio
async def test_it_finds_its_own_way_to_a_token() -> None:
    server = Server(MCP__OAUTH__ENABLED="true")
    url = f"{server.url}/mcp"
    way = SigningIn(url)
    async with (
        in_time(),
        httpx2.AsyncClient(auth=way.oauth) as http,
        Client(streamable_http_client(url, http_client=http)) as connected,
    ):
        assert len((await connected.list_tools()).tools) > 10
        result = await connected.call_tool("slack_list-channels", {})
        assert not result.is_error
    way.must_have_a_token()
    server.kill()


@pytest.mark.anyio
async def test_the_example_of_an_agent_answers_its_chats() -> None:
    server = Server()
    example = Path(__file__).parents[3] / "docs/examples/agent.py"
    environment = {"MCP_URL": f"{server.url}/mcp", "MCP_TOKEN": new_user()}
    ran = await anyio.run_process([sys.executable, str(example)], env=environment)
    said = ran.stdout.decode()
    assert "chat-1: run-read-tool" in said and "chat-2: run-write-tool" in said, said
    assert '"channels":[' in said and "kim@example.com" in said, said
    server.kill()


async def sign_in(link: str) -> None:
    """Opens a link as a browser does, and presses the buttons on the server's page and the sandbox's."""
    headers = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
    async with httpx2.AsyncClient(headers=headers) as browser:
        page = await browser.get(link)
        assert "Connect Notion" in page.text
        onward = await browser.post(link, content="answer=go")
        assert onward.status_code == 303
        done = await browser.post(onward.headers["location"], content="account=0&answer=allow")
        assert done.status_code == 303


@pytest.mark.anyio
class TestConnecting:
    """Connects an app by the client's own elicitation, within one call."""

    @asynccontextmanager
    async def enter(self, server: Server, answer: Any) -> AsyncIterator[Client]:
        visit = Visit(server, new_user(["gmail"]), {"mode": "search"})
        async with in_time(), Client(streamable(visit), mode=MODERN, elicitation_callback=answer) as client:
            yield client

    async def test_it_connects_an_app_and_gets_the_tools_own_result(self, server: Server) -> None:
        asked: list[str] = []

        async def answer(_context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
            assert isinstance(params, types.ElicitRequestURLParams)
            asked.append(params.url)
            await sign_in(params.url)
            return types.ElicitResult(action="accept")

        async with self.enter(server, answer) as client:
            connected = wire(await client.call_tool("connect-app", {"app": "Notion"}))
            assert texts(connected)[0].startswith("Notion is connected."), connected
            assert len(asked) == 1
            run = {"name": "notion_search-pages", "arguments": {"query": "a"}}
            assert not wire(await client.call_tool("run-read-tool", run)).get("isError")

    async def test_it_tells_the_model_where_its_user_declines(self, server: Server) -> None:
        async def answer(_context: Any, _params: Any) -> types.ElicitResult:
            return types.ElicitResult(action="decline")

        async with self.enter(server, answer) as client:
            result = wire(await client.call_tool("connect-app", {"app": "notion"}))
            assert "does not want to connect Notion" in texts(result)[0]
