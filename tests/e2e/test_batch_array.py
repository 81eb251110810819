"""An array job of real containers: each child runs its unit, and what was killed is all that is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.embedded.batch import image_name, job_environment, make_resources
from include.errors import MediaError
from include.media_store.objects import S3ObjectStore
from include.orchestration.backends.batch import BatchBackend, Waiting
from include.orchestration.batch.jobs import BatchJob
from include.orchestration.batch.memory import Memory
from include.orchestration.batch.progress import read_progress
from include.orchestration.batch.service import HookBatchService
from include.orchestration.batch.submission import Work
from include.settings import Settings
from include.worker.execute import execute
from include.worker.groups import grouped
from include.worker.job import Job, plan_unit
from include.worker.models import TranscodeRequest
from tests.conftest import Clips
from tests.containers.engine import image_exists
from tests.e2e.stack import await_that
from tests.media import ffmpeg, ffprobe
from tests.orchestration.batch.fakes import FakeStateStore
from tests.servers import moto

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a moto server that runs jobs as containers of the host's network."""
    if not image_exists("worker-cpu"):
        pytest.skip(f"there is no image {image_name()}; make images builds it")
    monkeypatch.setenv("MOTO_DOCKER_NETWORK_MODE", "host")
    with moto() as url:
        yield _on(url, monkeypatch, tmp_path)


def _on(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Settings:
    environ = {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
    }  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings = Settings(
        _env_file=None, bucket="media", cache_dir=folder, chunk_seconds=2, unit_slots=1, x264_preset="medium", ffmpeg=ffmpeg(),
        ffprobe=ffprobe(), batch_units="video", batch_array_size=10,
    )  # fmt: skip
    make_resources(image=image_name(), sr_image=image_name(), environment=job_environment({}), settings=settings)
    import boto3

    boto3.client("s3").create_bucket(Bucket="media")
    return settings


def test_children_run_their_units_and_a_retry_runs_what_is_missing(settings: Settings, clip: Clips) -> None:
    import os

    import docker

    store = S3ObjectStore(settings)
    store.upload(clip("plain"), "media", "in/array.mp4")
    request = TranscodeRequest(bucket="media", source_key="in/array.mp4", folder="out/", name="array")
    job = Job.of(store, settings, request)
    planned = execute(plan_unit(request), store=store, settings=settings)
    assert planned.status == "done", planned.error
    (_, group) = grouped(planned.units, settings)
    units = [job.read_unit(unit.id) for unit in group]
    assert len(units) >= 4
    service, state = HookBatchService(), FakeStateStore()

    def attempt(number: int) -> BatchBackend:
        return BatchBackend(service, Memory(state), Work(tuple(units)), job, settings, attempt=number, environ=os.environ)

    waiting = attempt(1).advance()
    assert isinstance(waiting, Waiting)
    children = await_that("a child runs", lambda: _containers(docker, waiting.job), 300)
    assert all(waiting.job.id in one.name for one in children)
    children[0].kill()

    def look() -> BatchJob:
        return BatchJob.of(service.describe(waiting.job.id) or {})

    seen: list[dict[str, Any]] = []

    def over() -> bool:
        if told := read_progress(store, job.bucket, job.progress_prefix, units[0].id, look()):
            seen.append(told)
        return look().is_over

    await_that("the array has ended", over, 600, 1)
    assert not look().succeeded
    assert 0 < max(told["fraction"] for told in seen) < 1
    assert seen[-1]["total"] == len(units)
    with pytest.raises(MediaError, match="137"):
        attempt(1).advance()

    missing = [unit for unit in units if job.done_before(unit) is None]
    assert 1 <= len(missing) < len(units)
    again = attempt(2).advance()
    assert isinstance(again, Waiting)
    await_that("the retry has ended", lambda: _is_over(service, again.job.id), 600, 1)
    result = attempt(2).advance()
    assert not isinstance(result, Waiting)
    assert (result["metrics"]["units"], result["metrics"]["frames"]) == (len(units), clip.frames("plain"))
    assert len([one for one in _submitted(service) if one.size > 1]) == 1 + (len(missing) > 1)


def _containers(docker: Any, job: BatchJob) -> list[Any]:
    return [one for one in docker.from_env().containers.list() if job.id in one.name]


def _is_over(service: HookBatchService, job_id: str) -> bool:
    return BatchJob.of(service.describe(job_id) or {}).is_over


def _submitted(service: HookBatchService) -> list[BatchJob]:
    found = [service.describe(one["jobId"]) for one in service.find("Transcode_queue_Spot", "reelflow-")]
    return [BatchJob.of(one) for one in found if one]
