"""The flow of units, with media work that is pretended and a real S3 server."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from include.errors import InternalError, InvalidInputData, NotFound, ParameterError
from include.media_store.objects import ObjectStore, S3ObjectStore
from include.media_store.slots import slot
from include.settings import Settings
from include.worker.execute import execute
from include.worker.job import Job, finish_unit, plan_unit
from include.worker.models import TranscodeRequest, UnitResult, WorkUnit
from tests.worker.fakes import FakeMedia, Spy


@dataclass
class Line:
    """A job and all that is needed to run its units."""

    store: ObjectStore
    settings: Settings
    request: TranscodeRequest
    media: FakeMedia = field(default_factory=FakeMedia)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def job(self) -> Job:
        return Job.of(self.store, self.settings, self.request)

    def run(self, unit: str | WorkUnit, **changes: Any) -> UnitResult:
        unit = self.job.unit_uri(unit) if isinstance(unit, str) else unit
        arguments = {"store": self.store, "settings": self.settings, "emit": self.events.append, "media": self.media.tools()}
        return execute(unit, **{**arguments, **changes})

    def plan(self, **changes: Any) -> UnitResult:
        return self.run(plan_unit(self.request), **changes)

    def all(self) -> list[UnitResult]:
        plan = self.plan()
        assert plan.status == "done", plan.error
        return [plan, *(self.run(unit.id) for unit in plan.units), self.run("finish")]

    def keys(self, prefix: str) -> list[str]:
        return [ref.key for ref in self.store.list(self.request.bucket, prefix)]


@pytest.fixture
def line(store: S3ObjectStore, bucket: str, settings: Settings) -> Line:
    name = uuid.uuid4().hex[:8]
    store.put_bytes(bucket, f"src/{name}.mp4", b"source one")
    request = TranscodeRequest(bucket=bucket, source_key=f"src/{name}.mp4", folder=f"dst/{name} #1 中/", name="film 100%")
    return Line(store, settings, request)


def test_a_job_goes_from_request_to_published_output(line: Line) -> None:
    plan, audio, *videos, finish = line.all()
    assert [unit.id for unit in plan.units] == ["audio", "video-00000", "video-00001"]
    assert [unit.label for unit in plan.units][1:] == ["chunk 1/2  00:00:00–00:00:02", "chunk 2/2  00:00:02–00:00:04"]
    assert [result.status for result in (audio, *videos, finish)] == ["done"] * 4
    folder = line.request.folder
    data = line.store.get_bytes(line.request.bucket, f"{folder}hls0800k/film 100%.ts")
    assert data == b"source one chunk-0 hls0800k;source one chunk-1 hls0800k;audio;"
    published = {"00001.jpg", "00002.jpg", "film 100%.m3u8", "hls0800k/film 100%.ts", "hls1600k/film 100%.ts", "report.json"}
    assert set(line.keys(folder)) == {folder + name for name in published}
    assert {output.ref.key for output in finish.outputs} == {folder + name for name in published}
    assert finish.outputs[-1].ref.key == line.request.destination_key
    assert line.keys(line.job.chunks_prefix) == []
    assert line.job.read_request() == line.request


def test_the_report_tells_quality_and_costs(line: Line) -> None:
    line.all()
    report = json.loads(line.store.get_bytes(line.request.bucket, f"{line.request.folder}report.json"))
    assert report["renditions"][0]["quality"] == {"psnr": 40.5, "ssim": 0.9}
    assert report["renditions"][0]["bytes"] == len(b"source one chunk-0 hls0800k;source one chunk-1 hls0800k;audio;")
    assert report["source"]["etag"] == line.store.head(line.request.bucket, line.request.source_key).etag
    assert {"fetch", "encode", "verify", "quality", "upload"} <= set(report["costs"]["phases"])
    assert report["reelflow"] == {"version": "0.1.0", "code_version": "1", "ffmpeg": "fake"}
    assert report["costs"]["units"] == 4


def test_a_ladder_and_an_mp4_of_one_video_share_a_folder_and_leave_each_others_files_alone(line: Line) -> None:
    single = replace(line, request=line.request.model_copy(update={"container": "mp4"}))
    *_, first = line.all()
    *_, second = single.all()
    assert (first.status, second.status) == ("done", "done")
    assert {output.ref.key for output in first.outputs}.isdisjoint(output.ref.key for output in second.outputs)
    for name, one in (("report.json", line), ("film 100%.report.json", single)):
        report = json.loads(line.store.get_bytes(line.request.bucket, f"{line.request.folder}{name}"))
        assert report["job_id"] == one.request.job_id
        assert one.run("finish").reused


def test_the_entry_is_written_last(line: Line) -> None:
    line.all()
    spy = Spy(line.store)
    line.store.delete(line.request.bucket, f"{line.request.folder}00001.jpg")
    line.store = spy
    line.all()
    published = [entry for entry in spy.writes if line.request.folder in entry]
    # The stale entry goes before anything else changes.
    assert published[0] == f"-{line.request.destination_key}"
    assert published[-1] == line.request.destination_key
    assert len(published) == 1 + 6


@pytest.mark.parametrize("failing", ["hls1600k/film 100%.ts", "film 100%.m3u8"])
def test_a_failure_in_the_middle_publishes_nothing_and_is_resumed(line: Line, failing: str) -> None:
    plan = line.plan()
    for unit in plan.units:
        line.run(unit.id)
    # An older output is there.
    line.store.put_bytes(line.request.bucket, line.request.destination_key, b"old")
    key = line.request.folder + failing
    result = line.run("finish", store=Spy(line.store, lambda written: written == key))
    assert result.status == "failed"
    assert result.error is not None
    assert result.error["retryable"]
    assert line.store.head(line.request.bucket, line.request.destination_key) is None
    encoded = list(line.media.calls)
    assert line.run("finish").status == "done"
    assert line.media.calls == [*encoded, "package"]


def test_doing_a_job_again_does_nothing_twice(line: Line) -> None:
    first = line.all()
    calls = list(line.media.calls)
    second = line.all()
    assert [result.reused for result in first] == [False] * 5
    assert [result.reused for result in second] == [True] * 5
    assert line.media.calls == calls
    assert [result.outputs for result in second] == [result.outputs for result in first]


def test_a_replaced_source_is_done_again(line: Line) -> None:
    line.all()
    line.store.put_bytes(line.request.bucket, line.request.source_key, b"source two")
    assert [result.reused for result in line.all()] == [False] * 5
    data = line.store.get_bytes(line.request.bucket, f"{line.request.folder}hls0800k/film 100%.ts")
    assert data.startswith(b"source two")


def test_a_source_replaced_in_the_middle_publishes_nothing(line: Line) -> None:
    plan = line.plan()
    for unit in plan.units:
        line.run(unit.id)
    line.store.put_bytes(line.request.bucket, line.request.source_key, b"source two")
    finish = line.run("finish")
    assert (
        finish.error
        == InvalidInputData(f"The source {plan_source(line)} was replaced while it was worked on; start again.").to_document()
    )
    assert line.keys(line.request.folder) == []
    unit = line.job.read_unit("video-00000")
    assert unit.source is not None
    # The cache has the old version, so encoding would still succeed; without it, it fails for good.
    result = line.run("video-00000", settings=line.settings.model_copy(update={"cache_dir": line.settings.cache_dir / "other"}))
    assert result.reused


def plan_source(line: Line) -> str:
    source = line.job.read_unit("finish").source
    assert source is not None
    return source.uri


def test_a_source_replaced_before_a_unit_fetches_it_fails_for_good(line: Line) -> None:
    line.plan()
    line.store.put_bytes(line.request.bucket, line.request.source_key, b"source two")
    result = line.run("video-00000", settings=line.settings.model_copy(update={"cache_dir": line.settings.cache_dir / "other"}))
    assert result.error is not None
    assert (result.error["code"], result.error["retryable"]) == ("InvalidInputData", False)
    assert "was replaced while it was in use" in result.error["message"]


def test_other_settings_make_another_plan(line: Line) -> None:
    line.all()
    line.settings = line.settings.model_copy(update={"quality": False})
    assert not line.plan().reused
    line.settings = line.settings.model_copy(update={"cache_max_bytes": 5})
    assert line.plan().reused


@pytest.mark.parametrize("change", ["client", "settings"])
def test_a_job_that_was_published_is_packaged_anew_though_its_chunks_are_what_they_were(line: Line, change: str) -> None:
    line.all()
    if change == "client":
        line.request = line.request.model_copy(update={"client": "another"})
    else:
        line.settings = line.settings.model_copy(update={"hls_segment_type": "fmp4"})
    # Another machine: this one has the chunks' files still.
    line.settings = line.settings.model_copy(update={"cache_dir": line.settings.cache_dir / "other"})
    assert [result.error for result in line.all() if result.error] == []
    assert line.keys(line.job.chunks_prefix) == []
    assert [result.reused for result in line.all()] == [True] * 5


def test_a_damaged_marker_is_work_to_be_done(line: Line) -> None:
    line.plan()
    line.run("video-00000")
    line.store.put_bytes(line.request.bucket, line.job.result_key("video-00000"), b'{"unit_id": "video-00000", "status": "do')
    assert not line.run("video-00000").reused
    assert line.run("video-00000").reused


def test_a_chunk_file_that_is_gone_is_made_again(line: Line) -> None:
    line.plan()
    result = line.run("video-00000")
    line.store.delete(line.request.bucket, result.outputs[0].ref.key)
    assert not line.run("video-00000").reused


def test_finishing_names_the_unit_that_is_not_done(line: Line) -> None:
    line.plan()
    line.run("audio")
    line.run("video-00000")
    result = line.run("finish")
    assert result.error == InternalError("Unit video-00001 is not done; run it before the job is finished.").to_document()
    assert line.keys(line.request.folder) == []


def test_finishing_names_the_unit_whose_file_is_gone(line: Line) -> None:
    for unit in line.plan().units:
        line.run(unit.id)
    result = line.job.read_result("video-00001")
    assert result is not None
    line.store.delete(line.request.bucket, result.outputs[1].ref.key)
    other = line.settings.model_copy(update={"cache_dir": line.settings.cache_dir / "other"})
    finish = line.run("finish", settings=other)
    assert finish.error is not None
    assert finish.error["message"] == "File hls1600k of unit video-00001 is gone or was replaced; run that unit again."
    assert finish.error["retryable"]
    assert not line.run("video-00001").reused
    assert line.run("finish").status == "done"


def test_a_published_output_that_lost_a_file_is_made_again(line: Line) -> None:
    line.all()
    line.store.delete(line.request.bucket, f"{line.request.folder}hls0800k/film 100%.ts")
    plan, *rest = line.all()
    assert plan.reused
    assert [result.reused for result in rest] == [False] * 4
    assert line.store.head(line.request.bucket, line.request.destination_key)


def test_what_an_older_package_left_is_removed_and_nothing_else(line: Line) -> None:
    line.all()
    line.store.put_bytes(line.request.bucket, f"{line.request.folder}notes.txt", b"somebody's")
    line.request = line.request.model_copy(update={"container": "hls"})
    old = line.job.read_result("finish")
    assert old is not None
    extra = line.store.put_bytes(line.request.bucket, f"{line.request.folder}hls4000k/film 100%.ts", b"old")
    line.job.write_result(
        old.model_copy(
            update={"outputs": (old.outputs[0].model_copy(update={"name": "x", "ref": extra}), *old.outputs), "fingerprint": "x"}
        )
    )
    assert all(result.status == "done" for result in line.all())
    assert f"{line.request.folder}hls4000k/film 100%.ts" not in line.keys(line.request.folder)
    assert f"{line.request.folder}notes.txt" in line.keys(line.request.folder)


def test_what_an_older_package_left_is_removed_after_a_failure_in_between(line: Line) -> None:
    line.all()
    old = line.job.read_result("finish")
    assert old is not None
    stale = f"{line.request.folder}hls4000k/film 100%.ts"
    extra = old.outputs[0].model_copy(update={"name": "x", "ref": line.store.put_bytes(line.request.bucket, stale, b"old")})
    line.job.write_result(old.model_copy(update={"outputs": (extra, *old.outputs), "fingerprint": "x"}))
    line.store.put_bytes(line.request.bucket, line.request.source_key, b"source two")
    for unit in line.plan().units:
        line.run(unit.id)
    failed = line.run("finish", store=Spy(line.store, lambda written: written.endswith(".ts")))
    assert failed.status == "failed"
    assert stale in line.keys(line.request.folder)
    assert line.run("finish").status == "done"
    assert stale not in line.keys(line.request.folder)


def test_a_chunk_that_was_decoded_from_the_start_says_so_and_is_measured_so(line: Line) -> None:
    line.media.restarts = True
    _, _, first, second, _ = line.all()
    assert "restarted" not in first.metrics
    assert second.metrics["restarted"] == ["3 frames are missing"]
    assert [task.chunk.seek_pts for task in line.media.measured] == [None, None]
    report = json.loads(line.store.get_bytes(line.request.bucket, f"{line.request.folder}report.json"))
    assert report["restarted"] == {"video-00001": ["3 frames are missing"]}


def test_work_files_are_kept_where_asked(line: Line) -> None:
    line.settings = line.settings.model_copy(update={"keep_work_files": True})
    line.all()
    assert len(line.keys(line.job.chunks_prefix)) == 7


def test_two_attempts_at_once_encode_once(line: Line) -> None:
    line.plan()
    line.media.on_encode = lambda name: time.sleep(0.7)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(line.run, ["video-00000"] * 2))
    assert sorted(result.reused for result in results) == [False, True]
    assert line.media.calls.count("chunk-0") == 1


def test_a_chunk_waits_until_the_machine_has_a_free_slot_and_audio_does_not(line: Line) -> None:
    plan = line.plan()
    cancelled, slots = threading.Event(), line.settings.cache_dir / "slots"
    with slot(slots, 2, pytest.fail), slot(slots, 2, pytest.fail), ThreadPoolExecutor(1) as pool:
        assert line.run("audio").status == "done"
        chunk = pool.submit(lambda: line.run(plan.units[1].id, cancelled=cancelled))
        while not any(event.get("phase") == "wait" for event in line.events):
            time.sleep(0.05)
        cancelled.set()
        result = chunk.result()
    assert result.error is not None
    assert result.error["code"] == "Cancelled"
    assert "encode" not in result.metrics["phases"]
    assert line.run(plan.units[1].id).status == "done"


def test_waiting_for_another_attempt_can_be_cancelled_and_leaves_its_marker_alone(line: Line) -> None:
    line.plan()
    begun, cancelled = threading.Event(), threading.Event()

    def encode(name: str) -> None:
        begun.set()
        assert cancelled.wait(10)
        time.sleep(0.5)

    line.media.on_encode = encode
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(line.run, "video-00000")
        assert begun.wait(10)
        second = pool.submit(lambda: line.run("video-00000", cancelled=cancelled))
        time.sleep(0.2)
        cancelled.set()
        assert second.result().error == {"code": "Cancelled", "message": "The work was cancelled.", "retryable": False}
        assert first.result().status == "done"
    assert line.run("video-00000").reused


def test_an_unexpected_error_shows_no_path_and_may_be_retried(line: Line) -> None:
    def fail(name: str) -> None:
        raise FileNotFoundError("/secret/path")

    line.plan()
    line.media.on_encode = fail
    result = line.run("video-00000")
    assert result.error == {
        "code": "InternalError",
        "message": "The worker failed in an unexpected way (FileNotFoundError); its log has the details.",
        "retryable": True,
    }
    assert line.job.read_result("video-00000") == result
    line.media.on_encode = lambda name: None
    assert line.run("video-00000").status == "done"


def test_scratch_space_is_gone_afterwards(line: Line) -> None:
    line.all()
    assert list((line.settings.cache_dir / "scratch").iterdir()) == []


def refused(**changes: Any) -> Callable[[TranscodeRequest], TranscodeRequest]:
    return lambda request: request.model_copy(update=changes)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param(refused(source_key="src/none.mp4"), NotFound, "does not exist", id="no-source"),
        pytest.param(refused(bucket="another-bucket"), NotFound, "MEDIA_BUCKETS", id="bucket-not-allowed"),
        pytest.param(refused(folder="_reelflow/jobs/x/"), ParameterError, "must not lie under", id="work-folder"),
        pytest.param(refused(profile="no_such_profile"), ParameterError, "no_such_profile", id="profile"),
    ],
)
def test_a_plan_refuses(line: Line, change: Callable[[TranscodeRequest], TranscodeRequest], error: Any, message: str) -> None:
    line.request = change(line.request)
    result = line.plan()
    assert result.status == "failed"
    assert result.error is not None
    assert result.error["code"] == error.code
    assert message in result.error["message"]
    assert line.media.calls == []


def test_a_plan_refuses_to_replace_its_source(line: Line) -> None:
    line.request = line.request.model_copy(update={"folder": "src/", "name": "x", "container": "mp4", "source_key": "src/x.mp4"})
    result = line.plan()
    assert result.error is not None
    assert "would replace its own source" in result.error["message"]


@pytest.mark.parametrize("replaced", [True, False])
def test_a_plan_takes_no_other_version_of_a_dropped_object_than_its_run_was_started_for(line: Line, replaced: bool) -> None:
    line.request = line.request.model_copy(update={"client": "ingest"})
    bucket, key = line.request.bucket, line.request.source_key
    source = line.store.head(bucket, key)
    assert source is not None
    note = {"bucket": bucket, "key": key, "etag": source.etag, "claim_id": "0" * 32}
    line.store.put_bytes(bucket, line.job.ingest_key, json.dumps(note).encode())
    if replaced:
        line.store.put_bytes(bucket, key, b"source two")
    result = line.plan()
    assert result.status == ("failed" if replaced else "done")
    if result.error is not None:
        assert (result.error["code"], result.error["retryable"]) == ("NotFound", False)
        assert "was replaced meanwhile" in result.error["message"]
        # A program that asks for the same takes what is there.
        line.request = line.request.model_copy(update={"client": "demo"})
        assert line.plan().status == "done"


@pytest.mark.parametrize(("size", "code"), [(0, "InvalidInputData"), (100, "LimitExceeded")], ids=["empty", "too-large"])
def test_a_plan_refuses_sizes_before_it_downloads(line: Line, size: int, code: str) -> None:
    line.settings = line.settings.model_copy(update={"max_source_bytes": 50})
    line.store.put_bytes(line.request.bucket, line.request.source_key, b"x" * size)
    result = line.plan()
    assert result.error is not None
    assert result.error["code"] == code
    assert result.metrics["bytes_read"] == 0


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "s3://bucket", "unit.json"])
def test_only_units_in_s3_are_run(line: Line, uri: str) -> None:
    with pytest.raises(ParameterError, match="is not of the form"):
        execute(uri, store=line.store, settings=line.settings)


def test_a_document_that_is_no_unit_is_refused(line: Line) -> None:
    line.store.put_bytes(line.request.bucket, "jobs/x.json", b'{"id": "x"}')
    with pytest.raises(ParameterError, match="is not a work unit"):
        execute(f"s3://{line.request.bucket}/jobs/x.json", store=line.store, settings=line.settings)
    with pytest.raises(NotFound):
        execute(f"s3://{line.request.bucket}/jobs/none.json", store=line.store, settings=line.settings)


def test_a_finish_unit_that_was_made_elsewhere_works_as_well(line: Line) -> None:
    plan = line.plan()
    for unit in plan.units:
        line.run(unit.id)
    source = line.job.read_unit("finish").source
    assert source is not None
    made = finish_unit(line.request, source, tuple(unit.id for unit in plan.units))
    assert line.run(made.model_copy(update={"source": None})).status == "done"
    assert line.run("finish").reused


def test_how_many_threads_encode_is_no_part_of_what_was_made(line: Line) -> None:
    line.plan()
    unit = line.job.read_unit("video-00000").model_dump(mode="json")
    unit["task"]["video"]["threads"] += 3
    assert WorkUnit.model_validate(unit).fingerprint == line.job.read_unit("video-00000").fingerprint
    unit["task"]["video"]["chunk"]["frames"] += 1
    assert WorkUnit.model_validate(unit).fingerprint != line.job.read_unit("video-00000").fingerprint
