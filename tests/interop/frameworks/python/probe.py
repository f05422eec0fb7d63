"""What an agent framework makes of this server: `probe.py FRAMEWORK FACTS`, where FACTS is the file to write.

What every framework must do is asserted. How it does the rest is observed, and told in words that docs/clients.md has in
its table: a framework that behaves otherwise from some version on fails the comparison with that table.
"""

import asyncio
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "python"))

from server import PATIENCE, Server, token  # noqa: E402
from vendors import Vendors  # noqa: E402

Json = Any
CREATE, LIST, FIND = (f"google-calendar_{action}" for action in ("create-event", "list-events", "search-events"))
EVENT = {
    "summary": "Tea with Bob",
    "start": {"dateTime": "2026-12-01T16:00:00Z"},
    "end": {"dateTime": "2026-12-01T16:30:00Z"},
}
# Longer than all time limits that frameworks are known to have.
LONG_S = 70
# Long enough to connect on a busy machine, and over before the long call is.
RENEWAL_S = 50
# What is listed in these is put before vendors of models.
MODES = ("", "?mode=search", "?mode=dynamic")


class NotListed(Exception):
    """The framework has no such tool at hand, so that no model could call it."""


def sandbox() -> Path:
    """A folder of the sandbox's apps, one of whose actions may take as long as is asked for, and of one with odd schemas."""
    folder = Path(tempfile.mkdtemp()) / "apps"
    shutil.copytree(HERE.parents[3] / "config/sandbox", folder)
    faults = folder / "sandbox-faults.json"
    faults.write_text(faults.read_text().replace('"maximum": 60000', '"maximum": 120000'))
    schemas = json.loads((HERE.parents[2] / "vendors/fixtures.json").read_text())
    actions = [
        {"key": f"do-{i}", "name": f"Do {i}", "description": "", "type": "connector-operation", "inputSchema": schema, "run": {"do": "nothing"}}
        for i, schema in enumerate(schemas)
    ]
    odd = {"integration": {"key": "odd", "name": "Odd", "logoUri": "https://example.com/odd.svg"}, "actions": actions}
    (folder / "odd.json").write_text(json.dumps(odd))
    return folder


def revisions() -> set[str]:
    """Collects the revisions that requests of this process name from now on."""
    seen: set[str] = set()
    for library in ("httpx", "httpx2"):
        try:
            client = importlib.import_module(library).AsyncClient
        except ImportError:
            continue

        def spy(send: Any = client.send) -> Any:
            async def sends(self: Any, request: Any, **options: Any) -> Any:
                if found := request.headers.get("mcp-protocol-version"):
                    seen.add(found)
                return await send(self, request, **options)

            return sends

        client.send = spy()
    return seen


def user(connections: list[str] | None = None, **options: Any) -> Callable[[], dict[str, str]]:
    """The headers of someone who has not been here before."""
    headers = {"authorization": f"Bearer {token(f'user-{uuid.uuid4()}', connections, **options)}"}
    return lambda: headers


def short(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


class Probe:
    def __init__(self, name: str) -> None:
        self.framework = importlib.import_module(f"with_{name}")
        self.facts: dict[str, str] = {}
        self.asked: dict[str, Any] = {}
        self.vendors = Vendors()
        self.apps = sandbox()
        self.settings = {"MCP__SANDBOX__CATALOG": str(self.apps), "MCP__SERVER__WORKERS": "1", "MCP__TUNING__RUN_TIMEOUT_MS": "90000", "MCP__LOG__FILTER": "info"}
        self.server = Server(**self.settings)

    def open(self, query: str = "", headers: Any = dict, server: Server | None = None, patient: bool = True) -> Any:
        return self.framework.connect(f"{(server or self.server).url}/mcp{query}", headers, patient)

    async def basics(self) -> None:
        async with self.open(headers=user()) as client:
            names = await client.names()
            assert {CREATE, LIST} <= set(names), names
            self.facts["list"] = str(len(names))
            done = await client.call(CREATE, EVENT)
            assert not done["failed"], done
            found = await client.call(LIST, {})
            assert EVENT["summary"] in found["text"], found
            self.facts["structured"] = "apart" if found["structured"] else "as text"
        async with self.open(f"?token={user()()['authorization'].split()[1]}") as client:
            assert LIST in await client.names()
            self.facts["query"] = "yes"

    async def forms(self) -> None:
        files = [json.loads(file.read_text()) for file in self.apps.iterdir()]
        apps = [app["integration"]["key"] for file in files for app in (file if isinstance(file, list) else [file])]
        for query in MODES:
            async with self.open(query, user(apps)) as client:
                names = await client.names()
                await client.ask(self.vendors.url)
                self.asked[query] = {"names": names, "tools": self.vendors.take()}

    async def failures(self) -> None:
        async with self.open(headers=user(["sandbox-faults", "google-calendar"])) as client:
            await client.names()
            told = await client.call("sandbox-faults_fail-400", {"email": "x"})
            assert told["failed"] and "not a valid email address" in told["text"], told
            invalid = await client.call(CREATE, {**EVENT, "summary": {"no": "text"}})
            assert invalid["failed"] and "summary" in invalid["text"], invalid
            self.facts["failed"] = told["failed"]
            # As long as the server lets an output be, by the default of outputs.max_tokens.
            large = await client.call("sandbox-faults_large-output", {})
            assert len(large["text"]) > 60_000, f"{len(large['text'])} characters of a large result"

    async def dynamic(self) -> None:
        async def enable(headers: Any) -> bool:
            async with self.open("?mode=dynamic", headers) as client:
                assert await client.names() == ["enable-tools"]
                enabled = await client.call("enable-tools", {"tools": [LIST]})
                assert not enabled["failed"] and ("Tools enabled" in enabled["text"] or LIST in enabled["text"]), enabled
                # A notification may be on its way. What no notification reaches stays as it is however long one waits.
                end = time.monotonic() + 3
                while LIST not in await client.names() and time.monotonic() < end:
                    await asyncio.sleep(0.1)
                if LIST not in await client.names():
                    return False
                assert "events" in (await client.call(LIST, {}))["text"]
                return True

        bare = user()
        if await enable(bare):
            self.facts["dynamic"] = "yes"
            return
        chat = {**user()(), "x-chat-id": "tea"}
        if await enable(lambda: chat):
            self.facts["dynamic"] = "with `x-chat-id`"
            return
        async with self.open("?mode=dynamic", lambda: chat) as client:
            again = LIST in await client.names()
        self.facts["dynamic"] = "with `x-chat-id`, after connecting anew" if again else "no: never lists what was enabled"

    async def search(self) -> None:
        async with self.open("?mode=search", user()) as client:
            assert {"search-tools", "run-read-tool"} <= set(await client.names())
            hits = await client.call("search-tools", {"query": "list calendar events"})
            assert LIST in hits["text"], hits
            ran = await client.call("run-read-tool", {"name": LIST, "arguments": {}})
            assert not ran["failed"] and "events" in ran["text"], ran
            self.facts["search"] = "yes"

    async def restart(self) -> None:
        kept = {"MCP__STORE__PATH": tempfile.mkdtemp()}
        first = Server(**self.settings, **kept)
        headers = user()
        async with self.open(headers=headers, server=first) as client:
            await client.names()
            await client.call(LIST, {})
            await asyncio.to_thread(first.kill)
            second = await asyncio.to_thread(lambda: Server(**self.settings, **kept, PORT=first.url.rsplit(":", 1)[1]))
            try:
                after = await client.call(LIST, {})
                assert not after["failed"], after
                self.facts["restart"] = "goes on"
            except Exception as error:
                print("restart:", short(error), file=sys.stderr)
                async with self.open(headers=headers, server=second) as anew:
                    await anew.names()
                    assert not (await anew.call(LIST, {}))["failed"]
                self.facts["restart"] = "goes on after one failed call" if await self.works(client) else "connect anew"
        await asyncio.to_thread(second.kill)

    async def works(self, client: Any) -> bool:
        try:
            return not (await client.call(LIST, {}))["failed"]
        except Exception:
            return False

    async def renewal(self) -> None:
        name = f"user-{uuid.uuid4()}"
        old, new = (f"Bearer {token(name, None, seconds)}" for seconds in (RENEWAL_S, 3600))
        current = {"authorization": old}
        async with self.open(headers=lambda: dict(current)) as client:
            await client.names()
            assert not (await client.call(LIST, {}))["failed"]
            current["authorization"] = new
            while await asyncio.to_thread(self.is_taken, old):
                await asyncio.sleep(0.2)
            try:
                after = await client.call(LIST, {})
                assert not after["failed"], after
                self.facts["renewal"] = self.framework.RENEWAL
            except Exception as error:
                print("renewal:", short(error), file=sys.stderr)
                self.facts["renewal"] = "connect anew"

    def is_taken(self, authorization: str) -> bool:
        request = urllib.request.Request(f"{self.server.url}/mcp/sessions", headers={"authorization": authorization})
        try:
            with urllib.request.urlopen(request):
                return True
        except urllib.error.HTTPError as error:
            assert error.code == 401
            return False

    async def long(self) -> None:
        async def takes(patient: bool) -> str:
            begun = time.monotonic()
            try:
                async with self.open(headers=user(["sandbox-faults"]), patient=patient) as client:
                    await client.names()
                    begun = time.monotonic()
                    slept = await client.call("sandbox-faults_sleep", {"ms": LONG_S * 1000})
                    if not slept["failed"]:
                        return "yes"
            except Exception as error:
                print("long:", short(error), file=sys.stderr)
            # To the limit that was meant: it fires a little late, and later on a busy machine.
            passed = time.monotonic() - begun
            return f"{max(limit for limit in (0, 3, 5, 10, 30, 60) if limit <= passed)} s"

        short_of, patient = await asyncio.gather(takes(False), takes(True))
        if short_of == "yes":
            self.facts["long"] = "yes"
        else:
            assert patient == "yes", f"a long call ends after {patient}, with {self.framework.PATIENCE}"
            self.facts["long"] = f"{short_of}; longer with {self.framework.PATIENCE}"

    async def watch(self, running: dict[Any, str], seconds: float) -> None:
        done, late = await asyncio.wait(running, timeout=seconds)
        self.failed += [f"{running[task]}: no end of it" for task in late]
        self.failed += [f"{running[task]}: {short(error)}" for task in done if (error := task.exception())]

    async def run(self, seen: set[str], out: Path) -> None:
        only = os.environ.get("ONLY", "").split()
        wanted = lambda scenarios: [s for s in scenarios if not only or s.__name__ in only]
        self.failed: list[str] = []
        # Limits on time would fire late beside these, which keep the processor busy.
        for scenario in wanted([self.basics, self.failures, self.dynamic, self.search, self.restart, self.forms]):
            # Some frameworks don't let themselves be cancelled.
            await self.watch({asyncio.create_task(scenario()): scenario.__name__}, 2 * PATIENCE)
        if waiting := {asyncio.create_task(s()): s.__name__ for s in wanted([self.long, self.renewal])}:
            await self.watch(waiting, LONG_S + 2 * PATIENCE)
        self.facts["revision"] = max(seen, default="2024-11-05")
        self.facts["package"], self.facts["version"] = self.framework.PACKAGE, version(self.framework.PACKAGE)
        self.facts["limits"] = self.framework.LIMITS
        out.write_text(json.dumps(self.facts, indent=2, sort_keys=True) + "\n")
        out.with_suffix(".asked").write_text(json.dumps(self.asked))
        self.server.kill()
        for failure in self.failed:
            print(f"FAILED {self.facts['package']}: {failure}", file=sys.stderr)
        sys.stderr.flush()
        # Frameworks leave threads and tasks behind, which would hold the process.
        os._exit(1 if self.failed else 0)


def main() -> None:
    name, out = sys.argv[1:]
    seen = revisions()
    asyncio.run(Probe(name).run(seen, Path(out)))


if __name__ == "__main__":
    main()
