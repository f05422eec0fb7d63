"""The official clients below a path: from no token at all to a tool's result."""

import os
import socket
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

from proxies import NAME, Site, certificate, trust
from server import PATIENCE, USED
from test_recipes import PATHS
from test_v2 import CALLBACK, Tokens
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
        back: dict[str, str] = {}

        async def browse(url: str) -> None:
            """What a browser does, whose user says yes: it follows redirects until one leads back to the client."""
            async with httpx2.AsyncClient(verify=trust()) as http:
                while not url.startswith(CALLBACK):
                    url = (await http.get(url)).headers["location"]
            back.update({name: values[0] for name, values in parse_qs(urlsplit(url).query).items()})

        async def come_back() -> AuthorizationCodeResult:
            return AuthorizationCodeResult(code=back["code"], state=back["state"], iss=back.get("iss"))

        metadata = OAuthClientMetadata(redirect_uris=[CALLBACK], client_name="test", token_endpoint_auth_method="none")
        tokens, url = Tokens(), f"{site.base}/mcp"
        oauth = OAuthClientProvider(url, metadata, tokens, redirect_handler=browse, callback_handler=come_back)
        with anyio.fail_after(PATIENCE):
            async with (
                httpx2.AsyncClient(auth=oauth, verify=trust()) as http,
                Client(streamable_http_client(url, http_client=http)) as client,
            ):
                assert LIST in [tool.name for tool in (await client.list_tools()).tools]
                assert not (await client.call_tool(LIST, {})).is_error
        assert tokens.tokens
        USED.update([tokens.tokens.access_token.rsplit(".", 1)[1], back["code"]])

    def test_typescript_finds_the_way_to_a_token_and_calls_a_tool(self, site: Site) -> None:
        bearer = Visitor(site).token
        assert bearer
        command = ["node", str(TYPESCRIPT / "visit.mjs"), site.base, bearer]
        env = {**os.environ, "NODE_EXTRA_CA_CERTS": str(certificate() / "crt")}
        ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE)
        assert ran.returncode == 0, ran.stderr
