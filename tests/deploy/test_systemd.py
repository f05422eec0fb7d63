"""The unit of systemd: what it takes, how much of the machine it leaves open, and that the server can live with that."""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import image
import schemas

UNIT = image.ROOT / "deploy/systemd/integration-app-mcp-server.service"
BINARY = os.environ["SERVER_UNDER_TEST"]

# Out of ten: what systemd calls the exposure of a unit is "OK" below two.
MAX_EXPOSURE = 2.0


def values(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


class TestUnit(unittest.TestCase):
    def test_systemd_takes_it(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            unit = Path(folder) / UNIT.name
            # It asks for the program, which is installed nowhere here.
            unit.write_text(UNIT.read_text().replace("/usr/local/bin/integration-app-mcp-server", BINARY))
            done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_it_leaves_little_open(self) -> None:
        threshold = f"--threshold={int(MAX_EXPOSURE * 10)}"
        command = ["systemd-analyze", "security", "--offline=true", "--no-pager", threshold, UNIT]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:])

    def test_the_server_has_time_to_finish(self) -> None:
        (stop,) = values("TimeoutStopSec")
        self.assertGreater(int(stop), schemas.DEFAULTS["server"]["shutdown_s"])

    def test_every_variable_is_a_setting_and_none_is_secret(self) -> None:
        named = set(re.findall(r"\bMCP__\w+", " ".join(values("Environment"))))
        self.assertGreater(len(named), 1)
        self.assertEqual(named - schemas.VARIABLES, set())
        for name in named:
            self.assertNotRegex(name, "SECRET|TOKEN")

    def test_its_folders_are_those_that_it_names(self) -> None:
        (state,) = values("StateDirectory")
        self.assertIn(f"MCP__STORE__PATH=/var/lib/{state}", values("Environment"))
        self.assertEqual(values("WorkingDirectory"), [f"/var/lib/{state}"])
        (configuration,) = values("ConfigurationDirectory")
        (start,) = values("ExecStart")
        self.assertTrue(start.endswith(f" --config /etc/{configuration}/config.toml"), start)


if __name__ == "__main__":
    unittest.main(verbosity=2)
