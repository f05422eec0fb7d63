"""The rules for alerts and the dashboard: what Prometheus reads, about metrics that there are, and a real Prometheus with them."""

import contextlib
import http.server
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import unittest
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

import image
from processes import SEARCH, Processes, eventually, free_port

RULES = image.ROOT / "deploy/alerts.yaml"
CASES = Path(__file__).with_name("alerts.test.yaml")
BINARY = os.environ["SERVER_UNDER_TEST"]
DASHBOARD = json.loads((image.ROOT / "deploy/grafana.json").read_text())
ROWS = ["Traffic", "Tools", "Upstream", "Sessions", "Store", "Process"]

# What may be true of a test's servers while the machine has much else to do.
BUSY = {"McpMessagesWait", "McpShardSilent"}

# Job names as people have them, whose targets are all the same servers here.
JOBS = ["kubernetes-pods", "agents/integration-app-mcp-server", "mcp"]


def promtool(*arguments: object) -> str:
    found = shutil.which("promtool", path=SEARCH)
    assert found, "promtool is missing: tests/run installs it"
    done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return group["rules"]


def queries() -> list[tuple[str, str]]:
    """What each panel asks, with its title, where the variables of the dashboard stand for everything."""
    every = []
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "1m")
            every.append((panel["title"], re.sub(r"\$(job|instance)\b", ".+", query)))
    return every


def fragments(document: Path) -> set[str]:
    """The addresses of a document's headings, as they are made from their texts."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


class TestRules(unittest.TestCase):
    def test_prometheus_takes_them(self) -> None:
        self.assertIn(f"SUCCESS: {len(rules())} rules found", promtool("check", "rules", RULES))

    def test_they_fire_when_they_should_and_else_not(self) -> None:
        self.assertIn("SUCCESS", promtool("test", "rules", CASES))
        told = CASES.read_text()
        for rule in rules():
            self.assertIn(rule["alert"], told, "no case shows when it fires")

    def test_each_says_how_urgent_it_is_and_where_to_read_on(self) -> None:
        known = fragments(image.ROOT / "docs/operations.md")
        for rule in rules():
            with self.subTest(rule["alert"]):
                self.assertIn(rule["labels"]["severity"], ["page", "ticket"])
                self.assertTrue(rule["annotations"]["summary"])
                file, heading = rule["annotations"]["runbook_url"].split("#")
                self.assertTrue(file.endswith("/docs/operations.md"))
                self.assertIn(heading, known)

    def test_none_goes_by_the_name_of_a_job(self) -> None:
        for rule in rules():
            self.assertNotIn("job=", rule["expr"], rule["alert"])


class TestDashboard(unittest.TestCase):
    def test_every_query_can_be_read(self) -> None:
        recorded = [{"record": f"query:{number}", "expr": query} for number, (_, query) in enumerate(queries())]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}, file)
            file.flush()
            promtool("check", "rules", file.name)

    def test_its_panels_stand_in_rows_and_beside_each_other(self) -> None:
        panels = DASHBOARD["panels"]
        self.assertEqual([panel["title"] for panel in panels if panel["type"] == "row"], ROWS)
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = {}
        for panel in panels:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken, f"{panel['title']} covers {taken.get((x, y))}")
                    taken[x, y] = panel["title"]

    def test_each_alert_stands_beside_what_it_is_about(self) -> None:
        described = " ".join(panel.get("description", "") for panel in DASHBOARD["panels"])
        for rule in rules():
            self.assertRegex(described, rf"\b{rule['alert']}\b")
        for panel in DASHBOARD["panels"]:
            for name in re.findall(r"\bMcp\w+", panel.get("description", "")):
                self.assertIn(name, {rule["alert"] for rule in rules()}, panel["title"])

    def test_processes_of_others_are_left_out(self) -> None:
        for title, query in queries():
            if "process_" in query:
                self.assertIn("instance=~", query, title)


class Monitored(Processes):
    """Two servers, a program of somebody else's, and a Prometheus that asks all of them."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__(stack)
        self.admin = {name: free_port() for name in ["server-1", "server-2"]}
        for name in self.admin:
            self.serve(name)
        # It has opened nearly all the files that it may.
        other = self.answer(b"process_open_fds 999\nprocess_max_fds 1000\nprocess_start_time_seconds 1\n")
        targets = [f"127.0.0.1:{port}" for port in [*self.admin.values(), other]]
        jobs = [{"job_name": job, "static_configs": [{"targets": targets}]} for job in JOBS]
        # A job of another program that is down from the beginning.
        jobs.append({"job_name": "down", "static_configs": [{"targets": [f"127.0.0.1:{free_port()}"]}]})
        (self.folder / "rules.yaml").write_text(re.sub(r"for: \d+[sm]", "for: 5s", RULES.read_text()))
        # Seldom enough for the answers of a machine that has much else to do.
        often = {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"}
        config = {"global": often, "rule_files": ["rules.yaml"], "scrape_configs": jobs}
        (self.folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        promtool("check", "config", self.folder / "prometheus.yaml")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/api/v1"
        options = [f"--config.file={self.folder}/prometheus.yaml", f"--storage.tsdb.path={self.folder}/tsdb"]
        self.run("prometheus", ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"])
        servers = len(JOBS) * len(self.admin)
        eventually("all servers are known", lambda: len(self.query("mcp_build_info")) == servers)

    def serve(self, name: str) -> None:
        port = str(self.admin[name])
        self.run(name, [BINARY, "--sandbox"], PORT="0", MCP__ADMIN__PORT=port, MCP__STORE__PATH="")

    def answer(self, text: bytes) -> int:
        class Target(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target)
        self.stack.callback(server.server_close)
        self.stack.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(f"{self.url}/{path}") as answer:
            return json.load(answer)["data"]

    def query(self, query: str) -> list[dict]:
        return self.get("query?" + urllib.parse.urlencode({"query": query}))["result"]

    def alerts(self) -> list[tuple[str, str, str]]:
        """What fires: alert, job, instance."""
        labels = [alert["labels"] for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"]
        told = [(each["alertname"], each.get("job", ""), each.get("instance", "")) for each in labels]
        return sorted(each for each in told if each[0] not in BUSY)

    def evaluate(self, times: int) -> None:
        """Waits until all rules were evaluated so many times more."""
        for _ in range(times):
            last = self.get("rules")["groups"][0]["lastEvaluation"]
            eventually("rules are evaluated", lambda: self.get("rules")["groups"][0]["lastEvaluation"] != last)


class TestPrometheus(unittest.TestCase):
    def test_it_is_silent_while_all_is_well_and_tells_of_a_replica_that_dies(self) -> None:
        with contextlib.ExitStack() as stack:
            monitored = Monitored(stack)
            eventually("nothing fires", lambda: monitored.alerts() == [])
            # Longer than a rule waits here before it fires.
            monitored.evaluate(8)
            self.assertEqual(monitored.alerts(), [])

            told = {title: monitored.query(query) for title, query in queries()}
            for title in ["Servers that answer", "Store", "Upstream", "Versions", "Memory", "Sessions by state"]:
                self.assertTrue(told[title], f"{title} shows nothing")

            dead = f"127.0.0.1:{monitored.admin['server-2']}"
            monitored.kill("server-2")
            expected = sorted(("McpDown", job, dead) for job in JOBS)
            eventually("its death is told", lambda: monitored.alerts() == expected)
            monitored.serve("server-2")
            eventually("all is well again", lambda: monitored.alerts() == [])

            for name in monitored.admin:
                monitored.kill(name)
            eventually("the death of all is told", lambda: "McpGone" in {alert for alert, *_ in monitored.alerts()})


if __name__ == "__main__":
    unittest.main(verbosity=2)
