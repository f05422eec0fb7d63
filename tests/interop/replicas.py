"""Two servers that share a Redis, behind a proxy, as one program: `replicas.py REDIS SERVER --sandbox`.

It starts what it needs, says where the proxy listens as the server does, and ends at SIGTERM when the servers have. Each
request goes to the next server, on a connection of its own.
"""

import asyncio
import ctypes
import itertools
import os
import re
import signal
import socket
import sys

REDIS, SERVER = sys.argv[1:3]
COUNT = 2
END = b"\r\n\r\n"

# Another process may be given the port before Redis has it; then it ends, and so does this.
PATIENCE = 20.0


def die_with_parent() -> None:
    """A process outlives its parent unless the kernel is told (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


async def start_redis() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]
    quiet = asyncio.subprocess.DEVNULL
    await asyncio.create_subprocess_exec(REDIS, *arguments, stdout=quiet, stderr=quiet, preexec_fn=die_with_parent)
    return port


class Process:
    """A server, whose log goes to this program's own but for the line that says where it listens."""

    def __init__(self) -> None:
        self.where: asyncio.Future[re.Match[str]] = asyncio.get_running_loop().create_future()

    async def start(self, *arguments: str, **settings: str) -> "Process":
        env = {**os.environ, **settings}
        pipe = asyncio.subprocess.PIPE
        quiet = asyncio.subprocess.DEVNULL
        # A log of everything has long lines.
        self.process = await asyncio.create_subprocess_exec(
            SERVER, *arguments, env=env, stderr=pipe, stdout=quiet, limit=1 << 26, preexec_fn=die_with_parent
        )
        self.log = asyncio.create_task(self.follow())
        async with asyncio.timeout(PATIENCE):
            self.port, self.upstream = (await self.where).groups()
        return self

    async def follow(self) -> None:
        assert self.process.stderr
        async for line in self.process.stderr:
            text = line.decode()
            found = re.search(r"listening on http://127\.0\.0\.1:(\d+).* upstream=(http://\S+)", text)
            if found:
                self.where.set_result(found)
            else:
                sys.stderr.write(text)
                sys.stderr.flush()


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()


async def pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ports: "itertools.cycle[str]"
) -> None:
    server = None
    try:
        head = (await reader.readuntil(END)).removesuffix(END).split(b"\r\n")
        head = [line for line in head if not line.lower().startswith(b"connection:")]
        answer, server = await asyncio.open_connection("127.0.0.1", int(next(ports)), limit=1 << 20)
        server.write(b"\r\n".join([*head, b"connection: close"]) + END)
        # Whoever goes first, client or server, the other's connection ends too.
        both = [asyncio.create_task(pump(reader, server)), asyncio.create_task(pump(answer, writer))]
        _, left = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
        if server:
            server.close()


async def main() -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    url = f"redis://127.0.0.1:{await start_redis()}"
    # It has the sandbox that all share, and takes no request itself.
    sandbox = await Process().start("--sandbox")
    settings = {"MCP__MEMBRANE__BASE_URL": sandbox.upstream, "MCP__STORE__URL": url}
    servers = [await Process().start(**settings) for _ in range(COUNT)]
    ports = itertools.cycle([server.port for server in servers])
    proxy = await asyncio.start_server(lambda *ends: pass_on(*ends, ports), "127.0.0.1", 0, limit=1 << 20)
    port = proxy.sockets[0].getsockname()[1]
    print(f"listening on http://127.0.0.1:{port} upstream={sandbox.upstream} ", file=sys.stderr, flush=True)

    await told.wait()
    proxy.close()
    for server in servers:
        server.process.send_signal(signal.SIGTERM)
    statuses = [await server.process.wait() for server in servers]
    await asyncio.gather(*(server.log for server in servers))
    # What is left of connections is done for, and must not keep this from ending.
    os._exit(max(statuses))


asyncio.run(main())
