"""The stack of docker-compose.yaml, running for tests on its own ports, with stand-ins of public images that cannot be pulled."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from include.compose.env import complete
from scripts.compose_stack import ComposeStack
from tests.compose.files import EXAMPLE, ROOT
from tests.containers.engine import docker
from tests.e2e.stack import await_that
from tests.servers import free_port

__all__ = ["Running", "running"]

# What is started; Grafana has no stand-in, and a GPU few machines.
SERVICES = (
    *("postgres", "valkey", "objects", "dynamodb", "aws", "airflow-init", "api-server", "scheduler", "dag-processor"),
    *("triggerer", "worker", "statsd-exporter", "prometheus"),
)
START_SECONDS = 600


@dataclass
class Running:
    """A stack and the few calls that tests make to it."""

    stack: ComposeStack
    env_file: Path
    project: str

    def compose(self, *arguments: str, check: bool = True, seconds: float = START_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run docker-compose; which of the two there is makes no difference to the file."""
        command = compose_command()
        assert command, "neither docker compose nor docker-compose is here"
        options = ["--env-file", str(self.env_file), "--project-name", self.project, "--profile", "monitoring"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MEDIA_", "AWS_", "AIRFLOW"))}
        done = subprocess.run(
            [*command, *options, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        assert not check or done.returncode == 0, f"{' '.join(arguments)}: {done.stderr[-3000:]}\n{done.stdout[-1000:]}"
        return done

    def containers(self, service: str) -> list[str]:
        """Return the ids of the running containers of a service."""
        labels = (f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}")
        return docker("ps", "--quiet", *(part for label in labels for part in ("--filter", f"label={label}"))).stdout.split()

    def health(self, service: str) -> list[str]:
        """Return the health of each container of a service."""
        found = self.containers(service)
        return docker("inspect", "--format", "{{.State.Health.Status}}", *found).stdout.split() if found else []

    def up(self, **changes: str) -> None:
        """Start what does not run as it should, with these changes to ``.env``, and wait until all of it is well."""
        if changes:
            self.stack.env.update(changes)
            self.env_file.write_text("".join(f"{name}={value}\n" for name, value in self.stack.env.items()))
        self.compose("up", "--detach", *SERVICES)
        for service in SERVICES:
            if service != "airflow-init":
                await_that(f"{service} is well", lambda name=service: set(self.health(name)) == {"healthy"}, START_SECONDS, 1)

    def anonymous(self) -> httpx.Client:
        """Return a client without key and session."""
        return httpx.Client(base_url=self.stack.airflow_url, timeout=60, trust_env=False)

    def client(self) -> httpx.Client:
        """Return a client of the contracts: the API key, no Airflow session."""
        client = self.anonymous()
        client.headers["x-api-key"] = self.stack.api_key
        return client

    def admin(self) -> httpx.Client:
        """Return a client with the administrator's session."""
        login = {"username": self.stack.admin_user, "password": self.stack.admin_password}
        with self.anonymous() as anonymous:
            token = anonymous.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        client = self.anonymous()
        client.headers["Authorization"] = f"Bearer {token}"
        return client

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        with self.admin() as admin:
            path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
            return admin.get(path, params={"limit": 100}).raise_for_status().json()["task_instances"]

    def await_run(self, dag_id: str, run_id: str, seconds: float = 500) -> str:
        """Return the final state of a run."""
        deadline = time.monotonic() + seconds
        with self.admin() as admin:
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.HTTPError):
                    run = admin.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}").raise_for_status().json()
                    if run["state"] in ("success", "failed"):
                        return str(run["state"])
                time.sleep(1)
        states = {f"{task['task_id']}[{task['map_index']}]": task["state"] for task in self.tasks(dag_id, run_id)}
        raise AssertionError(f"{run_id} did not end in {seconds} s: {states}")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Ask Prometheus; raises where it does not understand."""
        script = 'wget -q -O - --post-data "query=$1" http://localhost:9090/api/v1/query'
        container = self.containers("prometheus")[0]
        encoded = str(httpx.QueryParams({"q": expression}))[2:]
        done = docker("exec", container, "sh", "-c", script, "sh", encoded, check=False)
        assert done.returncode == 0, f"Prometheus refuses {expression}: {done.stderr}"
        return list(json.loads(done.stdout)["data"]["result"])


def compose_command() -> list[str] | None:
    """Return the command of Compose 2, or of 1, or ``None`` where there is neither."""
    if shutil.which("docker") and docker("compose", "version", check=False).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


@contextlib.contextmanager
def running(folder: Path, settings: dict[str, str], on_failure: Callable[[str], None] = print) -> Iterator[Running]:
    """Bring the stack up with these settings, and take it down with all it has kept."""
    project = f"reelflow-test-{uuid.uuid4().hex[:6]}"
    env_file = folder / "env"
    env_file.write_text(complete(EXAMPLE.read_text()))
    stack = ComposeStack.of(env_file)
    port = free_port()
    stack.env.update(
        {
            "ENV_FILE": str(env_file),
            "COMPOSE_NETWORK": project,
            "AIRFLOW_PORT": str(port),
            "AIRFLOW_BASE_URL": f"http://localhost:{port}",
            "OBJECTS_PORT": str(free_port()),
            "METRICS_ON": "True",
            "IMAGE_PREFIX": os.environ.get("IMAGE_PREFIX", "reelflow/"),
            "IMAGE_TAG": os.environ.get("IMAGE_TAG", "latest"),
        }
    )
    run = Running(stack, env_file, project)
    try:
        run.up(**settings)
        yield run
    except BaseException:
        on_failure(run.compose("ps", check=False).stdout)
        on_failure(run.compose("logs", "--no-color", "--tail", "60", check=False).stdout[-20000:])
        raise
    finally:
        run.compose("stop", "--timeout", "5", check=False)
        # What is left in the network are containers of jobs that Compose knows nothing of.
        for left in docker("ps", "--quiet", "--filter", f"network={project}", check=False).stdout.split():
            docker("rm", "--force", "--volumes", left, check=False)
        run.compose("down", "--volumes", "--timeout", "5", check=False)
