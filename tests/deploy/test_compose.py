"""The composition of servers, Redis and load balancer: that its parts fit, and that its processes work together."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import re
import time
import tomllib
import unittest
from collections.abc import Iterator
from urllib.parse import urlsplit

import yaml

import image
from processes import PATIENCE, Processes, eventually, free_port

DEPLOY = image.ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SANDBOX = yaml.safe_load((DEPLOY / "compose.sandbox.yaml").read_text())
NGINX = (DEPLOY / "nginx.conf").read_text()
SERVERS = sorted(name for name in COMPOSE["services"] if name.startswith("server-"))
BINARY = os.environ["SERVER_UNDER_TEST"]
SECRET = SANDBOX["services"]["sandbox"]["environment"]["MCP__SANDBOX__SECRET"]


def token() -> str:
    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    claims = {"id": "ann", "iss": "sandbox", "exp": int(time.time()) + 3600}
    content = ".".join(encode(json.dumps(part).encode()) for part in [{"alg": "HS256", "typ": "JWT"}, claims])
    return f"{content}.{encode(hmac.digest(SECRET.encode(), content.encode(), hashlib.sha256))}"


class Composition(Processes):
    """The processes of both files, on this machine: the same commands and settings, with other addresses."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__(stack)
        self.ports = {name: free_port() for name in [*COMPOSE["services"], *SANDBOX["services"]]}
        settings = SANDBOX["services"]["sandbox"]["environment"]
        own = {"PORT": "0", "MCP__ADMIN__PORT": "0", "MCP__SANDBOX__PORT": str(self.ports["sandbox"])}
        self.run("sandbox", [BINARY, *SANDBOX["services"]["sandbox"]["command"]], **{**settings, **own})
        self.proxy("upstream", {"8081": "upstream", f"127.0.0.1:{settings['MCP__SANDBOX__PORT']}": "sandbox"})
        command = COMPOSE["services"]["redis"]["command"]
        self.run("redis", [*command, "--port", str(self.ports["redis"]), "--bind", "127.0.0.1", "--dir", str(self.folder)])
        for name in SERVERS:
            settings = COMPOSE["services"][name]["environment"] | SANDBOX["services"][name]["environment"]
            for key, address, service in [
                ("MCP__STORE__URL", "redis:6379", "redis"),
                ("MCP__MEMBRANE__BASE_URL", "sandbox:8081", "upstream"),
            ]:
                assert address in settings[key], settings
                settings[key] = settings[key].replace(address, f"127.0.0.1:{self.ports[service]}")
            here = {"HOST": "127.0.0.1", "PORT": str(self.ports[name]), "MCP__ADMIN__PORT": "0", "APP_ENV": "production"}
            self.run(name, [BINARY], **{**settings, **here})
        self.proxy("balancer", {"80": "balancer", **{f"{name}:3000": name for name in SERVERS}})
        for name in SERVERS:
            eventually(f"{name} is ready", lambda: self.get(name, "/readyz") == 200)
        eventually("the balancer leads there", lambda: self.get("balancer", "/readyz") == 200)

    def proxy(self, service: str, addresses: dict[str, str]) -> None:
        """Runs nginx as a service of the files, with the ports of this machine for the addresses in its own file."""
        (mount,) = (COMPOSE["services"] | SANDBOX["services"])[service]["volumes"]
        conf = (DEPLOY / mount.split(":")[0]).read_text()
        for address, name in addresses.items():
            here = f"127.0.0.1:{self.ports[name]}"
            assert address in conf, address
            conf = conf.replace(address, here) if ":" in address else conf.replace(f"listen {address};", f"listen {here};")
        folder = self.folder / service
        folder.mkdir()
        (folder / "nginx.conf").write_text(conf)
        quiet = f"daemon off; pid {folder}/nginx.pid; error_log stderr;"
        self.run(service, ["nginx", "-p", folder, "-c", folder / "nginx.conf", "-g", quiet])

    def get(self, name: str, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status

    @contextlib.contextmanager
    def ask(self, method: str, session: str | None, body: object = None) -> Iterator[http.client.HTTPResponse]:
        """A request by way of the balancer."""
        headers = {
            "authorization": f"Bearer {token()}",
            "accept": "text/event-stream" if method == "GET" else "application/json, text/event-stream",
            "content-type": "application/json",
        }
        if session:
            headers["mcp-session-id"] = session
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["balancer"], timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, "/mcp?mode=dynamic", json.dumps(body) if body else None, headers)
            yield connection.getresponse()

    def call(self, session: str | None, method: str, **params: object) -> tuple[dict, str | None]:
        with self.ask("POST", session, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) as answer:
            body = answer.read()
            assert answer.status == 200, (answer.status, body)
            if answer.headers["content-type"].startswith("text/event-stream"):
                # As it is sent where a machine that has much else to do takes longer than a second.
                (body,) = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: {")]
            return json.loads(body)["result"], answer.headers.get("mcp-session-id")

    def enable(self, session: str | None, tools: list[str]) -> None:
        self.call(session, "tools/call", name="enable-tools", arguments={"tools": tools})

    def listed(self, session: str | None) -> list[str]:
        return [tool["name"] for tool in self.call(session, "tools/list")[0]["tools"]]


class TestCompose(unittest.TestCase):
    def test_it_needs_nothing_secret_and_every_variable_is_a_setting(self) -> None:
        defaults = tomllib.loads((image.ROOT / "config/default.toml").read_text())
        known = {f"MCP__{section}__{key}".upper() for section, keys in defaults.items() for key in keys}
        for service in SANDBOX["services"].values():
            self.assertEqual(set(service.get("environment", [])) - known, set())
        for name in SERVERS:
            settings = COMPOSE["services"][name]["environment"]
            self.assertEqual(set(settings) - known, set())
            for key, value in settings.items():
                self.assertNotRegex(key, "SECRET|TOKEN|PASSWORD")
                self.assertIsNone(urlsplit(str(value)).password, key)
        for service in COMPOSE["services"].values():
            self.assertNotIn("env_file", service)
            self.assertNotIn("secrets", service)

    def test_the_parts_fit_together(self) -> None:
        self.assertEqual(len(SERVERS), 2)
        services = COMPOSE["services"]
        for name, service in services.items():
            self.assertTrue(service["image"], name)
            self.assertLessEqual(set(service.get("depends_on", [])), set(services), name)
        defaults = tomllib.loads((image.ROOT / "config/default.toml").read_text())
        upstreams = re.findall(r"^\s+server (\S+):(\d+) ", NGINX, re.MULTILINE)
        self.assertEqual(upstreams, [(name, str(defaults["server"]["port"])) for name in SERVERS])
        self.assertTrue((image.ROOT / "deploy" / services["server-1"]["build"] / "Dockerfile").is_file())
        (mount,) = services["balancer"]["volumes"]
        self.assertTrue((image.ROOT / "deploy" / mount.split(":")[0]).is_file())
        (volume,) = services["redis"]["volumes"]
        self.assertIn(volume.split(":")[0], COMPOSE["volumes"])
        for name in SERVERS:
            behind_a_proxy = services[name]["environment"]["MCP__SERVER__PROXIES"]
            self.assertEqual(behind_a_proxy, "1", "or all clients share the address of the balancer, and its bad tokens")
        grace = int(services["server-1"]["stop_grace_period"].removesuffix("s"))
        self.assertGreater(grace, defaults["server"]["shutdown_s"])

    def test_redis_refuses_before_it_is_killed(self) -> None:
        redis = COMPOSE["services"]["redis"]
        options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
        self.assertEqual(options["--maxmemory-policy"], "noeviction")
        megabytes = int(options["--maxmemory"].removesuffix("mb"))
        # While it rewrites its file it may need each page twice.
        self.assertLessEqual(2 * megabytes, 1024 * int(redis["mem_limit"].removesuffix("g")))

    def test_the_sandbox_is_reached_by_the_servers_alone(self) -> None:
        services = SANDBOX["services"]
        self.assertEqual(services["upstream"]["network_mode"], "service:sandbox")
        for service in services.values():
            self.assertNotIn("ports", service)
        self.assertEqual(services["sandbox"]["image"], COMPOSE["services"]["server-1"]["image"])

    def test_its_processes_work_together(self) -> None:
        with contextlib.ExitStack() as stack:
            composed = Composition(stack)
            client = {"name": "test", "version": "1"}
            _, session = composed.call(None, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client)
            for number in range(6):
                tools = ["gmail_list-emails"] if number % 2 == 0 else ["gmail_list-emails", "slack_list-users"]
                composed.enable(session, tools)
                self.assertEqual(composed.listed(session), ["enable-tools", *tools])
            for name in SERVERS:
                self.assertIn('"path":"/mcp"', composed.log(name), "each has its share of the requests")
            with composed.ask("GET", session) as stream:
                self.assertEqual(stream.status, 200)
                composed.enable(session, [])
                # It comes at once, not when the balancer has enough of it.
                while b"list_changed" not in (line := stream.readline()):
                    self.assertTrue(line, "the stream has ended")
            composed.kill("server-1")
            for _ in range(4):
                self.assertEqual(composed.listed(session), ["enable-tools"])
            with composed.ask("DELETE", session) as answer:
                self.assertEqual(answer.status, 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
