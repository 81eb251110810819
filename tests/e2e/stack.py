"""A running stack for tests, and the few calls that they make to it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest

from include.embedded import Stack, connect, down, up
from include.embedded.processes import members
from tests.servers import free_port


@dataclass
class RunningStack:
    """A stack with an Airflow session of the administrator and an S3 client."""

    stack: Stack
    http: httpx.Client = field(init=False)
    s3: Any = field(init=False)

    def __post_init__(self) -> None:
        self.s3 = boto3.client(
            "s3", endpoint_url=self.stack.aws_url, aws_access_key_id="test", aws_secret_access_key="test",
            region_name="us-east-1",
        )  # fmt: skip
        self.http = httpx.Client(base_url=self.stack.airflow_url, timeout=60, trust_env=False)
        login = {"username": self.stack.admin_user, "password": self.stack.admin_password}
        token = self.http.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    @property
    def bucket(self) -> str:
        return self.stack.bucket

    def client(self) -> httpx.Client:
        """Return a client of the contracts: the API key, no Airflow session."""
        return httpx.Client(
            base_url=self.stack.airflow_url, headers={"x-api-key": self.stack.api_key}, timeout=60, trust_env=False
        )

    def upload(self, path: Path, key: str) -> str:
        self.s3.upload_file(str(path), self.bucket, key)
        return key

    def keys(self, prefix: str) -> dict[str, int]:
        """Return keys under a prefix and their sizes."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}

    def read_json(self, key: str) -> dict[str, Any]:
        return json.loads(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def download(self, prefix: str, folder: Path) -> Path:
        for key in self.keys(prefix):
            path = folder / key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.s3.download_file(self.bucket, key, str(path))
        return folder

    def trigger(self, dag_id: str, conf: dict[str, Any], run_id: str | None = None) -> str:
        body = {"logical_date": None, "conf": conf} | ({"dag_run_id": run_id} if run_id else {})
        return self.http.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body).raise_for_status().json()["dag_run_id"]

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return self.http.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}").raise_for_status().json()

    def wait(self, dag_id: str, run_id: str, timeout: float = 240) -> str:
        """Return the run's final state."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            # A test may just have killed what answers.
            with contextlib.suppress(httpx.HTTPError):
                if (state := self.run(dag_id, run_id)["state"]) in ("success", "failed"):
                    return state
            time.sleep(0.3)
        raise AssertionError(f"{run_id} did not end in {timeout} s: {self.task_states(dag_id, run_id)}")

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return self.http.get(path, params={"limit": 100}).raise_for_status().json()["task_instances"]

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        return {f"{task['task_id']}[{task['map_index']}]": task["state"] for task in self.tasks(dag_id, run_id)}

    def task_log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1, map_index: int = -1) -> str:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        return self.http.get(path, params={"map_index": map_index}, headers={"Accept": "application/x-ndjson"}).text

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return the stack's processes whose command line holds all the words."""
        found = []
        for process in members(self.stack.id):
            with contextlib.suppress(psutil.Error):
                command = " ".join(process.cmdline())
                if all(word in command for word in words):
                    found.append(process)
        return found


def await_that(what: str, condition: Any, timeout: float = 60, interval: float = 0.05) -> Any:
    """Return the first true value of ``condition()``."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(interval)
    raise AssertionError(f"{what}: not within {timeout} s")


@contextlib.contextmanager
def running_stack(state_dir: Path, settings: dict[str, str]) -> Iterator[RunningStack]:
    """Start a stack of its own on free ports, stop it, and see that nothing of it is left."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            assert up(state_dir, airflow_port=free_port(), moto_port=free_port()) == 0
        stack = connect(state_dir)
        assert stack is not None
        yield RunningStack(stack)
    finally:
        down(state_dir)
    assert members(stack.id) == [], "processes of the stack are left"
