"""The chart: what Helm takes, what comes of its values, and that these are documented, checked and the server's own."""

import json
import re
import tempfile
import unittest
from pathlib import Path

import helm_python as helm
import yaml

import image
import schemas

CHART = image.ROOT / "deploy/helm"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
SECRETS = {("auth", "seal_key"), ("auth", "workspace_secret"), ("webhooks", "secret"), ("sandbox", "secret")}

# Everything that is off by itself.
ALL_ON = {
    "autoscaling": {"sessions": 20000},
    "externalSecret": {"enabled": True, "store": {"name": "vault"}, "key": "mcp"},
    "ingress": {"enabled": True, "className": "nginx", "host": "mcp.example.com", "tlsSecret": "mcp-tls"},
    "monitoring": {"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}, "rules": {"enabled": True}, "dashboard": {"enabled": True}},
    "redis": {"storageClass": "fast"},
    "imagePullSecrets": [{"name": "registry"}],
    "volumes": [{"name": "ca", "secret": {"secretName": "ca"}}],
    "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "agents", "operator": "Exists"}],
}
ALONE = {"redis": {"enabled": False}, "autoscaling": {"enabled": False}, "replicas": 1}


def rendered(values: dict, name: str = "mcp", chart: Path = CHART) -> list[dict]:
    with helm.Chart.load(str(chart)) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name=name, namespace="agents")
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def notes(values: dict) -> str:
    with helm.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name="mcp", namespace="agents")
    return next(text for path, text in files.items() if path.endswith("NOTES.txt"))


def settings(objects: list[dict]) -> dict[str, str]:
    return next(each["data"] for each in objects if each["kind"] == "ConfigMap" and "MCP__ADMIN__HOST" in each["data"])


class TestChart(unittest.TestCase):
    def test_helm_takes_it(self) -> None:
        found = helm.lint(str(CHART))
        self.assertEqual(found["errors"], [])
        self.assertEqual([each["error"] for each in found["messages"]], ["icon is recommended"])

    def test_what_comes_of_it_fits_the_schemas_of_kubernetes_and_of_operators(self) -> None:
        for values in [{}, ALL_ON, ALONE]:
            with self.subTest(values):
                schemas.check(rendered(values))
        kinds = {each["kind"] for each in rendered(ALL_ON)}
        self.assertLessEqual({"ExternalSecret", "Ingress", "PodMonitor", "PrometheusRule"}, kinds)

    def test_the_parts_fit_together_whatever_the_release_is_called(self) -> None:
        for name in ["mcp", "integration-app-mcp-server", "a" * 53]:
            with self.subTest(name):
                objects = rendered({}, name)
                schemas.check_whole(objects)
                names = [(each["kind"], each["metadata"]["name"]) for each in objects]
                self.assertEqual(len(set(names)), len(names))
                self.assertLessEqual(max(len(name) for _, name in names), 63)

    def test_settings_reach_the_server_as_it_reads_them(self) -> None:
        many = {"server": {"keep_alive_s": 1048576, "allowed_hosts": ["a.example", "b.example"], "proxies": 2}, "oauth": {"enabled": True}}
        told = settings(rendered({"settings": many}))
        self.assertEqual(told["MCP__SERVER__KEEP_ALIVE_S"], "1048576")
        self.assertEqual(told["MCP__SERVER__ALLOWED_HOSTS"], "a.example,b.example")
        self.assertEqual(told["MCP__SERVER__PROXIES"], "2")
        self.assertEqual(told["MCP__OAUTH__ENABLED"], "true")
        self.assertEqual(told["MCP__SERVER__SHUTDOWN_S"], "30", "what is not named stays")
        (deployment,) = schemas.of_kind(rendered({"settings": {"server": {"shutdown_s": 120}}}), "Deployment")
        self.assertGreater(deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 125)

    def test_the_schema_knows_every_setting_that_is_no_secret(self) -> None:
        known = SCHEMA["properties"]["settings"]["properties"]
        known = {(section, key) for section, each in known.items() for key in each["properties"]}
        there = {(section, key) for section, keys in schemas.DEFAULTS.items() for key in keys}
        self.assertEqual(known, there - SECRETS)

    def test_the_schema_knows_every_value_and_nothing_else(self) -> None:
        def compare(values: dict, schema: dict, path: str) -> None:
            known = schema.get("properties")
            if known is None or path == ".settings":
                return
            self.assertIs(schema["additionalProperties"], False, path)
            # Helm itself puts this one beside them.
            self.assertEqual(set(known) - {"global"}, set(values), path)
            for key, value in values.items():
                if isinstance(value, dict):
                    compare(value, known[key], f"{path}.{key}")

        compare(VALUES, SCHEMA, "")

    def test_wrong_values_are_refused_by_name(self) -> None:
        for values, named in [
            ({"replica": 3}, "replica"),
            ({"settings": {"server": {"proxy": 1}}}, "proxy"),
            ({"settings": {"server": {"proxies": "one"}}}, "proxies"),
            ({"settings": {"auth": {"workspace_secret": "x"}}}, "workspace_secret"),
            ({"settings": {"store": {"url": "redis://:secret@redis"}}, "redis": {"enabled": False}}, "url"),
            ({"ingress": {"enabled": True}}, "ingress.host"),
            ({"externalSecret": {"enabled": True}}, "externalSecret.store.name"),
            ({"redis": {"enabled": False}}, "several pods need a Redis"),
            ({"redis": {"enabled": False}, "autoscaling": {"enabled": False}}, "several pods need a Redis"),
            ({"settings": {"store": {"url": "redis://other"}}}, "redis.enabled=false"),
        ]:
            with self.subTest(values), self.assertRaises(helm.HelmError) as raised:
                rendered(values)
            self.assertIn(named, str(raised.exception))

    def test_another_redis_takes_the_place_of_its_own(self) -> None:
        off = {"redis": {"enabled": False}}
        by_settings = rendered({**off, "settings": {"store": {"url": "rediss://redis.example:6379"}}})
        self.assertEqual(settings(by_settings)["MCP__STORE__URL"], "rediss://redis.example:6379")
        by_secret = rendered({**off, "secret": {"hasStoreUrl": True}})
        self.assertNotIn("MCP__STORE__URL", settings(by_secret))
        for objects in [by_settings, by_secret]:
            self.assertEqual(schemas.of_kind(objects, "StatefulSet"), [])
        (deployment,) = schemas.of_kind(by_secret, "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        self.assertIs(container["envFrom"][1]["secretRef"]["optional"], False, "without it each pod would be alone")

    def test_rules_and_dashboard_are_those_of_the_server(self) -> None:
        objects = rendered(ALL_ON)
        (rules,) = schemas.of_kind(objects, "PrometheusRule")
        self.assertEqual(rules["spec"], yaml.safe_load((image.ROOT / "deploy/alerts.yaml").read_text()))
        (dashboard,) = schemas.of_kind(objects, "ConfigMap", "-dashboard")
        (text,) = dashboard["data"].values()
        self.assertEqual(json.loads(text), json.loads((image.ROOT / "deploy/grafana.json").read_text()))
        (monitor,) = schemas.of_kind(objects, "PodMonitor")
        (deployment,) = schemas.of_kind(objects, "Deployment")
        pod = deployment["spec"]["template"]
        self.assertLessEqual(monitor["spec"]["selector"]["matchLabels"].items(), pod["metadata"]["labels"].items())
        self.assertNotIn("prometheus.io/scrape", pod["metadata"]["annotations"], "or each pod is asked twice")

    def test_an_archive_of_it_is_whole(self) -> None:
        # Rules and dashboard are links to files outside of the chart.
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(helm.package(str(CHART), destination=folder))
            self.assertEqual(rendered(ALL_ON, chart=archive), rendered(ALL_ON))

    def test_other_settings_are_other_pods(self) -> None:
        def checksum(values: dict) -> str:
            (deployment,) = schemas.of_kind(rendered(values), "Deployment")
            return deployment["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]

        self.assertEqual(checksum({}), checksum({}))
        self.assertNotEqual(checksum({}), checksum({"settings": {"server": {"proxies": 0}}}))

    def test_its_notes_say_where_to_go_on(self) -> None:
        self.assertIn("port-forward service/mcp-integration-app-mcp-server 3000:80", notes({}))
        self.assertIn("https://mcp.example.com/mcp", notes(ALL_ON))
        self.assertIn("there is no Redis", notes(ALONE))
        self.assertNotIn("there is no Redis", notes({}))

    def test_its_page_names_values_that_there_are(self) -> None:
        text = (CHART / "README.md").read_text()
        named = re.findall(r"`((?:\w+\.)+\w+)(?:=\S*)?`", text) + re.findall(r"--set (\S+?)=", text)
        self.assertGreater(len(named), 10)
        for name in named:
            schema = SCHEMA
            for key in name.split("."):
                if "properties" in schema:
                    self.assertIn(key, schema["properties"], name)
                    schema = schema["properties"][key]

    def test_it_has_the_version_of_the_server(self) -> None:
        manifest = (image.ROOT / "Cargo.toml").read_text()
        version = re.search(r'^version = "(.+)"$', manifest, re.MULTILINE).group(1)
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual((chart["version"], chart["appVersion"]), (version, version))
        (deployment,) = schemas.of_kind(rendered({}), "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        self.assertTrue(container["image"].endswith(f":{version}"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
