"""What makes a release: workflows that can be read, steps that can be tried here, and forms for those who write to us."""

import os
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

import yaml

import image

GITHUB = image.ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
RELEASE = image.ROOT / "deploy/release"
TOOLS = Path(sys.executable).parent


def run(*command: object, cwd: Path = image.ROOT) -> subprocess.CompletedProcess:
    # actionlint looks there for shellcheck, which reads the scripts of the steps.
    env = {**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}"}
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd, env=env)


def scripts() -> list[Path]:
    listed = run("git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard")
    files = [image.ROOT / name for name in listed.stdout.splitlines()]
    return [file for file in files if file.is_file() and re.match(rb"#!.*\b(ba)?sh\n", file.read_bytes())]


class TestWorkflows(unittest.TestCase):
    def test_actionlint_finds_nothing(self) -> None:
        done = run("actionlint", "-shellcheck", "shellcheck", *WORKFLOWS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual([file.name for file in WORKFLOWS], ["ci.yml", "release.yml"])

    def test_ci_is_the_same_as_here(self) -> None:
        jobs = yaml.safe_load((GITHUB / "workflows/ci.yml").read_text())["jobs"]
        self.assertIn(".ci/run", [step.get("run") for step in jobs["check"]["steps"]])
        (deny,) = [step["run"] for step in jobs["advisories"]["steps"] if "check" in step.get("run", "")]
        self.assertTrue(deny.endswith(" advisories"))
        # One version of each tool, wherever it runs.
        here = re.search(r"cargo install --locked cargo-deny --version \S+", (image.ROOT / ".ci/run").read_text()).group()
        self.assertIn(here, [step.get("run") for step in jobs["advisories"]["steps"]])
        rust = re.search(r"^FROM rust:([\d.]+)-", (image.ROOT / "Dockerfile").read_text(), re.MULTILINE).group(1)
        for file in WORKFLOWS:
            for named in re.findall(r"rustup (?:toolchain install|default) ([\d.]+)", file.read_text()):
                self.assertEqual(named, rust, file.name)

    def test_no_job_may_do_more_than_it_has_to(self) -> None:
        for file in WORKFLOWS:
            workflow = yaml.safe_load(file.read_text())
            self.assertEqual(workflow["permissions"], {"contents": "read"}, file.name)
            for name, job in workflow["jobs"].items():
                for step in job.get("steps", []):
                    if step.get("uses", "").startswith("actions/checkout@"):
                        self.assertIs(step["with"]["persist-credentials"], False, name)
                    self.assertNotIn("${{", step.get("run", ""), "what comes from outside reaches a script as a variable")

    def test_an_image_is_signed_and_tells_what_is_in_it(self) -> None:
        jobs = yaml.safe_load((GITHUB / "workflows/release.yml").read_text())["jobs"]
        (build,) = [step for step in jobs["image"]["steps"] if "build-push-action" in step.get("uses", "")]
        self.assertEqual((build["with"]["sbom"], build["with"]["provenance"]), (True, "mode=max"))
        built = {each["architecture"] for each in jobs["image"]["strategy"]["matrix"]["include"]}
        self.assertEqual(built, {"amd64", "arm64"})
        for name in ["sign", "chart"]:
            self.assertIn("cosign sign --yes", " ".join(step.get("run", "") for step in jobs[name]["steps"]))
            self.assertEqual(jobs[name]["permissions"]["id-token"], "write")

    def test_forms_and_folders_are_there(self) -> None:
        for file in GITHUB.glob("ISSUE_TEMPLATE/*.yml"):
            form = yaml.safe_load(file.read_text())
            if file.name == "config.yml":
                continue
            self.assertTrue(form["name"] and form["description"], file.name)
            for field in form["body"]:
                self.assertIn(field["type"], ["markdown", "input", "textarea", "dropdown", "checkboxes"])
                self.assertTrue(field["attributes"].get("label") or field["type"] == "markdown", field)
            names = [field["id"] for field in form["body"] if field["type"] != "markdown"]
            self.assertEqual(len(set(names)), len(names), file.name)
        manifests = {
            "cargo": "Cargo.toml",
            "docker": "Dockerfile",
            "docker-compose": "compose.yaml",
            "github-actions": ".github/workflows",
            "npm": "package-lock.json",
            "pip": "requirements*.txt",
        }
        for update in yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]:
            for folder in update.get("directories", [update.get("directory")]):
                found = list((image.ROOT / folder.lstrip("/")).glob(manifests[update["package-ecosystem"]]))
                self.assertTrue(found, f"{update['package-ecosystem']} in {folder}")


class TestScripts(unittest.TestCase):
    def test_shellcheck_finds_nothing(self) -> None:
        files = scripts()
        self.assertGreater(len(files), 8)
        done = run("shellcheck", "--severity=warning", *files)
        self.assertEqual(done.returncode, 0, done.stdout)


class TestRelease(unittest.TestCase):
    def setUp(self) -> None:
        self.version = run(RELEASE, "version").stdout.strip()
        self.assertRegex(self.version, r"^\d+\.\d+\.\d+$")

    def test_everything_has_the_version_of_the_tag(self) -> None:
        done = run(RELEASE, "check", f"v{self.version}")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for tag in [self.version, "v99.0.0", f"v{self.version}-rc.1"]:
            done = run(RELEASE, "check", tag)
            self.assertNotEqual(done.returncode, 0, tag)
            self.assertIn(f"its tag is v{self.version}", done.stderr)

    def copy(self, folder: str, version: str, changelog: str) -> Path:
        """A repository that has nothing but what `check` looks at, where Cargo.toml alone has another version."""
        root = Path(folder)
        for name in ["deploy/release", "deploy/helm/Chart.yaml", "deploy/kubernetes/server.yaml", "deploy/compose.yaml", "docs/hosting.md"]:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes((image.ROOT / name).read_bytes())
        (root / "deploy/release").chmod(0o755)
        (root / "Cargo.toml").write_text(f'[package]\nname = "x"\nversion = "{version}"\n\n[dependencies]\ny = {{ version = "1" }}\n')
        (root / "docs/CHANGELOG.md").write_text(changelog)
        return root

    def test_what_was_forgotten_is_named(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = self.copy(folder, "9.8.7", "## 9.8.7\n\n- New.\n")
            done = run(root / "deploy/release", "check", "v9.8.7", cwd=root)
            self.assertNotEqual(done.returncode, 0)
            for file in ["deploy/helm/Chart.yaml", "deploy/kubernetes/server.yaml", "deploy/compose.yaml", "docs/hosting.md"]:
                self.assertIn(file, done.stderr)

    def test_notes_are_the_section_of_the_changelog(self) -> None:
        changelog = "# Changelog\n\n## Unreleased\n\n- Later.\n\n## 1.0.10 - 2026-01-02\n\n### Added\n\n- Ten.\n\n## [1.0.1] - 2026\n\n- One.\n"
        with tempfile.TemporaryDirectory() as folder:
            root = self.copy(folder, self.version, changelog)
            notes = lambda version: run(root / "deploy/release", "notes", version, cwd=root)
            self.assertEqual(notes("1.0.10").stdout, "### Added\n\n- Ten.\n")
            self.assertEqual(notes("1.0.1").stdout, "- One.\n")
            for version in ["1.0.2", "1.0", "1x0.1"]:
                self.assertNotEqual(notes(version).returncode, 0, version)
            self.assertIn(f"no section {self.version}", run(root / "deploy/release", "check", f"v{self.version}", cwd=root).stderr)

    def test_an_archive_holds_what_belongs_together_and_is_the_same_each_time(self) -> None:
        target = f"{platform.machine()}-unknown-linux-gnu"
        with tempfile.TemporaryDirectory() as folder:
            packed = []
            for number in range(2):
                done = run(RELEASE, "pack", "/bin/true", target, f"{folder}/{number}")
                self.assertEqual(done.returncode, 0, done.stderr)
                packed.append(Path(done.stdout.strip()).read_bytes())
            self.assertEqual(*packed)
            name = f"integration-app-mcp-server-{self.version}-{target}"
            self.assertEqual(Path(done.stdout.strip()).name, f"{name}.tar.gz")
            with tarfile.open(done.stdout.strip()) as archive:
                files = {member.name.removeprefix(f"{name}/"): member for member in archive if member.isfile()}
            program = "integration-app-mcp-server"
            unit = "deploy/systemd/integration-app-mcp-server.service"
            self.assertEqual(set(files), {program, "LICENSE", "README.md", "THIRD-PARTY-NOTICES", unit})
            self.assertEqual(files[program].mode, 0o755)
            self.assertGreater(files["THIRD-PARTY-NOTICES"].size, 100_000)


if __name__ == "__main__":
    unittest.main(verbosity=2)
