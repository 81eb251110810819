"""A worker in a container of AWS Batch: progress in an object, children of array jobs, SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from include.errors import ParameterError, StorageError
from include.media_store.objects import S3ObjectStore
from include.worker.container import ProgressObject, array_index, batch_job_id, unit_of_array
from tests.media_api.fakes import MemoryStore


class Recorder(MemoryStore):
    """Keeps every version that was written."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: list[dict] = []

    def put_bytes(self, bucket: str, key: str, data: bytes, *args, **kwargs):
        self.versions.append(json.loads(data))
        return super().put_bytes(bucket, key, data)


def until(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_progress_is_written_now_and_then_and_removed_at_the_end() -> None:
    store = Recorder()
    with ProgressObject(store, "media", "k", job="job-1:2", seconds=0.3) as tell:  # type: ignore[arg-type]
        for done in range(1, 51):
            tell({"event": "progress", "done": done, "total": 50})
            time.sleep(0.01)
        until(lambda: store.versions[-1]["done"] == 50)
        assert "k" in store.objects["media"]
    assert 2 <= len(store.versions) <= 4
    assert store.versions[0]["job"] == "job-1:2"
    assert "k" not in store.objects["media"]


def test_no_unit_fails_because_its_progress_cannot_be_told(caplog: pytest.LogCaptureFixture) -> None:
    class Away(MemoryStore):
        def put_bytes(self, *args, **kwargs):
            raise StorageError("The store is away.")

    with ProgressObject(Away(), "media", "k", job="j", seconds=0.05) as tell:  # type: ignore[arg-type]
        tell({"done": 1})
        until(lambda: "The store is away" in caplog.text)
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


@pytest.mark.parametrize(
    ("environ", "index"),
    [
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "7", "AWS_BATCH_JOB_ID": "abc:7"}, 7),
        ({"AWS_BATCH_JOB_ID": "abc:12"}, 12),
        ({"AWS_BATCH_JOB_ID": "abc"}, None),
        ({}, None),
    ],
    ids=["Batch", "moto", "no array", "no job"],
)
def test_the_index_of_a_child_is_that_of_batch(environ: dict[str, str], index: int | None) -> None:
    if index is None:
        with pytest.raises(ParameterError, match="AWS_BATCH_JOB_ARRAY_INDEX"):
            array_index(environ)
    else:
        assert array_index(environ) == index
    assert batch_job_id(environ) == environ.get("AWS_BATCH_JOB_ID")


def test_a_child_finds_its_unit_in_the_manifest() -> None:
    store = MemoryStore()
    store.add("arrays/a b.json", data=b'{"units": ["s3://media/one", "s3://media/two"]}')
    store.add("text.json", data=b"{}")
    assert unit_of_array(store, "s3://media/arrays/a%20b.json", 1) == "s3://media/two"  # type: ignore[arg-type]
    for uri, index in (("s3://media/arrays/a%20b.json", 2), ("s3://media/text.json", 0)):
        with pytest.raises(ParameterError):
            unit_of_array(store, uri, index)  # type: ignore[arg-type]


def test_run_array_runs_the_unit_of_its_index(store: S3ObjectStore, bucket: str, s3) -> None:
    uris = [f"s3://{bucket}/none-{number}.json" for number in range(3)]
    store.put_bytes(bucket, "arrays/a.json", json.dumps({"units": uris}).encode())
    command = [sys.executable, "-m", "include.worker", "run-array", f"s3://{bucket}/arrays/a.json"]
    run = subprocess.run(
        command,
        env=os.environ | s3.environ | {"AWS_BATCH_JOB_ID": "abc:2"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 10
    assert "none-2.json" in json.loads(run.stdout.splitlines()[-1])["result"]["error"]["message"]


STOPS = """
import sys, threading, time
from include.worker import stop
stop.FINISH_SECONDS, stop.END_SECONDS = 0.5, 1.5
cancelled = threading.Event()
stop.stop_on_signals(cancelled, nearly_done=lambda: {nearly}, status=12)
print("ready", flush=True)
began = time.monotonic()
if {heeds}:
    cancelled.wait(20)
    print("cancelled", flush=True)
    sys.exit(3)
time.sleep(20)
"""


@pytest.mark.parametrize(
    ("nearly", "heeds", "status", "least", "most"),
    [(False, True, 3, 0.0, 0.4), (True, True, 3, 0.45, 1.4), (False, False, 12, 1.4, 5.0)],
    ids=["stops at once", "finishes what is nearly done", "is ended where it hangs"],
)
def test_sigterm(nearly: bool, heeds: bool, status: int, least: float, most: float) -> None:
    code = STOPS.format(nearly=nearly, heeds=heeds)
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == status
        assert least <= time.monotonic() - began <= most + 3  # other work on the machine
