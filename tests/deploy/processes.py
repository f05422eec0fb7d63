"""Programs that run on this machine, on ports that are free, until a test has ended."""

import contextlib
import http.client
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import image

PATIENCE = 60.0

# Debian has some servers where only root looks for programs.
SEARCH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def eventually(what: str, is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if is_so():
                return
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: it never came to that")
        time.sleep(0.02)


class Processes:
    """The programs that a test runs, by name, with their logs in a folder."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.stack = stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.running: dict[str, subprocess.Popen] = {}

    def run(self, name: str, command: list, **env: str) -> None:
        """Runs a program with these variables alone."""
        with (self.folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                command, env={"PATH": SEARCH, **env}, stdout=log, stderr=log, cwd=image.ROOT, stdin=subprocess.DEVNULL
            )
        self.running[name] = process
        self.stack.callback(process.wait)
        # nginx ends its workers when it is asked to, and leaves them behind when it is killed.
        self.stack.callback(process.terminate if command[0] == "nginx" else process.kill)

    def kill(self, name: str) -> None:
        self.running[name].kill()
        self.running[name].wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()
