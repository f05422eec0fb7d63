"""The official clients below a path: from no token at all to a tool's result."""

import os
import socket
import subprocess
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from proxies import NAME, Site, certificate, trust
from server import PATIENCE
from test_recipes import PATHS
from test_v2 import SigningIn
from visitor import LIST, Visitor

TYPESCRIPT = Path(__file__).parent.parent / "typescript"


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the name for this machine."""
    look_up = socket.getaddrinfo

    def look_up_here(host: object, *rest: object, **options: object) -> object:
        return look_up("127.0.0.1" if host in (NAME, NAME.encode()) else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_here)


@pytest.mark.parametrize("site", PATHS, indirect=True, ids=lambda recipe: recipe.title)
class TestSdks:
    @pytest.mark.anyio
    async def test_python_finds_its_own_way_to_a_token_and_calls_a_tool(self, site: Site, at_home: None) -> None:
        url = f"{site.base}/mcp"
        way = SigningIn(url, verify=trust())
        with anyio.fail_after(PATIENCE):
            async with (
                httpx2.AsyncClient(auth=way.oauth, verify=trust()) as http,
                Client(streamable_http_client(url, http_client=http)) as client,
            ):
                assert LIST in [tool.name for tool in (await client.list_tools()).tools]
                assert not (await client.call_tool(LIST, {})).is_error
        way.must_have_a_token()

    def test_typescript_finds_the_way_to_a_token_and_calls_a_tool(self, site: Site) -> None:
        bearer = Visitor(site).token
        assert bearer
        command = ["node", str(TYPESCRIPT / "visit.mjs"), site.base, bearer]
        env = {**os.environ, "NODE_EXTRA_CA_CERTS": str(certificate() / "crt")}
        ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE)
        assert ran.returncode == 0, ran.stderr
