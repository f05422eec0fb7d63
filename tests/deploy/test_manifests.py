"""The manifests: what Kubernetes takes, settings that exist, and parts that fit together."""

import re
import unittest

import yaml

import image
import schemas

FOLDER = image.ROOT / "deploy/kubernetes"
FILES = sorted(FOLDER.rglob("*.yaml"))


def objects(files: list) -> list[dict]:
    return [each for file in files for each in yaml.safe_load_all(file.read_text()) if each]


# What lies in the folder itself is what `kubectl apply` takes.
APPLIED = objects(sorted(FOLDER.glob("*.yaml")))


class TestManifests(unittest.TestCase):
    def test_they_fit_the_schemas_of_kubernetes_and_of_operators(self) -> None:
        every = objects(FILES)
        schemas.check(every)
        kinds = {each["kind"] for each in every}
        applied = {"ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service"}
        self.assertEqual(kinds, applied | {"StatefulSet", "Ingress", "PodMonitor", "ExternalSecret"})

    def test_a_cluster_without_operators_takes_what_is_applied(self) -> None:
        groups = {each["apiVersion"].split("/")[0] for each in APPLIED}
        self.assertEqual(groups & set(schemas.OPERATORS), set())

    def test_every_variable_is_a_setting(self) -> None:
        # Comments that show what could be set count too.
        named = re.findall(r"\bMCP__\w+", "".join(file.read_text() for file in FILES))
        self.assertGreater(len(named), 5)
        self.assertEqual(set(named) - schemas.VARIABLES, set())

    def test_the_parts_fit_together(self) -> None:
        schemas.check_whole(APPLIED)

    def test_names_are_its_own(self) -> None:
        # What is applied into a namespace that is in use must not take the place of somebody else's.
        for each in APPLIED:
            self.assertTrue(each["metadata"]["name"].startswith("integration-app-mcp"), each["metadata"]["name"])

    def test_what_is_optional_belongs_to_what_is_applied(self) -> None:
        optional = objects(sorted(FOLDER.glob("optional/*.yaml")))
        (deployment,) = schemas.of_kind(APPLIED, "Deployment")
        (monitor,) = schemas.of_kind(optional, "PodMonitor")
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        self.assertLessEqual(monitor["spec"]["selector"]["matchLabels"].items(), labels.items())
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        (secret,) = schemas.of_kind(optional, "ExternalSecret")
        self.assertEqual(container["envFrom"][1]["secretRef"]["name"], secret["spec"]["target"]["name"])
        (ingress,) = schemas.of_kind(optional, "Ingress")
        backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        (service,) = [each for each in schemas.of_kind(APPLIED, "Service") if each["metadata"]["name"] == backend["name"]]
        self.assertEqual(service["spec"]["ports"][0]["name"], backend["port"]["name"])
        (scaler,) = schemas.of_kind(optional, "HorizontalPodAutoscaler")
        self.assertEqual(scaler["spec"]["scaleTargetRef"]["name"], deployment["metadata"]["name"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
