"""Builds what the Dockerfile describes, without a container engine: its first stage in a folder, its last one in another.

The last stage's base image is not there, which takes nothing away: the binary needs nothing of it.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

# As in the image, but built in a minute or two rather than five.
QUICK = {
    "CARGO_PROFILE_RELEASE_LTO": "off",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "1",
}


class Stage:
    def __init__(self, base: str) -> None:
        self.base = base
        self.steps: list[tuple[str, str]] = []


class Image:
    """The image in a folder, with what the Dockerfile says of how to run it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "image"
        self.env: dict[str, str] = {}
        self.user = ""
        self.entrypoint: list[str] = []
        self.healthcheck: list[str] = []
        self.volumes: list[str] = []
        self.workdir = "/"


def read(dockerfile: Path) -> dict[str, Stage]:
    """The stages by name; the last one is also `""`."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    stages: dict[str, Stage] = {}
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            base, *name = re.split(r"\s+AS\s+", rest)
            stages[name[0] if name else ""] = Stage(base)
        else:
            list(stages.values())[-1].steps.append((word, rest.strip()))
    return stages


def build(folder: Path) -> Image:
    stages = read(ROOT / "Dockerfile")
    # Packages stay built from one run to the next; the folder of the stage stays the same for that.
    target = folder / "target"
    target.mkdir(parents=True, exist_ok=True)
    first = folder / "build-stage"
    shutil.rmtree(first, ignore_errors=True)
    run_build_stage(stages["build"], first, target)
    image = Image(folder)
    shutil.rmtree(image.root, ignore_errors=True)
    assemble(stages[""], first, image)
    return image


def run_build_stage(stage: Stage, root: Path, target: Path) -> None:
    # Where the caller's cargo builds means nothing in an image.
    env, workdir = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}, root
    for word, rest in stage.steps:
        match word:
            case "WORKDIR":
                workdir = root / rest.lstrip("/")
                workdir.mkdir(parents=True)
                (workdir / "target").symlink_to(target)
            case "ENV":
                env.update(pair.split("=", 1) for pair in shlex.split(rest))
            case "COPY":
                *sources, to = rest.split()
                copy([ROOT / source for source in sources], workdir / to)
            case "RUN":
                subprocess.run(["sh", "-ec", rest], cwd=workdir, env={**env, **QUICK}, check=True)
            case _:
                raise ValueError(f"what would {word} do here?")


def assemble(stage: Stage, first: Path, image: Image) -> None:
    inside = lambda path: image.root / os.path.join(image.workdir, path).lstrip("/")
    image.root.mkdir()
    for word, rest in stage.steps:
        match word:
            case "WORKDIR":
                image.workdir = rest
                inside(".").mkdir(parents=True)
            case "COPY":
                *options, source, to = rest.split()
                owner = next((o.removeprefix("--chown=") for o in options if o.startswith("--chown=")), None)
                assert "--from=build" in options, rest
                copy([first / source.lstrip("/")], inside(to))
                if owner:
                    uid, gid = map(int, owner.split(":"))
                    os.chown(inside(to), uid, gid)
            case "ENV":
                image.env.update(pair.split("=", 1) for pair in shlex.split(rest))
            case "USER":
                image.user = rest
            case "VOLUME":
                image.volumes = json.loads(rest)
            case "ENTRYPOINT":
                image.entrypoint = json.loads(rest)
            case "HEALTHCHECK":
                image.healthcheck = json.loads(rest.split("CMD", 1)[1])
            case "EXPOSE":
                pass
            case _:
                raise ValueError(f"what would {word} do here?")


def copy(sources: list[Path], to: Path) -> None:
    for source in sources:
        into = to / source.name if to.is_dir() and (source.is_file() or len(sources) > 1) else to
        if source.is_dir():
            shutil.copytree(source, into)
        else:
            shutil.copy2(source, into)
