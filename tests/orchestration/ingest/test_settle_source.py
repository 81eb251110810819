"""The report of a job that a dropped object has started."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import pytest

from include.errors import StorageError
from include.ingest import place
from include.ingest.claims import Claims
from include.ingest.dispatch import dispatch
from include.ingest.models import Dropped
from include.ingest.place import Ingest
from include.media_store.inbox import S3Inbox
from include.media_store.objects import S3ObjectStore
from include.orchestration.report import settle_source
from include.orchestration.super_resolution import job_of
from include.settings import Settings
from include.worker.job import Job
from include.worker.requests import SuperResolutionRequest
from tests.ingest.fakes import FakeRuns


@pytest.fixture
def ingest(bucket: str, s3_connection: Any, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    root = f"{uuid.uuid4().hex[:8]}/"
    settings = Settings(
        bucket=bucket,
        work_prefix=f"{root}_reelflow/",
        ingest_transcode_prefixes=f"{root}in/",
        ingest_finished_folder=f"{root}done/",
        ingest_settle_seconds=0,
    )
    found = Ingest(settings, S3ObjectStore(client=s3_connection), S3Inbox(client=s3_connection))
    monkeypatch.setattr(place, "open_ingest", lambda: found)
    return found


@pytest.fixture
def job(ingest: Ingest) -> Job:
    (prefix,), runs = ingest.settings.ingest_transcode_prefixes, FakeRuns()
    ingest.store.put_bytes(ingest.settings.bucket, f"{prefix}clip.mp4", b"a film")
    (one,) = dispatch(ingest, [Dropped(ingest.settings.bucket, f"{prefix}clip.mp4")], runs)
    (conf,) = runs.confs.values()
    ingest.store.put_bytes(ingest.settings.bucket, f"{conf['folder']}{conf['name']}.m3u8", b"what was made of it")
    return Job(ingest.store, ingest.settings, ingest.settings.bucket, one.run_id.removeprefix("transcode__"))


def test_it_settles_the_object(ingest: Ingest, job: Job) -> None:
    settle_source(job, {"code": "TimeOut", "message": "Too late.", "retryable": True})
    (prefix,) = ingest.settings.ingest_transcode_prefixes
    assert ingest.store.head(job.bucket, f"{prefix}clip.mp4.error.json")
    settle_source(job, None)
    assert not list(ingest.store.list(job.bucket, prefix))
    assert Claims(ingest).open_ids() == set()


def test_a_failure_to_do_so_is_not_the_runs(
    ingest: Ingest, job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*arguments: object) -> bool:
        raise StorageError("The store is away.")

    monkeypatch.setattr(S3Inbox, "move", away)
    with caplog.at_level(logging.WARNING):
        settle_source(job, None)
    assert "The store is away" in caplog.text
    assert len(Claims(ingest).open_ids()) == 1, "it is settled later"


def test_jobs_of_others_need_no_place(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "open_ingest", lambda: pytest.fail("it was opened"))
    settle_source(Job(ingest.store, ingest.settings, ingest.settings.bucket, "0" * 20), None)


def test_an_upscaled_video_with_a_folder_of_its_own_is_another_job() -> None:
    beside = SuperResolutionRequest(bucket="media", key="in/a.mp4")
    apart = SuperResolutionRequest(bucket="media", key="in/a.mp4", output_folder="out/", ladder="m3u8")
    assert apart.destination_key == "out/a_x2.mp4"
    assert apart.debug_folder == "out/a_mp4_debug/"
    assert apart.ladder_request is not None
    assert apart.ladder_request.folder == "out/a_x2/"
    assert apart.job_id != beside.job_id
    # Documents that were written before there was this field stay what they are.
    assert "output_folder" not in beside.model_dump(mode="json")
    found = job_of(apart.model_dump(mode="json") | {"task": "nonsense"})
    assert found is not None
    assert found.job_id == apart.job_id
    for folder in ("/out/", "out", "../out/"):
        with pytest.raises(ValueError, match="output_folder"):
            SuperResolutionRequest(bucket="media", key="in/a.mp4", output_folder=folder)
