"""Proxies that are told nothing but where the server is: most things work, and docs/hosting.md tells of the rest."""

import re
from dataclasses import dataclass

import pytest

from conftest import Servers
from every_site import EverySite, leave_in_silence
from proxies import NAME, Recipe, Site, eventually, recipe
from visitor import CREATE, EVENT, LIST, Visitor, events

# nginx has long asked by HTTP/1.0 where nobody said otherwise.
NGINX = "server {\n listen 8080;\n location / { proxy_pass http://127.0.0.1:3000; proxy_http_version 1.0; }\n}\n"
# As Debian has it.
HAPROXY = """
defaults
    mode http
    timeout connect 5000
    timeout client 50000
    timeout server 50000
frontend clients
    bind :443
    default_backend mcp
backend mcp
    server server-1 127.0.0.1:3000
"""
CADDY = "mcp.example.com {\n reverse_proxy 127.0.0.1:3000\n}\n"
ENVOY = """
static_resources:
  listeners:
    - address: { socket_address: { address: 0.0.0.0, port_value: 443 } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: clients
                route_config:
                  virtual_hosts:
                    - name: mcp
                      domains: ["*"]
                      routes:
                        - match: { prefix: / }
                          route: { cluster: mcp }
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
    - name: mcp
      load_assignment:
        cluster_name: mcp
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 3000 } } }
"""


@dataclass(frozen=True)
class Known:
    """Facts about the server behind a proxy: what it is told of requests, and what never gets there."""

    # Whether it learns the name by which clients ask.
    name: bool = True
    # Whether it learns the address of the client from nobody but the proxy.
    address: bool = False
    # The status of a body of two million bytes, and of a URL of nine thousand.
    large_body: int = 200
    long_url: int = 200
    # Whether it learns at once that a client has left that heard nothing yet.
    leaving: bool = True


ALLOWED = {"MCP__SERVER__ALLOWED_HOSTS": NAME}
NGINX_RECIPE = Recipe("nginx", (("nginx", NGINX),), {}, is_secure=False)
HAPROXY_RECIPE = Recipe("haproxy", (("haproxy", HAPROXY),), ALLOWED, is_secure=False)
CADDY_RECIPE = Recipe("caddy", (("caddy", CADDY),), ALLOWED)
ENVOY_RECIPE = Recipe("envoy", (("envoy", ENVOY),), ALLOWED, is_secure=False)
DEFAULTS = [NGINX_RECIPE, HAPROXY_RECIPE, CADDY_RECIPE, ENVOY_RECIPE]
KNOWN = {
    "nginx": Known(name=False, large_body=413, long_url=414),
    "haproxy": Known(leaving=False),
    "caddy": Known(address=True),
    "envoy": Known(),
}

of_each = pytest.mark.parametrize("recipe", DEFAULTS, ids=lambda recipe: recipe.title)


@pytest.mark.parametrize("site", DEFAULTS, indirect=True, ids=lambda recipe: recipe.title)
class TestDefaults(EverySite):
    def test_discovery_names_what_the_server_was_asked_for(self, site: Site) -> None:
        # Nobody told the server to believe in proxies, so that it does not know of TLS.
        name = f"{NAME}:{site.port}" if KNOWN[site.recipe.kind].name else site.server.url.removeprefix("http://")
        assert pointer(site) == f"http://{name}/.well-known/oauth-protected-resource/mcp"

    def test_a_large_body_and_a_long_url(self, site: Site) -> None:
        known = KNOWN[site.recipe.kind]
        visitor = Visitor(site).enter()
        body = visitor.request("tools/call", {"name": CREATE, "arguments": {**EVENT, "summary": "x" * 2_000_000}})
        with visitor.ask("POST", visitor.at("/mcp"), body) as answer:
            assert answer.status == known.large_body
        long = "?apps=" + ",".join(["google-calendar"] * 560)
        with visitor.ask("POST", f"/mcp{long}", visitor.request("tools/list", {})) as answer:
            assert answer.status == known.long_url

    def test_a_client_that_leaves_in_silence(self, site: Site) -> None:
        before = site.server.abandoned()
        leave_in_silence(site)
        if KNOWN[site.recipe.kind].leaving:
            eventually("the call is given up", lambda: site.server.abandoned() > before)
        else:
            # Others come and go meanwhile.
            EverySite().test_a_client_that_leaves_its_stream_gives_up_its_call(site)
            assert site.server.abandoned() == before + 1


def pointer(site: Site) -> str:
    """Where a client without a token is sent."""
    stranger = Visitor(site)
    stranger.token = None
    with stranger.ask("POST", "/mcp", {}) as refused:
        assert refused.status == 401
        [url] = re.findall(r'resource_metadata="([^"]+)"', refused.headers["www-authenticate"])
        return url


@of_each
def test_discovery_names_the_public_url_whatever_a_proxy_says(recipe: Recipe, servers: Servers) -> None:
    server = servers.of(**ALLOWED, MCP__OAUTH__PUBLIC_URL=f"https://{NAME}/gw")
    site = Site(recipe, server)
    assert pointer(site) == f"https://{NAME}/gw/.well-known/oauth-protected-resource/mcp"
    site.stop()


@of_each
def test_the_address_of_a_client_where_the_server_believes_in_a_proxy(recipe: Recipe, servers: Servers) -> None:
    site = Site(recipe, servers.of(**ALLOWED, MCP__SERVER__PROXIES="1"))
    forger = Visitor(site)
    forger.token = "no-token"
    forged = "203.0.113.9"
    with forger.ask("POST", "/mcp", {}, come_from="127.0.0.7", x_forwarded_for=forged) as answer:
        assert answer.status == 401
        tag = answer.headers["x-request-id"]
    # A proxy that adds nothing lets clients say what they like, so that server.proxies must be 0 behind it.
    seen = "127.0.0.7" if KNOWN[recipe.kind].address else forged
    lines = site.server.lines(f"request={tag}")
    assert f"address={seen} " in lines[0], lines
    site.stop()


def test_envoy_ends_each_stream_after_fifteen_seconds_and_it_is_resumed(servers: Servers) -> None:
    site = Site(ENVOY_RECIPE, servers.of(**ALLOWED, MCP__TUNING__STREAM_KEEP_ALIVE_S="1"))
    visitor = Visitor(site, query="?mode=dynamic").enter()
    with visitor.listen() as stream:
        seen = list(events(stream))
    assert len([event for event in seen if event.kind is None]) > 5, "comments don't keep it open"
    visitor.tool("enable-tools", tools=[LIST])
    with visitor.listen(last_event_id=[event.id for event in seen if event.id][-1]) as stream:
        assert any(event.message.get("method") == "notifications/tools/list_changed" for event in events(stream))
    site.stop()


def test_nginx_tells_another_one_not_to_hold_events_back(servers: Servers) -> None:
    inner = recipe("nginx/inner.conf")
    both = Recipe("nginx before nginx/inner.conf", (*NGINX_RECIPE.proxies, *inner.proxies), inner.settings, is_secure=False)
    site = Site(both, servers.of(**inner.settings))
    EverySite().test_the_first_event_of_a_call_arrives_before_its_end(site)
    site.stop()
