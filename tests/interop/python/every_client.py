"""What every client must see, whichever version of the SDK, transport and revision it speaks.

A dialect's `enter` is a context manager that connects a client and gives it as a `Guest`. Each test is a user of its
own, so that one server does for all of them.
"""

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

import anyio
import pytest

from server import PATIENCE, Server, token

Json = Any

EVENT = {
    "summary": "Tea with Bob",
    "start": {"dateTime": "2026-12-01T16:00:00Z"},
    "end": {"dateTime": "2026-12-01T16:30:00Z"},
}
CREATE, LIST = "google-calendar_create-event", "google-calendar_list-events"
SEARCH = ["search-tools", "describe-tools", "run-read-tool", "run-write-tool", "connect-app"]


@dataclass
class Visit:
    """Who comes, to what, and what HTTP answered."""

    server: Server
    token: str | None = None
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    path: str = "/mcp"
    session_id: str | None = None
    # Whether the session ends with the visit.
    ends_session: bool = True
    statuses: list[int] = field(default_factory=list)
    posts: list[Any] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"{self.server.url}{path}" + (f"?{urlencode(self.query)}" if self.query else "")

    def all_headers(self) -> dict[str, str]:
        bearer = {"authorization": f"Bearer {self.token}"} if self.token else {}
        session = {"mcp-session-id": self.session_id} if self.session_id else {}
        return {**bearer, **session, **self.headers}

    def hooks(self) -> dict[str, list[Callable[..., Awaitable[None]]]]:
        """For the HTTP client: they note what happens."""

        async def before(request: Any) -> None:
            if request.method == "POST":
                self.posts.append(request)

        async def after(response: Any) -> None:
            self.statuses.append(response.status_code)
            self.session_id = response.headers.get("mcp-session-id", self.session_id)

        return {"request": [before], "response": [after]}


class Guest(Protocol):
    """A client that is connected. Lists and results come as they were on the wire."""

    revision: str | None
    server_name: str | None

    async def list(self) -> list[Json]: ...

    async def call(self, name: str, arguments: Json | None = None, on_progress: Any = None) -> Json: ...

    async def changed(self) -> None:
        """Waits for the next list_changed."""
        ...


def wire(model: Any) -> Json:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def new_user(connections: Sequence[str] | None = None) -> str:
    """The token of someone who has not been here before."""
    return token(f"user-{uuid.uuid4()}", connections)


async def names(guest: Guest) -> list[str]:
    return [tool["name"] for tool in await guest.list()]


async def enable(guest: Guest, *tools: str) -> Json:
    return await guest.call("enable-tools", {"tools": list(tools)})


def texts(result: Json) -> list[str]:
    return [block["text"] for block in result["content"]]


async def create_and_find(guest: Guest) -> None:
    created = await guest.call(CREATE, EVENT)
    assert not created.get("isError"), created
    listed = await guest.call(LIST)
    events = listed["structuredContent"]["events"]
    assert [event["summary"] for event in events].count(EVENT["summary"]) == 1


class Failure:
    """What went wrong, out of the groups that task groups make."""

    error: BaseException | None = None

    @property
    def code(self) -> int:
        """The JSON-RPC code."""
        return self.error.error.code  # type: ignore[union-attr]


@asynccontextmanager
async def fails() -> AsyncIterator[Failure]:
    """Expects one failure, and nothing but an error: that time has run out is none."""
    failure = Failure()
    try:
        yield failure
    except Exception as error:
        while isinstance(error, ExceptionGroup):
            [error] = error.exceptions
        assert not isinstance(error, (TimeoutError, AssertionError)), error
        failure.error = error
    if failure.error is None:
        pytest.fail("nothing failed")


@pytest.mark.anyio
class EveryClient:
    # The revision.
    agreed: str
    # Whether there are no sessions.
    is_stateless = False

    def enter(self, visit: Visit) -> Any:
        raise NotImplementedError

    def dynamic(self, visit: Visit) -> Visit:
        """In dynamic mode; without sessions it is the chat that keeps the enabled tools."""
        visit.query["mode"] = "dynamic"
        if self.is_stateless:
            visit.headers["x-chat-id"] = str(uuid.uuid4())
        return visit

    async def test_it_agrees_on_a_revision_and_lists_the_tools(self, server: Server) -> None:
        async with self.enter(Visit(server, new_user())) as guest:
            assert guest.revision == self.agreed
            tools = {tool["name"]: tool for tool in await guest.list()}
            assert tools[CREATE]["title"] == "Google Calendar: Create Event"
            assert tools[CREATE]["inputSchema"]["required"] == ["summary", "start", "end"]
            assert guest.server_name == "Integration App MCP Server"

    async def test_it_calls_a_tool_and_finds_what_it_did(self, server: Server) -> None:
        async with self.enter(Visit(server, new_user())) as guest:
            await create_and_find(guest)

    async def test_it_gets_the_failure_of_a_tool_as_a_result(self, server: Server) -> None:
        async with self.enter(Visit(server, new_user(["sandbox-faults", "google-calendar"]))) as guest:
            failed = await guest.call("sandbox-faults_fail-400")
            assert failed["isError"] is True
            assert "not a valid email address" in texts(failed)[0]

            invalid = await guest.call(CREATE, {**EVENT, "summary": 7})
            assert invalid["isError"] is True
            assert "/summary" in texts(invalid)[0]

    async def test_it_gets_a_protocol_error_with_its_code_and_goes_on(self, server: Server) -> None:
        async with self.enter(Visit(server, new_user())) as guest:
            async with fails() as failure:
                await guest.call("no-such_tool")
            assert failure.code == -32602
            await create_and_find(guest)

    async def test_it_searches_for_a_tool_and_runs_what_it_finds(self, server: Server) -> None:
        async with self.enter(Visit(server, new_user(), {"mode": "search"})) as guest:
            assert await names(guest) == SEARCH
            found = await guest.call("search-tools", {"query": "put a meeting in my Google calendar"})
            assert json.loads(texts(found)[0])["tools"][0]["name"] == CREATE
            created = await guest.call("run-write-tool", {"name": CREATE, "arguments": EVENT})
            assert not created.get("isError"), created
            listed = await guest.call("run-read-tool", {"name": LIST, "fields": ["events[].summary"]})
            assert {"summary": EVENT["summary"]} in json.loads(texts(listed)[0])["events"]
            refused = await guest.call("run-read-tool", {"name": CREATE, "arguments": EVENT})
            assert refused["isError"] is True

    async def test_it_enables_tools_and_is_told_that_the_list_changed(self, server: Server) -> None:
        async with self.enter(self.dynamic(Visit(server, new_user()))) as guest:
            assert await names(guest) == ["enable-tools"]
            async with fails() as failure:
                await guest.call(CREATE, EVENT)
            assert failure.code == -32602

            enabled = texts(await enable(guest, CREATE, LIST, "no-such_tool"))
            assert enabled[0] == "Tools enabled"
            assert "no-such_tool" in enabled[1]
            await guest.changed()
            assert await names(guest) == ["enable-tools", CREATE, LIST]
            await create_and_find(guest)

            await enable(guest, LIST)
            await guest.changed()
            assert await names(guest) == ["enable-tools", LIST]

    async def test_it_sees_and_calls_nothing_but_the_tools_of_the_apps_it_names(self, server: Server) -> None:
        async with self.enter(Visit(server, new_user(), {"apps": "gmail, slack"})) as guest:
            assert {name.split("_")[0] for name in await names(guest)} == {"gmail", "slack"}
            async with fails() as failure:
                await guest.call(CREATE, EVENT)
            assert failure.code == -32602

    @pytest.mark.parametrize("bad", ["none", "malformed", "forged"])
    async def test_it_is_not_let_in_without_a_good_token(self, server: Server, bad: str) -> None:
        visit = Visit(server, {"none": None, "malformed": "no-token", "forged": new_user() + "x"}[bad])
        async with fails():
            async with self.enter(visit) as guest:
                await guest.list()
        assert visit.statuses[0] == 401

    async def test_it_comes_in_with_a_token_in_the_url(self, server: Server) -> None:
        async with self.enter(Visit(server, query={"token": new_user()})) as guest:
            await create_and_find(guest)


@pytest.mark.anyio
class EveryStreamableClient:
    """What Streamable HTTP adds, in every era."""

    async def test_it_hears_of_the_progress_of_a_slow_call(self, server: Server) -> None:
        heard: list[float] = []

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            heard.append(progress)

        async with self.enter(Visit(server, new_user(["sandbox-faults"]))) as guest:
            result = await guest.call("sandbox-faults_sleep", {"ms": 1000}, on_progress)
            assert not result.get("isError"), result
            assert len(heard) > 1 and heard == sorted(heard)


@pytest.mark.anyio
class EverySessionClient:
    """What Streamable HTTP with sessions adds."""

    # The code that this version shows for a session that is not found.
    session_lost: int

    async def test_it_goes_on_with_its_session_over_a_new_connection(self, server: Server) -> None:
        visit = Visit(server, new_user(), {"mode": "dynamic"}, ends_session=False)
        async with self.enter(visit) as guest:
            await enable(guest, LIST)
        assert visit.session_id
        again = Visit(server, visit.token, visit.query, session_id=visit.session_id)
        async with self.enter(again) as guest:
            assert await names(guest) == ["enable-tools", LIST]
            assert "events" in (await guest.call(LIST))["structuredContent"]
        assert again.session_id == visit.session_id

    async def test_it_ends_its_session_which_is_not_found_from_then_on(self, server: Server) -> None:
        visit = Visit(server, new_user())
        async with self.enter(visit) as guest:
            await guest.list()
        again = Visit(server, visit.token, session_id=visit.session_id)
        async with fails() as failure:
            async with self.enter(again) as guest:
                await guest.list()
        assert failure.code == self.session_lost
        assert again.statuses[0] == 404

    async def test_it_takes_over_the_tools_of_its_chat_in_a_new_session(self, server: Server) -> None:
        chat = {"query": {"mode": "dynamic"}, "headers": {"x-chat-id": "tea"}}
        first = Visit(server, new_user(), **chat)
        second = Visit(server, first.token, **chat)
        async with self.enter(first) as guest:
            await enable(guest, LIST)
            async with self.enter(second) as other:
                assert await names(other) == ["enable-tools", LIST]
        assert first.session_id != second.session_id


@pytest.mark.anyio
class EverySseClient:
    """What HTTP+SSE adds."""

    # The dialect of the same version for Streamable HTTP.
    streamable: Any

    async def test_it_is_sent_back_from_streamable_http_to_sse(self, server: Server) -> None:
        wrong = Visit(server, new_user(), path="/sse")
        async with fails():
            async with self.streamable.enter(wrong) as guest:
                await guest.list()
        assert set(wrong.statuses) == {405}
        async with self.enter(Visit(server, wrong.token)) as guest:
            await create_and_find(guest)

    async def test_it_posts_with_the_token_in_the_url_only_if_that_is_how_it_came(self, server: Server) -> None:
        by_query = Visit(server, query={"token": new_user()})
        by_header = Visit(server, by_query.query["token"])
        for visit, expected in [(by_query, [by_header.token]), (by_header, None)]:
            async with self.enter(visit) as guest:
                await guest.list()
            queries = [parse_qs(urlsplit(str(post.url)).query) for post in visit.posts]
            assert queries and all(query.get("token") == expected for query in queries)


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    with anyio.fail_after(PATIENCE):
        yield
