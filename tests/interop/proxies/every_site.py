"""Tests of whatever must work behind a proxy, were it one with its defaults alone."""

from collections.abc import Iterator

from proxies import Site, eventually
from visitor import CREATE, EVENT, LIST, Event, Visitor, events


def word(stream: Iterator[Event], method: str) -> Event:
    """The next message of that method."""
    return next(event for event in stream if event.message.get("method") == method)


SLEEP = {"name": "sandbox-faults_sleep", "arguments": {"ms": 60_000}}


def leave_in_silence(site: Site) -> None:
    """Leaves a call of 2026-07-28 that runs, and of which nothing has been heard yet."""
    visitor = Visitor(site, ["sandbox-faults"])
    before = site.server.runs()
    what, headers = visitor.modern("tools/call", SLEEP)
    # Who takes no events hears nothing before the end.
    with visitor.begin(*what, **headers, accept="application/json"):
        eventually("the call runs", lambda: site.server.runs() > before)


class EverySite:
    def test_a_list_and_calls_pass(self, site: Site) -> None:
        visitor = Visitor(site).enter()
        names = [tool["name"] for tool in visitor.call("tools/list")["tools"]]
        assert {CREATE, LIST} <= set(names)
        assert not visitor.tool(CREATE, **EVENT).get("isError")
        listed = visitor.tool(LIST)["structuredContent"]["events"]
        assert [event["summary"] for event in listed].count(EVENT["summary"]) == 1

    def test_a_session_ends_by_delete(self, site: Site) -> None:
        visitor = Visitor(site).enter()
        for status in (200, 404):
            with visitor.ask("DELETE", visitor.at("/mcp")) as answer:
                assert answer.status == status

    def test_the_first_event_of_a_call_arrives_before_its_end(self, site: Site) -> None:
        visitor = Visitor(site, ["sandbox-faults"]).enter()
        # It takes longer than anything here is waited for, and says too little meanwhile to fill a buffer.
        with visitor.sleep(60_000) as answer:
            assert any(event.id for event in events(answer))

    def test_who_listens_hears_of_a_change_at_once(self, site: Site) -> None:
        visitor = Visitor(site, query="?mode=dynamic").enter()
        with visitor.listen() as stream:
            for tools in ([LIST], []):
                visitor.tool("enable-tools", tools=tools)
                word(events(stream), "notifications/tools/list_changed")

    def test_a_subscription_of_2026_07_28_begins_at_once(self, site: Site) -> None:
        visitor = Visitor(site)
        what, headers = visitor.modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        with visitor.ask(*what, **headers) as answer:
            assert word(events(answer), "notifications/subscriptions/acknowledged")

    def test_a_client_that_leaves_its_stream_gives_up_its_call(self, site: Site) -> None:
        visitor = Visitor(site, ["sandbox-faults"])
        before = site.server.abandoned()
        what, headers = visitor.modern("tools/call", {**SLEEP, "_meta": {"progressToken": 1}})
        with visitor.ask(*what, **headers) as answer:
            word(events(answer), "notifications/progress")
        eventually("the call is given up", lambda: site.server.abandoned() > before)

    def test_the_older_transport_is_told_the_path_that_clients_see(self, site: Site) -> None:
        visitor = Visitor(site)
        with visitor.ask("GET", visitor.at("/sse")) as stream:
            heard = events(stream)
            endpoint = next(heard)
            assert endpoint.kind == "endpoint"
            assert endpoint.data.startswith(f"{site.recipe.path}/sse/messages?sessionId=")
            client = {"name": "test", "version": "1"}
            hello = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": client}
            for method, params in [("initialize", hello), ("tools/list", {})]:
                with visitor.ask("POST", endpoint.data, visitor.request(method, params)) as answer:
                    assert answer.status == 202
                result = next(event.message["result"] for event in heard if "result" in event.message)
            assert LIST in [tool["name"] for tool in result["tools"]]
