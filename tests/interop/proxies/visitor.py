"""Client that shows what happens on the wire."""

import http.client
import itertools
import json
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from proxies import NAME, Site, trust
from server import PATIENCE, token

Json = Any

MODERN = "2026-07-28"
CREATE, LIST = "google-calendar_create-event", "google-calendar_list-events"
EVENT = {
    "summary": "Tea with Bob",
    "start": {"dateTime": "2026-12-01T16:00:00Z"},
    "end": {"dateTime": "2026-12-01T16:30:00Z"},
}


@dataclass
class Event:
    """Part of an event stream: an event, or a comment, which has no kind."""

    kind: str | None = None
    data: str = ""
    id: str | None = None

    @property
    def message(self) -> Json:
        return json.loads(self.data) if self.data.startswith("{") else {}


def events(answer: http.client.HTTPResponse) -> Iterator[Event]:
    """Reads a stream until it ends, however that comes."""
    lines: list[str] = []
    while True:
        try:
            line = answer.readline().decode()
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException):
            return
        if not line:
            return
        if line := line.rstrip("\r\n"):
            lines.append(line)
            continue
        if all(line.startswith(":") for line in lines):
            yield Event()
        else:
            fields = dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in lines)
            yield Event(fields.get("event", "message"), fields.get("data", ""), fields.get("id"))
        lines = []


class Visitor:
    """A user of their own at a site."""

    def __init__(self, site: Site, connections: Sequence[str] | None = None, query: str = "") -> None:
        self.site, self.query = site, query
        self.token: str | None = token(f"user-{uuid.uuid4()}", connections)
        self.session: str | None = None
        self._ids = itertools.count(1)

    @contextmanager
    def begin(
        self, method: str, path: str, body: Json = None, come_from: str = "127.0.0.1", **headers: str
    ) -> Iterator[http.client.HTTPConnection]:
        """Asks for a path of the whole name, on a connection that ends with the block."""
        all_headers = {
            "accept": "text/event-stream" if method == "GET" else "application/json, text/event-stream",
            **({"content-type": "application/json"} if body is not None else {}),
            **({"authorization": f"Bearer {self.token}"} if self.token else {}),
            **({"mcp-session-id": self.session} if self.session else {}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        connection = http.client.HTTPConnection(NAME, self.site.port)
        # Whatever the name says, it is this machine.
        link = socket.create_connection(("127.0.0.1", self.site.port), PATIENCE, (come_from, 0))
        connection.sock = trust().wrap_socket(link, server_hostname=NAME) if self.site.recipe.is_secure else link
        try:
            text = body if isinstance(body, str | None) else json.dumps(body)
            connection.request(method, path, text, all_headers)
            yield connection
        finally:
            connection.close()

    @contextmanager
    def ask(self, *what: Json, **options: str) -> Iterator[http.client.HTTPResponse]:
        """The same, with the answer as soon as its head is there."""
        with self.begin(*what, **options) as connection:
            yield connection.getresponse()

    def at(self, endpoint: str) -> str:
        return self.site.recipe.path + endpoint + self.query

    def request(self, method: str, params: Json) -> Json:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}

    def call(self, method: str, **params: Json) -> Json:
        """The result of a request, whichever way it comes."""
        with self.ask("POST", self.at("/mcp"), self.request(method, params)) as answer:
            assert answer.status == 200, (answer.status, answer.read())
            self.session = answer.headers.get("mcp-session-id", self.session)
            if answer.headers["content-type"].startswith("text/event-stream"):
                messages = [event.message for event in events(answer)]
            else:
                messages = [json.loads(answer.read())]
            return messages[-1]["result"]

    def tool(self, name: str, **arguments: Json) -> Json:
        return self.call("tools/call", name=name, arguments=arguments)

    def enter(self) -> "Visitor":
        """Opens a session."""
        client = {"name": "test", "version": "1"}
        self.call("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client)
        assert self.session
        return self

    @contextmanager
    def sleep(self, ms: int) -> Iterator[http.client.HTTPResponse]:
        """A call that takes so long."""
        params = {"name": "sandbox-faults_sleep", "arguments": {"ms": ms}}
        with self.ask("POST", self.at("/mcp"), self.request("tools/call", params)) as answer:
            kind = answer.headers["content-type"]
            assert (answer.status, kind) == (200, "text/event-stream"), (answer.status, answer.read())
            yield answer

    @contextmanager
    def listen(self, **headers: str) -> Iterator[http.client.HTTPResponse]:
        """The stream of the session."""
        with self.ask("GET", self.at("/mcp"), **headers) as answer:
            assert answer.status == 200, (answer.status, answer.read())
            yield answer

    def modern(self, method: str, params: Json) -> tuple[tuple[str, str, Json], dict[str, str]]:
        """Arguments of `ask` for a request of 2026-07-28: method, path and body, and headers."""
        prefix = "io.modelcontextprotocol"
        client = {"name": "test", "version": "1"}
        meta = {f"{prefix}/protocolVersion": MODERN, f"{prefix}/clientCapabilities": {}, f"{prefix}/clientInfo": client}
        params = {**params, "_meta": {**meta, **params.get("_meta", {})}}
        headers = {"mcp_protocol_version": MODERN, "mcp_method": method}
        if "name" in params:
            headers["mcp_name"] = params["name"]
        return ("POST", self.at("/mcp"), self.request(method, params)), headers
