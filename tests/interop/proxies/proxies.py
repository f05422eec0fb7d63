"""Proxies that stand before a server, by the recipes of deploy/proxies or with nothing but their defaults.

Each is a process of its own that listens on 127.0.0.1, on a port that was free, and ends with the test. What differs from the
recipe is where things are: ports, and the files of the certificate.
"""

import atexit
import ctypes
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from server import PATIENCE, Server

RECIPES = Path(__file__).parents[3] / "deploy/proxies"
NAME = "mcp.example.com"

# Debian has some servers where only root looks for programs.
SEARCH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def eventually(what: str, is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: it never came to that"
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False


@cache
def certificate() -> Path:
    """A folder with the certificate of NAME, its key, and both in one file as HAProxy wants them. It goes with the tests."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    asked = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    named = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    files = ["-keyout", folder / "key", "-out", folder / "crt"]
    subprocess.run(["openssl", "req", *asked, *named, *files], check=True, capture_output=True)
    (folder / "pem").write_text((folder / "crt").read_text() + (folder / "key").read_text())
    return folder


@cache
def trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate() / "crt"))


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"the recipe has no {old!r}"
        text = text.replace(old, new)
    return text


def nginx(text: str, port: int, folder: Path) -> tuple[str, list[str]]:
    if "ssl_certificate" in text:
        files = {f"/etc/ssl/{NAME}.{kind}": str(certificate() / kind) for kind in ("crt", "key")}
        text = replaced(text, files)
    text, count = re.subn(r"listen (443|8080)\b", f"listen 127.0.0.1:{port}", text)
    assert count == 1, text
    # Its workers are another user where it is started by root.
    folder.chmod(0o755)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    return f"events {{}}\nhttp {{\naccess_log off; {paths}\n{text}}}\n", [
        *("nginx", "-p", str(folder), "-c", str(folder / "config")),
        *("-g", f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;"),
    ]


def haproxy(text: str, port: int, folder: Path) -> tuple[str, list[str]]:
    if " ssl " in text:
        text = replaced(text, {f"/etc/haproxy/{NAME}.pem": str(certificate() / "pem")})
    return replaced(text, {"bind :443": f"bind 127.0.0.1:{port}"}), ["haproxy", "-db", "-f", str(folder / "config")]


def caddy(text: str, port: int, folder: Path) -> tuple[str, list[str]]:
    files = certificate()
    site = f"https://{NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {files / 'crt'} {files / 'key'}\n"
    text = replaced(text, {f"{NAME} {{\n": site})
    # Neither its administration on a port that is always the same, nor certificates from outside.
    text = f"{{\n\tadmin off\n\tauto_https off\n}}\n{text}"
    return text, ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "config")]


def envoy(text: str, port: int, folder: Path) -> tuple[str, list[str]]:
    if "tls_certificates" in text:
        text = replaced(text, {f"/etc/envoy/{NAME}.{kind}": str(certificate() / kind) for kind in ("crt", "key")})
    text = replaced(text, {"address: 0.0.0.0, port_value: 443": f"address: 127.0.0.1, port_value: {port}"})
    # It knows the form of its file by the name.
    config = folder / "config.yaml"
    config.symlink_to(folder / "config")
    binary = Path(__file__).parent / ".venv/bin/envoy"
    quiet = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    return text, [str(binary), "--config-path", str(config), *quiet]


KINDS = {"nginx": nginx, "haproxy": haproxy, "caddy": caddy, "envoy": envoy}

# How each says where the server is.
ADDRESS = {"envoy": "address: 127.0.0.1, port_value: {}"}


def end_with_parent() -> None:
    """A process outlives its parent unless the kernel is told (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Proxy:
    """Running proxy. `changes` are made to its recipe first."""

    def __init__(self, kind: str, text: str, upstream: int, changes: dict[str, str]) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp())
        address = ADDRESS.get(kind, "127.0.0.1:{}")
        text = replaced(text, {address.format(3000): address.format(upstream), **changes})
        config, command = KINDS[kind](text, self.port, self._folder)
        (self._folder / "config").write_text(config)
        env = {"PATH": SEARCH, "HOME": str(self._folder), "XDG_DATA_HOME": str(self._folder)}
        self._log = (self._folder / "log").open("w")
        self._process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=self._folder,
            preexec_fn=end_with_parent,
        )
        try:
            eventually(f"{kind} listens", lambda: listens(self.port) or self._process.poll() is not None)
            assert self._process.poll() is None, f"{kind} has ended:\n{self.log()}"
        except AssertionError:
            self.stop()
            raise

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def stop(self) -> None:
        # nginx ends its workers when it is asked to, and leaves them behind when it is killed.
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self._folder)


@dataclass(frozen=True)
class Recipe:
    """Proxies, from the one that clients reach to the one before the server, and the settings that the server needs with them."""

    title: str
    proxies: tuple[tuple[str, str], ...]
    settings: dict[str, str]
    # Whether the outermost ends TLS.
    is_secure: bool = True

    @property
    def kind(self) -> str:
        """The proxy that the recipe is for."""
        return self.proxies[-1][0]

    @property
    def path(self) -> str:
        return self.settings.get("MCP__SERVER__PUBLIC_PATH", "")


def recipe(*files: str) -> Recipe:
    """Reads files of deploy/proxies. The head of the last one tells the settings of the server."""
    texts = [(RECIPES / file).read_text() for file in files]
    [line] = re.findall(r"^# Settings of the server: (.*)$", texts[-1], re.MULTILINE)
    settings = dict(setting.split("=") for setting in line.split())
    kinds = [file.split("/")[0] for file in files]
    return Recipe(" before ".join(files), tuple(zip(kinds, texts, strict=True)), settings)


class Site:
    """Server behind the proxies of a recipe."""

    def __init__(self, recipe: Recipe, server: Server, changes: Sequence[tuple[str, str]] = ()) -> None:
        self.recipe, self.server = recipe, server
        self._running: list[Proxy] = []
        upstream = int(server.url.rsplit(":", 1)[1])
        try:
            for kind, text in reversed(recipe.proxies):
                own = {old: new for old, new in changes if old in text}
                self._running.append(Proxy(kind, text, upstream, own))
                upstream = self._running[-1].port
        except AssertionError:
            self.stop()
            raise
        self.port = upstream
        scheme = "https" if recipe.is_secure else "http"
        # The URL by which clients know it.
        self.base = f"{scheme}://{NAME}:{self.port}{recipe.path}"

    def log(self) -> str:
        return "\n".join(proxy.log() for proxy in self._running)

    def stop(self) -> None:
        for proxy in reversed(self._running):
            proxy.stop()
