"""The commands of Docker, Kubernetes and Helm in the pages: that what they name is there, and that the server takes what it is
given by them. No engine and no cluster runs them."""

import argparse
import contextlib
import os
import re
import shlex
import unittest
from collections.abc import Iterator
from pathlib import Path

import yaml

import image
import schemas
from processes import Processes, eventually

PAGES = [image.ROOT / "README.md", *sorted(image.ROOT.glob("docs/**/*.md")), *sorted(image.ROOT.glob("deploy/**/*.md"))]
BINARY = os.environ["SERVER_UNDER_TEST"]
VERSION = re.search(r'(?m)^version = "(.*)"', (image.ROOT / "Cargo.toml").read_text())[1]
MANIFESTS = [each for file in sorted(image.ROOT.glob("deploy/kubernetes/*.yaml")) for each in yaml.safe_load_all(file.read_text()) if each]
CHART = yaml.safe_load((image.ROOT / "deploy/helm/Chart.yaml").read_text())
VALUES = yaml.safe_load((image.ROOT / "deploy/helm/values.yaml").read_text())
IMAGE = VALUES["image"]["repository"]
STAGE = image.read(image.ROOT / "Dockerfile")[""]


def commands(*programs: str) -> list[tuple[str, list[str]]]:
    """The commands of these programs, in blocks and within sentences, each with its page."""
    found = []
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"(?ms)^```(?:bash|sh)\n(.*?)^```", text)
        lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        lines += re.findall(r"`((?:docker|kubectl|helm) [^`]+)`", text.replace("\n", " "))
        words = [shlex.split(line) for line in lines if line.startswith(programs)]
        found += [(str(page.relative_to(image.ROOT)), line) for line in words]
    return found


class Strict(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise AssertionError(message)


def parser(*options: str, flags: tuple[str, ...] = ()) -> Strict:
    """Options that may be given several times, by their long and short names."""
    made = Strict(add_help=False, allow_abbrev=False)
    for names in options:
        made.add_argument(*names.split(), action="append", default=[])
    for flag in flags:
        made.add_argument(flag, action="store_true")
    return made


def instructions(word: str) -> str:
    return " ".join(rest for name, rest in STAGE.steps if name == word)


class TestDocker(unittest.TestCase):
    def runs(self) -> Iterator[tuple[str, argparse.Namespace]]:
        options = parser("--volume -v", "--publish -p", "--env -e", "--name", "--network", flags=("--detach", "--rm", "--read-only"))
        options.add_argument("image")
        options.add_argument("arguments", nargs=argparse.REMAINDER)
        for page, words in commands("docker run "):
            yield page, options.parse_args(words[2:])

    def test_containers_have_the_ports_and_folders_that_they_are_run_with(self) -> None:
        runs = list(self.runs())
        self.assertGreaterEqual(len(runs), 3)
        self.assertIn("README.md", [page for page, _ in runs])
        for page, run in runs:
            with self.subTest(page=page, run=run):
                self.assertEqual(run.image, f"{IMAGE}:{VERSION}")
                ports = {port.rsplit(":", 1)[1] for port in run.publish}
                self.assertLessEqual(ports, set(instructions("EXPOSE").split()))
                self.assertIn("3000", ports)
                for volume in run.volume:
                    self.assertIn(volume.split(":")[1], instructions("VOLUME"))
                for variable in run.env:
                    self.assertIn(variable.split("=")[0], schemas.VARIABLES)

    def test_the_server_takes_what_containers_are_given(self) -> None:
        given = re.findall(r"`--env (MCP__\w+=[^`]+)`", (image.ROOT / "docs/hosting.md").read_text())
        self.assertGreaterEqual(len(given), 1)
        with contextlib.ExitStack() as stack:
            processes = Processes(stack)
            for number, (page, run) in enumerate(self.runs()):
                variables = dict(variable.split("=", 1) for variable in [*run.env, *given])
                own = {"PORT": "0", "MCP__ADMIN__PORT": "0", "MCP__SANDBOX__PORT": "0", "MCP__STORE__PATH": ""}
                processes.run(str(number), [BINARY, *run.arguments], **variables, **own)
                eventually(f"{page}, {run}", lambda number=number: "listening on " in processes.log(str(number)))

    def test_compositions_are_of_files_and_services_that_are_there(self) -> None:
        options = parser("--file -f")
        options.add_argument("verb")
        options.add_argument("rest", nargs=argparse.REMAINDER)
        found = commands("docker compose ")
        self.assertGreaterEqual(len(found), 3)
        for page, words in found:
            with self.subTest(page=page, words=words):
                compose = options.parse_args(words[2:])
                services: dict[str, dict] = {}
                for file in compose.file:
                    services |= yaml.safe_load((image.ROOT / file).read_text())["services"]
                self.assertTrue(services)
                if compose.verb == "exec":
                    service, program, *arguments = compose.rest
                    self.assertIn(service, services)
                    self.assertEqual([program], yaml.safe_load(instructions("ENTRYPOINT")))
                    with contextlib.ExitStack() as stack:
                        processes = Processes(stack)
                        processes.run("exec", [BINARY, *arguments], MCP__SANDBOX__SECRET="x" * 32)
                        self.assertEqual(processes.running["exec"].wait(), 0, processes.log("exec"))
                else:
                    self.assertEqual([compose.verb, *compose.rest], ["up", "--build"])

    def test_images_that_are_looked_at_are_those_of_a_release(self) -> None:
        found = commands("docker buildx", "cosign verify")
        self.assertGreaterEqual(len(found), 2)
        for page, words in found:
            self.assertIn(f"{IMAGE}:{VERSION}", words, page)


class TestKubernetes(unittest.TestCase):
    def test_what_is_applied_is_there(self) -> None:
        found = [(page, words) for page, words in commands("kubectl ") if words[1] == "apply"]
        self.assertGreaterEqual(len(found), 2)
        for page, words in found:
            (path,) = parser("--filename -f").parse_args(words[2:]).filename
            self.assertTrue(list(Path(image.ROOT / path).glob("*.yaml")), page)

    def test_secrets_are_those_that_the_pods_take(self) -> None:
        (deployment,) = schemas.of_kind(MANIFESTS, "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        taken = {source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source}
        found = [words for _, words in commands("kubectl ") if words[1] != "apply"]
        self.assertEqual({words[1] for words in found}, {"create", "rollout"})
        for words in found:
            if words[1] == "rollout":
                self.assertEqual(words[2:], ["restart", f"deployment/{deployment['metadata']['name']}"])
                continue
            self.assertEqual(words[2:4], ["secret", "generic"])
            self.assertIn(words[4], taken)
            literals = parser("--from-literal").parse_args(words[5:]).from_literal
            self.assertTrue(literals)
            self.assertLessEqual({literal.split("=")[0] for literal in literals}, schemas.VARIABLES)


class TestHelm(unittest.TestCase):
    def test_charts_and_values_are_there(self) -> None:
        options = parser("--namespace -n", "--set", "--version", flags=("--create-namespace", "--reuse-values"))
        options.add_argument("release")
        options.add_argument("chart")
        found = [words for _, words in commands("helm ") if words[1] in {"install", "upgrade"}]
        self.assertGreaterEqual(len(found), 3)
        for words in found:
            with self.subTest(words=words):
                helm = options.parse_args(words[2:])
                if helm.chart.startswith("oci://"):
                    self.assertEqual(helm.chart.rsplit("/", 1)[1], CHART["name"])
                    self.assertEqual(helm.version, [CHART["version"]])
                else:
                    self.assertTrue((image.ROOT / helm.chart / "Chart.yaml").is_file())
                for pair in helm.set:
                    value = VALUES
                    for name in pair.split("=")[0].split("."):
                        self.assertIn(name, value, pair)
                        value = value[name]


if __name__ == "__main__":
    unittest.main(verbosity=2)
