"""The manifests: what Kubernetes takes, and settings that exist."""

import re
import subprocess
import sys
import tomllib
import unittest
from pathlib import Path

import yaml

import image

FOLDER = image.ROOT / "deploy/kubernetes"
FILES = sorted(FOLDER.rglob("*.yaml"))


def objects() -> list[dict]:
    return [each for file in FILES for each in yaml.safe_load_all(file.read_text()) if each]


def settings() -> set[str]:
    """Every setting as a variable of the environment."""
    defaults = tomllib.loads((image.ROOT / "config/default.toml").read_text())
    return {f"MCP__{section}__{key}".upper() for section, keys in defaults.items() for key in keys}


def of_kind(kind: str) -> list[dict]:
    return [each for each in objects() if each["kind"] == kind]


class TestManifests(unittest.TestCase):
    def test_they_fit_the_schemas_of_kubernetes(self) -> None:
        validator = Path(sys.executable).with_name("kubernetes-validate")
        checked = subprocess.run([validator, "--strict", *FILES], capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        kinds = {each["kind"] for each in objects()}
        for kind in ["Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Secret", "ConfigMap"]:
            self.assertIn(kind, kinds)

    def test_every_variable_is_a_setting(self) -> None:
        named = [name for each in of_kind("ConfigMap") for name in each["data"]]
        named += [name for each in of_kind("Secret") for name in each["stringData"]]
        # Comments that show what could be set count too.
        named += re.findall(r"\bMCP__\w+", "".join(file.read_text() for file in FILES))
        self.assertGreater(len(named), 5)
        self.assertEqual(set(named) - settings(), set())

    def test_the_parts_fit_together(self) -> None:
        (deployment,) = [each for each in of_kind("Deployment") if each["metadata"]["name"].endswith("server")]
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        defaults = tomllib.loads((image.ROOT / "config/default.toml").read_text())
        self.assertEqual(ports, {"http": defaults["server"]["port"], "admin": defaults["admin"]["port"]})
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
            self.assertEqual(container[probe]["httpGet"]["port"], "admin")
        (settings_map,) = [each for each in of_kind("ConfigMap") if each["metadata"]["name"].endswith("server")]
        self.assertEqual(settings_map["data"]["MCP__ADMIN__HOST"], "0.0.0.0", "or no probe gets there")
        stages = image.read(image.ROOT / "Dockerfile")
        user = dict(stages[""].steps)["USER"].split(":")
        self.assertEqual(user, [str(pod["securityContext"][key]) for key in ["runAsUser", "runAsGroup"]])
        # The server must have its time to finish before it is killed.
        patience = int(settings_map["data"]["MCP__SERVER__SHUTDOWN_S"])
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertGreater(pod["terminationGracePeriodSeconds"], patience + pause)
        names = {each["metadata"]["name"] for each in objects()}
        for source in container["envFrom"]:
            self.assertIn(next(iter(source.values()))["name"], names)
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        for kind in ["Service", "PodDisruptionBudget"]:
            (other,) = [each for each in of_kind(kind) if each["metadata"]["name"].endswith("server")]
            selector = other["spec"]["selector"]
            self.assertLessEqual(selector.get("matchLabels", selector).items(), labels.items())

    def test_redis_is_a_choice_and_fits_the_server(self) -> None:
        # What lies in the folder itself is what `kubectl apply` takes.
        chosen = [each for file in FOLDER.glob("*.yaml") for each in yaml.safe_load_all(file.read_text())]
        self.assertNotIn("StatefulSet", {each["kind"] for each in chosen})
        (redis,) = of_kind("StatefulSet")
        (service,) = [each for each in of_kind("Service") if each["metadata"]["name"] == redis["spec"]["serviceName"]]
        (policy,) = of_kind("NetworkPolicy")
        labels = redis["spec"]["template"]["metadata"]["labels"]
        self.assertEqual(service["spec"]["selector"], labels)
        self.assertEqual(policy["spec"]["podSelector"]["matchLabels"], labels)
        (container,) = redis["spec"]["template"]["spec"]["containers"]
        named = {port["name"]: port["containerPort"] for port in container["ports"]}
        self.assertEqual(named[service["spec"]["ports"][0]["targetPort"]], service["spec"]["ports"][0]["port"])
        self.assertIn(f"redis://{service['metadata']['name']}:{named['redis']}", (FOLDER / "redis/redis.yaml").read_text())
        (server,) = of_kind("Deployment")
        (allowed,) = policy["spec"]["ingress"][0]["from"]
        self.assertLessEqual(
            allowed["podSelector"]["matchLabels"].items(), server["spec"]["template"]["metadata"]["labels"].items()
        )


if __name__ == "__main__":
    unittest.main(verbosity=2)
