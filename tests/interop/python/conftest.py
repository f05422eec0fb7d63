"""The server that the tests of one file share."""

from collections.abc import Iterator

import pytest

from server import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server(MCP__STREAMS__AFTER_MS="200", MCP__STREAMS__PROGRESS_MS="50")
    yield server
    server.kill()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
