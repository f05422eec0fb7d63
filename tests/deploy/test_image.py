"""The image: small, read-only, without root, alone, and done when it is told to stop."""

import http.server
import json
import os
import re
import signal
import subprocess
import threading
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import image

FOLDER = image.ROOT / "target/container"
PATIENCE_S = 30.0
SECRET = "the key of the tests' sandbox"

# Of gcr.io/distroless/static-debian12, uncompressed and rounded up.
BASE_IMAGE_MB = 3


class Container:
    """The image, run."""

    def __init__(self, built: image.Image, *arguments: str, stdout: int = subprocess.DEVNULL, **env: str) -> None:
        launch = str(Path(__file__).with_name("launch"))
        command = [launch, str(built.root), built.workdir, built.user, *built.entrypoint, *arguments]
        self.process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], **built.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict] = []
        self.raw: list[str] = []
        self.grown = threading.Condition()
        self.follower = threading.Thread(target=self.follow, daemon=True)
        self.follower.start()

    def follow(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self.grown:
                self.raw.append(line)
                self.lines.append(json.loads(line) if line.startswith("{") else {"message": line})
                self.grown.notify_all()

    def wait_for(self, message: str) -> str:
        """What follows `message` in the log."""
        found = lambda: next((x["message"] for x in self.lines if x["message"].startswith(message)), None)
        with self.grown:
            if not self.grown.wait_for(found, PATIENCE_S):
                raise AssertionError(f"{message!r} is not logged:\n{''.join(self.raw)}")
            return found().removeprefix(message)

    def first_process(self) -> int:
        """The number from outside of the process that is the first one inside."""
        pid = self.process.pid
        while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            pid = int(children[0])
        return pid

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.follower.join(PATIENCE_S)
        self.process.stderr.close()


class TestImage(unittest.TestCase):
    built: image.Image

    @classmethod
    def setUpClass(cls) -> None:
        cls.built = image.build(FOLDER)

    def run_image(self, *arguments: str, stdout: int = subprocess.DEVNULL, **env: str) -> Container:
        container = Container(self.built, *arguments, stdout=stdout, **env)
        self.addCleanup(container.close)
        return container

    def serve(self) -> tuple[Container, str, str]:
        """A running sandbox, with the addresses for clients and for operators."""
        container = self.run_image("--sandbox", PORT="0", MCP__ADMIN__PORT="0", MCP__SANDBOX__SECRET=SECRET)
        url, admin = container.wait_for("listening on "), container.wait_for("metrics and health on ")
        return container, url.replace("0.0.0.0", "127.0.0.1"), admin.replace("0.0.0.0", "127.0.0.1")

    def test_it_is_small(self) -> None:
        files = [file for file in self.built.root.joinpath("app").rglob("*") if file.is_file()]
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        self.assertLess(megabytes + BASE_IMAGE_MB, 40)

    def test_it_carries_its_licence_and_those_of_its_packages(self) -> None:
        read = lambda name: (self.built.root / "app" / name).read_text(errors="replace")
        self.assertIn("MIT License", read("LICENSE"))
        notices = read("THIRD-PARTY-NOTICES")
        for package in ["actix-web", "awc", "rustls", "serde_json", "tokio"]:
            self.assertRegex(notices, rf"(?m)^=== {package}-\d\S*/LICENSE")
        self.assertNotIn("=== rmcp-", notices, "a package of the tests alone")
        files, texts = (len(re.findall(names, notices)) for names in [r"(?m)^=== .* ===$", r"(?m)(?:^=== .* ===\n)+"])
        self.assertLess(2 * texts, files, "texts stand there more than once")

    def test_names_are_resolved_without_a_library_of_the_systems(self) -> None:
        # An engine puts this file into every container.
        hosts = self.built.root / "etc/hosts"
        hosts.parent.mkdir(exist_ok=True)
        hosts.write_text("127.0.0.1 upstream.test\n")
        self.addCleanup(hosts.unlink)
        _, _, admin = self.serve()
        # Something that answers, by a name; that it is no Membrane API shows that it was reached.
        upstream = f"http://upstream.test:{admin.rsplit(':', 1)[1]}"
        env = {"PORT": "0", "MCP__ADMIN__PORT": "0", "MCP__MEMBRANE__BASE_URL": upstream}
        doctor = self.run_image("doctor", stdout=subprocess.PIPE, **env)
        said = doctor.process.stdout.read()
        doctor.process.stdout.close()
        self.assertRegex(said, r"upstream +ok +http://upstream\.test")

    def test_it_runs_without_root_on_a_file_system_that_it_cannot_write_to(self) -> None:
        container, url, _ = self.serve()
        uid, gid = map(int, self.built.user.split(":"))
        pid = container.first_process()
        status = Path(f"/proc/{pid}/status").read_text()
        self.assertIn(f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n", status)
        self.assertIn(f"Gid:\t{gid}\t{gid}\t{gid}\t{gid}\n", status)
        self.assertRegex(status, r"NSpid:[\t\d]+\t1\n")
        self.assertNotEqual(uid, 0)
        mounts = Path(f"/proc/{pid}/mountinfo").read_text()
        self.assertRegex(mounts, r" / ro,")
        self.assertRegex(mounts, r" /data rw,")
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            self.assertEqual(answer.status, 200)
        self.assertEqual(self.built.volumes, ["/data"])
        self.assertNotEqual(list(self.built.root.joinpath("data").iterdir()), [], "sessions are kept there")

    def test_it_listens_for_the_world_and_logs_for_machines(self) -> None:
        container = self.run_image("--sandbox", PORT="0", MCP__ADMIN__PORT="0")
        self.assertTrue(container.wait_for("listening on ").startswith("http://0.0.0.0:"))
        # Published to the machine, or asked by a Prometheus beside it: who gets there is the engine's to say.
        self.assertTrue(container.wait_for("metrics and health on ").startswith("http://0.0.0.0:"))
        for line in container.raw:
            json.loads(line)

    def test_its_health_is_checked_by_itself(self) -> None:
        self.assertEqual(self.built.healthcheck[0], self.built.entrypoint[0])
        container, _, admin = self.serve()
        port = admin.rsplit(":", 1)[1]
        healthy = self.run_image(*self.built.healthcheck[1:], MCP__ADMIN__PORT=port)
        self.assertEqual(healthy.process.wait(PATIENCE_S), 0, healthy.raw)
        container.close()
        ill = self.run_image(*self.built.healthcheck[1:], MCP__ADMIN__PORT=port)
        self.assertNotEqual(ill.process.wait(PATIENCE_S), 0)

    def test_as_the_first_process_it_stops_when_it_is_told_to(self) -> None:
        container, url, _ = self.serve()
        os.kill(container.first_process(), signal.SIGTERM)
        container.wait_for("stopped")
        self.assertEqual(container.process.wait(PATIENCE_S), 0)
        with self.assertRaises(urllib.error.URLError):
            urllib.request.urlopen(url, timeout=PATIENCE_S)

    def test_it_lacks_what_only_tests_need(self) -> None:
        container, _, _ = self.serve()
        (sandbox,) = [line["upstream"] for line in container.lines if "upstream" in line]
        with urllib.request.urlopen(f"{sandbox}/sandbox/stats", timeout=PATIENCE_S) as answer:
            self.assertEqual(answer.status, 200)
        faults = urllib.request.Request(
            f"{sandbox}/sandbox/faults", b"[]", {"content-type": "application/json"}, method="PUT"
        )
        with self.assertRaises(urllib.error.HTTPError) as unknown:
            urllib.request.urlopen(faults, timeout=PATIENCE_S)
        self.assertEqual(unknown.exception.code, 404)
        refused = self.run_image("check-config", MCP__TUNING__RETRIES="0")
        self.assertNotEqual(refused.process.wait(PATIENCE_S), 0)
        refused.follower.join(PATIENCE_S)
        self.assertIn("unknown key `tuning.retries`", "".join(refused.raw))

    def test_a_collector_gets_its_traces(self) -> None:
        told: list[tuple[str, bytes]] = []

        class Collector(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
        self.addCleanup(collector.server_close)
        self.addCleanup(collector.shutdown)
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{collector.server_port}"
        env = {"PORT": "0", "MCP__ADMIN__PORT": "0", "MCP__TELEMETRY__OTLP_ENDPOINT": endpoint}
        container = self.run_image("--sandbox", **env)
        url = container.wait_for("listening on ").replace("0.0.0.0", "127.0.0.1")
        urllib.request.urlopen(url, timeout=PATIENCE_S).close()
        os.kill(container.first_process(), signal.SIGTERM)
        self.assertEqual(container.process.wait(PATIENCE_S), 0)
        ((path, spans),) = told
        self.assertEqual(path, "/v1/traces")
        self.assertIn(b"GET /", spans)

    def test_metrics_of_the_process_are_there(self) -> None:
        _, _, admin = self.serve()
        with urllib.request.urlopen(f"{admin}/metrics", timeout=PATIENCE_S) as answer:
            self.assertIn("\nprocess_resident_memory_bytes ", answer.read().decode())


if __name__ == "__main__":
    unittest.main(verbosity=2)
