"""Whatever is killed at whatever moment of an upload, one file, one ladder and one end come of it."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import psutil
import pytest

from include.embedded import programs
from include.uploads.models import UploadReference
from tests.conftest import Clips
from tests.e2e.stack import RunningStack, await_that, running_stack
from tests.e2e.test_contract4 import create, follow, padded, put

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack"), pytest.mark.long, pytest.mark.timeout(600)]

MIB = 2**20


@pytest.fixture(scope="module")
def stack(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack that waits for parts until a killed server is back, however busy the machine."""
    settings = {
        "MEDIA_API_KEYS": "ours:e2e-key-of-ours-0123456789",
        "MEDIA_UNIT_SLOTS": "2",
        "MEDIA_UPLOAD_PART_SIZE": str(5 * MIB),
        "MEDIA_UPLOAD_POLL_SECONDS": "0.5",
        "MEDIA_UPLOAD_PART_TIMEOUT_SECONDS": "400",
        "MEDIA_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
    }
    with running_stack(tmp_path_factory.mktemp("stack") / "state", settings) as running:
        yield running


@dataclass(frozen=True)
class Case:
    """An upload in the running stack, its parts not sent."""

    stack: RunningStack
    client: httpx.Client
    path: str
    reference: UploadReference
    content: bytes

    def send(self, *numbers: int) -> None:
        for n in numbers:
            put(self.client, self.path, n, self.content[n * 5 * MIB : (n + 1) * 5 * MIB])

    def complete_parts(self) -> int:
        return sum(part["complete"] for part in self.client.get(self.path).raise_for_status().json()["parts"])

    def task(self, task_id: str) -> dict[str, object]:
        found = [task for task in self.stack.tasks("upload", self.reference.run_id) if task["task_id"] == task_id]
        return found[0] if found else {"state": None}

    def is_in(self, task_id: str, *states: str) -> bool:
        return self.task(task_id)["state"] in states


def program(name: str) -> Callable[[Case], psutil.Process]:
    """One of the stack's own processes."""
    return lambda case: psutil.Process(programs.states(case.stack.stack)[name]["pid"])


def process_of(task_id: str, *, supervisor: bool = False) -> Callable[[Case], psutil.Process]:
    """Airflow's process of a task, or the one that watches over it; it is waited for."""

    def find(case: Case) -> psutil.Process | None:
        instance = str(case.task(task_id).get("id"))
        for process in case.stack.processes("LocalExecutor", instance):
            with contextlib.suppress(psutil.Error):
                if supervisor:
                    return process
                if children := process.children():
                    return children[0]
        return None

    return lambda case: await_that(f"{task_id} has a process", lambda: find(case), timeout=120, interval=0.02)


def nothing_sent(case: Case) -> None:
    await_that("the parts are awaited", lambda: case.is_in("await_parts", "deferred"), timeout=120)


def one_part_landed(case: Case) -> None:
    case.send(2)
    await_that("a part has landed", case.complete_parts, timeout=120)


def at_once(case: Case) -> None:
    pass


def all_sent(case: Case) -> None:
    case.send(2, 0, 1)


def transcode_followed(case: Case) -> None:
    case.send(1, 2, 0)
    await_that("the transcode is followed", lambda: case.is_in("transcode", "deferred"), timeout=180)


def encoding(case: Case) -> psutil.Process:
    return await_that("an encode runs", lambda: case.stack.processes("include.worker", "unit-video"), timeout=120)[0]


POINTS = {
    "the API server, just after it has answered": (at_once, program("api-server")),
    "the process that begins to wait": (at_once, process_of("await_parts")),
    "the triggerer, before the first part": (nothing_sent, program("triggerer")),
    "the scheduler, before the first part": (nothing_sent, program("scheduler")),
    "the triggerer, when one part has landed": (one_part_landed, program("triggerer")),
    "the API server, when one part has landed": (one_part_landed, program("api-server")),
    "the triggerer, when all parts are sent": (all_sent, program("triggerer")),
    "the scheduler, when all parts are sent": (all_sent, program("scheduler")),
    "the process that joins": (all_sent, process_of("join")),
    "the supervisor of the process that joins": (all_sent, process_of("join", supervisor=True)),
    "the process that starts the transcode": (all_sent, process_of("transcode")),
    "the process that removes the parts": (all_sent, process_of("clean")),
    "the triggerer, while it follows the transcode": (transcode_followed, program("triggerer")),
    "the scheduler, while the transcode is followed": (transcode_followed, program("scheduler")),
    "the worker that encodes": (transcode_followed, encoding),
    "the process that reports": (all_sent, process_of("report")),
}


@pytest.mark.parametrize("point", POINTS)
def test_an_upload_survives_the_kill_of(point: str, stack: RunningStack, clip: Clips) -> None:
    content = padded(clip("short"), 12 * MIB + len(point))
    when, victim = POINTS[point]
    with stack.client() as client:
        created = create(client, "killed", content)
        reference = UploadReference(atom_id="killed", upload_id=created["id"], client="ours")
        case = Case(stack, client, f"/api2/atom/killed/uploads/{created['id']}", reference, content)
        when(case)
        with contextlib.suppress(psutil.NoSuchProcess):
            victim(case).send_signal(signal.SIGKILL)
        if when in (at_once, nothing_sent, one_part_landed):
            await_that("the server answers", lambda: _answers(case), timeout=300)
            case.send(0, 1, 2)
        [destination] = follow(client, case.path, timeout=400)[-1]["destinations"]
    assert destination["status"] == "complete", destination
    assert stack.wait("upload", reference.run_id) == "success", stack.task_states("upload", reference.run_id)
    full = stack.s3.get_object(Bucket=stack.bucket, Key=reference.full_key)["Body"].read()
    assert hashlib.sha256(full).hexdigest() == hashlib.sha256(content).hexdigest()
    await_that("the parts are removed", lambda: not stack.keys(reference.parts_prefix), timeout=60)
    assert not stack.s3.list_multipart_uploads(Bucket=stack.bucket).get("Uploads"), "a copy was left behind"
    transcodes = stack.http.get("/api/v2/dags/transcode/dagRuns", params={"limit": 100}).json()["dag_runs"]
    assert sum(run["conf"].get("source_key") == reference.full_key for run in transcodes) == 1


def _answers(case: Case) -> bool:
    try:
        return case.client.get(case.path).status_code == 200
    except httpx.TransportError:
        time.sleep(0.3)
        return False
