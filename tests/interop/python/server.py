"""Starts the binary with its sandbox, and mints the sandbox's tokens."""

import atexit
import base64
import hashlib
import hmac
import json
import os
import queue
import re
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BINARY = os.environ.get(
    "SERVER_BINARY", str(Path(__file__).parents[3] / "target/debug/integration-app-mcp-server")
)
SECRET = "the key of the tests' sandbox"

# Seconds to wait for what must come. Generous: only a failing test ever waits so long.
PATIENCE = 30.0

# The signatures of all tokens: no log may show one.
USED: set[str] = set()


class Server:
    """A server on a free port; `settings` are environment variables such as `MCP__TUNING__STREAM_AFTER_MS`."""

    def __init__(self, **settings: str) -> None:
        env = {
            "PORT": "0",
            "MCP__ADMIN__PORT": "0",
            "MCP__STORE__PATH": "",
            "MCP__LOG__FILTER": "trace",
            "MCP__SANDBOX__SECRET": SECRET,
            **settings,
        }
        self._process = subprocess.Popen(
            [BINARY, "--sandbox"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.kill)
        self._log: list[str] = []
        found: queue.Queue[re.Match[str] | None] = queue.Queue()
        self._follower = threading.Thread(target=self._follow, args=[found], daemon=True)
        self._follower.start()
        try:
            address = found.get(timeout=PATIENCE)
        except queue.Empty:
            address = None
        if address is None:
            self.kill()
            raise RuntimeError(f"{BINARY} does not listen; its log:\n{''.join(self._log)}")
        self.url, self.sandbox = address.groups()

    def _follow(self, found: "queue.Queue[re.Match[str] | None]") -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._log.append(line)
            if address := re.search(r"listening on (http://\S+).* upstream=(http://\S+)", line):
                found.put(address)
        found.put(None)

    def lines(self, part: str) -> list[str]:
        """Waits for lines of the log that have a part in them."""
        deadline = time.monotonic() + PATIENCE
        while not (found := [line for line in self._log if part in line]):
            assert time.monotonic() < deadline, f"{part} does not show in the log"
            time.sleep(0.01)
        return found

    def stats(self) -> dict[str, Any]:
        """What the sandbox has seen."""
        headers = {"authorization": f"Bearer {token('tester')}"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.sandbox}/sandbox/stats", headers=headers)) as answer:
            return json.load(answer)

    def abandoned(self) -> int:
        """How many requests the sandbox has seen whose sender left before the answer."""
        return self.stats()["abandoned"]

    def runs(self) -> int:
        """How many actions the sandbox has been asked to run."""
        return self.stats()["requests"].get("POST /action-instance/run", 0)

    def drain(self) -> None:
        """Asks it to stop."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        atexit.unregister(self.kill)
        self._follower.join(PATIENCE)
        shown = [line for line in self._log if SECRET in line or any(signature in line for signature in USED)]
        assert not shown, f"a token shows in the log: {shown[0]}"


def token(user: str, connections: Sequence[str] | None = None, seconds: int = 3600) -> str:
    """A token of `user`, for the apps that a new user has or for those named."""

    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    fields = {} if connections is None else {"connections": list(connections)}
    claims = {"id": user, "name": user, "iss": "sandbox", "exp": int(time.time()) + seconds, "fields": fields}
    content = ".".join(encode(json.dumps(part).encode()) for part in [{"alg": "HS256", "typ": "JWT"}, claims])
    signature = encode(hmac.digest(SECRET.encode(), content.encode(), hashlib.sha256))
    USED.add(signature)
    return f"{content}.{signature}"
