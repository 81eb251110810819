"""The Docker engine of this machine, as tests of images use it."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

__all__ = ["IMAGES", "Container", "container_id", "engine_missing", "image", "image_exists", "inspect", "run", "start"]

IMAGES = ("airflow", "worker-cpu", "worker-cuda", "worker-inf1", "worker-inf2")
SECONDS = 180


@lru_cache(maxsize=1)
def engine_missing() -> str | None:
    """Return why tests with Docker cannot run here, or ``None`` where they can."""
    if os.environ.get("REELFLOW_TEST_DOCKER") != "1":
        return "needs REELFLOW_TEST_DOCKER=1, which make test-docker sets"
    try:
        answer = docker("version", "--format", "{{.Server.Version}}", check=False)
    except FileNotFoundError:
        return "there is no Docker here"
    return None if answer.returncode == 0 else f"no Docker engine answers: {answer.stderr.strip()[:200]}"


def docker(*arguments: str, check: bool = True, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
    """Run ``docker`` with these arguments; its output is text."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=seconds)
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def image(name: str) -> str:
    """Return the full name of one of our images."""
    return f"{os.environ.get('IMAGE_PREFIX', 'reelflow/')}{name}:{os.environ.get('IMAGE_TAG', 'latest')}"


def image_exists(name: str) -> bool:
    """Tell whether it was built on this machine."""
    return docker("image", "inspect", image(name), check=False).returncode == 0


def inspect(name: str, template: str) -> str:
    """Return what ``docker image inspect --format`` says of one of our images."""
    return docker("image", "inspect", "--format", template, image(name)).stdout.strip()


def run(name: str, *command: str, options: Sequence[str] = (), check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one of our images to its end; ``options`` are docker's own."""
    return docker("run", "--rm", "--name", container_id(), *options, image(name), *command, check=check)


def container_id() -> str:
    """Return a name that no other container has."""
    return f"reelflow-test-{uuid.uuid4().hex[:12]}"


@dataclass
class Container:
    """A container that runs beside the test; removed at the end of the ``with`` block."""

    name: str
    arguments: Sequence[str]
    id: str = field(default_factory=container_id)

    def __enter__(self) -> Container:
        docker("run", "--detach", "--name", self.id, *self.arguments)
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "--force", "--volumes", self.id, check=False)

    @property
    def log(self) -> str:
        """What it has printed, standard output first."""
        answer = docker("logs", self.id, check=False)
        return answer.stdout + answer.stderr

    @property
    def output(self) -> str:
        """What it has printed to standard output."""
        return docker("logs", self.id, check=False).stdout

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return docker("inspect", "--format", "{{.State.Running}}", self.id).stdout.strip() == "true"

    def stop(self, seconds: int = 30) -> int:
        """Do what ``docker stop`` does, and return the exit code."""
        docker("stop", "--time", str(seconds), self.id)
        return int(docker("inspect", "--format", "{{.State.ExitCode}}", self.id).stdout)


def start(name: str, *command: str, environ: Mapping[str, str], options: Sequence[str] = ()) -> Container:
    """Return one of our images, to be run on the host's network with these variables."""
    variables = [part for key, value in environ.items() for part in ("--env", f"{key}={value}")]
    return Container(name, ["--network", "host", *variables, *options, image(name), *command])
