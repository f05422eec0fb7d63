"""Servers and sites that tests share."""

from collections.abc import Iterator

import pytest

from proxies import Recipe, Site
from server import Server

# Streams soon, and word of progress often.
SETTINGS = {
    "MCP__TUNING__STREAM_AFTER_MS": "200",
    "MCP__TUNING__PROGRESS_MS": "50",
    "MCP__OAUTH__ENABLED": "true",
    "MCP__SERVER__WORKERS": "1",
}


class Servers:
    """Servers by their settings, each started when it is first asked for."""

    def __init__(self) -> None:
        self._running: dict[tuple[tuple[str, str], ...], Server] = {}

    def of(self, **settings: str) -> Server:
        key = tuple(sorted(settings.items()))
        if key not in self._running:
            self._running[key] = Server(**SETTINGS, **settings)
        return self._running[key]

    def stop(self) -> None:
        for server in self._running.values():
            server.kill()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.stop()


@pytest.fixture(scope="class")
def site(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Site]:
    """The site of a recipe, which stays for all tests of a class."""
    recipe: Recipe = request.param
    site = Site(recipe, servers.of(**recipe.settings))
    yield site
    site.stop()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
