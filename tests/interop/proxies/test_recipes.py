"""Promises of the recipes of deploy/proxies: clients notice no proxy, and the server knows of clients what it would without one."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conftest import Servers
from every_site import EverySite, leave_in_silence, word
from proxies import NAME, Recipe, Site, eventually, recipe
from visitor import CREATE, EVENT, LIST, Json, Visitor, events

NAMES = [recipe("nginx/name.conf"), recipe("haproxy/name.cfg"), recipe("caddy/name.Caddyfile"), recipe("envoy/name.yaml")]
PATHS = [recipe("nginx/path.conf"), recipe("haproxy/path.cfg"), recipe("caddy/path.Caddyfile"), recipe("envoy/path.yaml")]
INNER = [recipe("haproxy/name.cfg", "nginx/inner.conf")]
RECIPES = [*NAMES, *PATHS, *INNER]

# Limits on the silence of streams, and as short as they can be for a test.
IMPATIENT = [
    ("proxy_read_timeout 5m;", "proxy_read_timeout 4s;"),
    ("timeout client 5m\n", "timeout client 4s\n"),
    ("timeout server 5m\n", "timeout server 4s\n"),
    ("stream_idle_timeout: 300s", "stream_idle_timeout: 4s"),
]
# Comments come each second where the server is told so.
PATIENCE_IN_COMMENTS = 6


def of(*recipes: Recipe) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("site", recipes, indirect=True, ids=lambda recipe: recipe.title)


@contextmanager
def impatient(recipe: Recipe, servers: Servers, keep_alive_s: int) -> Iterator[Site]:
    """A site whose proxies wait for four seconds, before a server that is silent for so long at most."""
    server = servers.of(**recipe.settings, MCP__TUNING__STREAM_KEEP_ALIVE_S=str(keep_alive_s))
    site = Site(recipe, server, IMPATIENT)
    try:
        yield site
    finally:
        site.stop()


@of(*RECIPES)
class TestRecipes(EverySite):
    def test_discovery_names_what_clients_reach(self, site: Site) -> None:
        stranger = Visitor(site)
        stranger.token = None
        with stranger.ask("POST", stranger.at("/mcp"), {}) as refused:
            assert refused.status == 401
            [pointer] = re.findall(r'resource_metadata="([^"]+)"', refused.headers["www-authenticate"])
        assert pointer == f"{site.base}/.well-known/oauth-protected-resource/mcp"
        path = site.recipe.path
        # Where the challenge leads, and where clients look that got none.
        for place in (f"{path}/.well-known/oauth-protected-resource/mcp", f"/.well-known/oauth-protected-resource{path}/mcp"):
            with stranger.ask("GET", place) as answer:
                assert answer.status == 200, place
                resource = json.load(answer)
            assert resource["resource"] == f"{site.base}/mcp"
            assert resource["authorization_servers"] == [site.base]
        for document in ("oauth-authorization-server", "openid-configuration"):
            with stranger.ask("GET", f"/.well-known/{document}{path}") as answer:
                assert answer.status == 200, document
                issuer = json.load(answer)
            assert (issuer["issuer"], issuer["authorization_endpoint"]) == (site.base, f"{site.base}/oauth/authorize")

    def test_a_client_is_known_by_the_address_that_the_outermost_proxy_saw(self, site: Site) -> None:
        forger = Visitor(site)
        forger.token = "no-token"
        # All of 127.0.0.0/8 is this machine, and what a client says of itself is its own word.
        claims = {"x_forwarded_for": "203.0.113.9", "x_forwarded_proto": "gopher"}
        with forger.ask("POST", forger.at("/mcp"), {}, come_from="127.0.0.7", **claims) as answer:
            assert answer.status == 401
            assert f'resource_metadata="{site.base}/' in answer.headers["www-authenticate"]
            # Some proxies give each request an id of their own.
            tag = answer.headers["x-request-id"]
        lines = site.server.lines(f"request={tag}")
        assert "address=127.0.0.7 " in lines[0], lines

    def test_bodies_and_urls_may_be_long(self, site: Site) -> None:
        visitor = Visitor(site).enter()
        result = visitor.tool(CREATE, **{**EVENT, "summary": "x" * 9_000_000})
        assert not result.get("isError"), result
        with visitor.ask("POST", visitor.at("/mcp"), " " * 10_600_000) as answer:
            assert (answer.status, answer.headers["content-type"]) == (413, "application/json"), answer.read()
        long = Visitor(site, query="?apps=" + ",".join(["google-calendar"] * 600)).enter()
        assert LIST in [tool["name"] for tool in long.call("tools/list")["tools"]]

    def test_the_name_must_be_one_that_the_server_knows(self, site: Site) -> None:
        with Visitor(site).ask("GET", site.recipe.path + "/", Host="evil.example.com") as answer:
            # Some proxies know better than to ask.
            if site.recipe.kind != "caddy":
                assert answer.status == 403
                assert "server.allowed_hosts" in answer.read().decode()
        with Visitor(site).ask("GET", site.recipe.path + "/", Host=NAME) as answer:
            assert answer.status == 200


@of(*PATHS)
def test_what_is_not_below_the_path_is_not_the_servers(site: Site) -> None:
    for path in ("/mcp", "/sse", "/oauth/authorize", "/.well-known/oauth-protected-resource/other/mcp"):
        with Visitor(site).ask("GET", path) as answer:
            assert not answer.read().startswith(b"{"), path
            # Caddy has an empty page for whatever nobody told it of.
            assert answer.status in (404, 503) or site.recipe.kind == "caddy", path


def without_tls(recipe: Recipe) -> Recipe:
    [(kind, text)] = recipe.proxies
    text = re.sub(" ssl crt .*", "", text)
    return Recipe(f"{recipe.title} without TLS", ((kind, text),), recipe.settings, is_secure=False)


# HAProxy 2.6 reads no more from a client that asked by TLS and HTTP/1.1, until it has something to write.
@of(*[recipe for recipe in RECIPES if recipe.proxies[0][0] != "haproxy"], without_tls(NAMES[1]))
class TestSilence:
    def test_a_client_that_leaves_in_silence_gives_up_its_call(self, site: Site) -> None:
        before = site.server.abandoned()
        leave_in_silence(site)
        eventually("the call is given up", lambda: site.server.abandoned() > before)


patient = pytest.mark.parametrize("recipe", [*NAMES, *INNER], ids=lambda recipe: recipe.title)
# Caddy waits for ever.
cuts = pytest.mark.parametrize(
    "recipe", [recipe for recipe in [*NAMES, *INNER] if recipe.kind != "caddy"], ids=lambda recipe: recipe.title
)


@patient
def test_comments_keep_streams_open_for_longer_than_the_proxy_waits(recipe: Recipe, servers: Servers) -> None:
    with impatient(recipe, servers, keep_alive_s=1) as site:
        visitor = Visitor(site, ["sandbox-faults", "google-calendar"], "?mode=dynamic").enter()
        visitor.tool("enable-tools", tools=["sandbox-faults_sleep"])
        with visitor.listen() as listening, visitor.sleep(60_000) as calling:
            for stream in (listening, calling):
                heard = events(stream)
                comments = 0
                while comments < PATIENCE_IN_COMMENTS:
                    event = next(heard, None)
                    assert event, f"the stream ended after {comments} comments"
                    comments += event.kind is None
            visitor.tool("enable-tools", tools=[])
            word(events(listening), "notifications/tools/list_changed")


@cuts
def test_a_stream_that_was_cut_is_resumed_and_nothing_is_lost(recipe: Recipe, servers: Servers) -> None:
    with impatient(recipe, servers, keep_alive_s=60) as site:
        visitor = Visitor(site, query="?mode=dynamic").enter()
        with visitor.listen() as stream:
            ids = [event.id for event in events(stream) if event.id]
        assert ids, "the stream ended, and told no id before"
        # Nobody listens.
        visitor.tool("enable-tools", tools=[LIST])
        with visitor.listen(last_event_id=ids[-1]) as stream:
            word(events(stream), "notifications/tools/list_changed")


@cuts
def test_a_call_whose_stream_was_cut_is_answered_to_who_comes_back(recipe: Recipe, servers: Servers) -> None:
    with impatient(recipe, servers, keep_alive_s=60) as site:
        visitor = Visitor(site, ["sandbox-faults"]).enter()
        with visitor.sleep(8_000) as stream:
            seen = list(events(stream))
        assert not any("result" in event.message for event in seen), "it is to be cut before the answer"
        results: list[Json] = []
        while not results:
            last = [event.id for event in seen if event.id][-1]
            # It may be cut again meanwhile.
            with visitor.listen(last_event_id=last) as stream:
                seen += events(stream)
            results = [event.message["result"] for event in seen if "result" in event.message]
        assert not results[0].get("isError")
