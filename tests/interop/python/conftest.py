"""The server that the tests of one file share."""

import os
from collections.abc import Iterator

import pytest

from server import Server

# What is slow comes soon, except with a program that was built without the feature `lab`: it takes no other constants.
SOON = {"MCP__TUNING__STREAM_AFTER_MS": "200", "MCP__TUNING__PROGRESS_MS": "50"}
TUNING = {} if os.environ.get("SERVER_LACKS_LAB") else SOON


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server(**TUNING)
    yield server
    server.kill()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
