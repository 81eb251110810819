"""Details of jobs whose units have really run, at every stage; the documents are read as the worker wrote them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.errors import InvalidInputData, NotFound
from include.ffmpeg_ops.encode import run_chunk
from include.media_api.gateway import Run
from include.media_api.submission import Submission, SubmittedVideo, Video, save
from include.media_pages.models import JobDetail
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from include.worker.media import MediaTools
from include.worker.models import SuperResolutionRequest, TranscodeRequest
from include.worker.override import override, withdraw
from include.worker.video_transcode import VideoTranscodeRequest
from tests.conftest import Clips
from tests.media import read_frame_numbers
from tests.media_pages.runs import Desk, RealRun, now
from tests.worker.file_tasks import FileTask, profile

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.json"))


@pytest.fixture(scope="module")
def desk(s3: Any, s3_connection: Any, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    cache = tmp_path_factory.mktemp("cache")
    settings = Settings(_env_file=None, bucket=s3.bucket, cache_dir=cache, chunk_seconds=2, x264_preset="ultrafast")  # type: ignore[call-arg]
    return Desk(S3ObjectStore(client=s3_connection), settings)


def transcode(desk: Desk, clip: Clips, name: str, **fields: Any) -> TranscodeRequest:
    bucket = desk.settings.bucket
    desk.store.upload(clip("exact_grid"), bucket, f"in/{name}.mp4")
    return TranscodeRequest(bucket=bucket, source_key=f"in/{name}.mp4", folder=f"out/{name} #1/", name="film 中", **fields)


@pytest.fixture(scope="module")
def done(desk: Desk, clip: Clips) -> RealRun:
    """A transcode to HLS that is done; tests leave it as it is."""
    return RealRun(desk, transcode(desk, clip, "done", client="demo")).all()


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def states(detail: JobDetail) -> list[str]:
    return [unit.state for unit in detail.units]


def steps(detail: JobDetail) -> dict[str, str]:
    return {step.name: step.state for step in detail.steps}


def test_a_transcode_is_known_better_from_stage_to_stage(desk: Desk, clip: Clips) -> None:
    run = RealRun(desk, transcode(desk, clip, "stages"), state="queued")
    detail = run.detail()
    assert (detail.units, detail.source, detail.renditions) == ((), None, ())
    assert steps(detail) == dict.fromkeys(("plan", "encode", "finish", "report"), "waiting")
    assert {step.log_path for step in detail.steps} == {None}

    run.state = "running"
    run.first()
    detail = run.detail()
    assert detail.source is not None
    source = (detail.source.width, detail.source.height, detail.source.frames, detail.source.frame_rate, detail.source.seconds)
    assert source == (128, 72, 150, "25", 6.0)
    assert [(unit.kind, unit.start, unit.end, unit.frames) for unit in detail.units] == [
        ("audio", 0.0, 6.0, None),
        ("video", 0.0, 2.0, 50),
        ("video", 2.0, 4.0, 50),
        ("video", 4.0, 6.0, 50),
    ]
    assert states(detail) == ["waiting"] * 4
    assert detail.renditions[0].psnr is None

    run.unit(0)
    run.unit(1)
    run.begin_unit(2, phase="encode", done=20, total=50, unit="frames", fps=41.2, fraction=0.4)
    detail = run.detail()
    assert states(detail) == ["done", "done", "running", "waiting"]
    assert (detail.units[2].progress, detail.units[2].fps, detail.fps) == (40, 41.2, 41.2)
    assert detail.units[1].fps is not None
    assert detail.units[1].fps > 0
    assert [unit.attempt for unit in detail.units] == [1, 1, 1, None]
    assert detail.units[2].log_path == f"/dags/transcode/runs/{run.run.run_id}/tasks/encode/mapped/2"
    assert detail.units[3].log_path is None
    encode = next(step for step in detail.steps if step.name == "encode")
    assert (encode.state, encode.units, encode.units_done, encode.ended_at) == ("running", 4, 2, None)
    # What is measured of some chunks is shown before all are done; nothing is said of what is not published.
    assert detail.renditions[0].psnr is not None
    assert detail.renditions[0].bytes is None
    assert (detail.player, detail.files, detail.thumbnails) == (None, (), ())


def test_a_transcode_that_is_done_shows_what_is_published(done: RealRun, desk: Desk) -> None:
    detail = done.detail()
    assert steps(detail) == dict.fromkeys(("plan", "encode", "finish", "report"), "done")
    assert states(detail) == ["done"] * 4
    folder = f"{done.run.conf['folder']}"
    bucket = desk.settings.bucket
    sizes = {ref.key.removeprefix(folder): ref.size for ref in desk.store.list(bucket, folder)}
    (rendition,) = detail.renditions
    assert rendition.bytes == sum(size for name, size in sizes.items() if name.startswith("hls0800k/"))
    assert rendition.average_bit_rate == round(rendition.bytes * 8 / 6)
    report = json.loads(desk.store.get_bytes(bucket, f"{folder}report.json"))["renditions"][0]
    assert rendition.psnr == pytest.approx(report["quality"]["psnr"])
    assert rendition.ssim == pytest.approx(report["quality"]["ssim"])
    assert [file.name for file in detail.files] == ["film 中.m3u8", "report.json", "storyboard.vtt"]
    assert json.loads(fetched(detail.files[1].url))["frames"] == 150
    assert [thumbnail.time for thumbnail in detail.thumbnails] == [0.0]
    assert fetched(detail.thumbnails[0].url).startswith(b"\xff\xd8")
    assert detail.storyboard is not None
    assert [(tile.start, tile.end, tile.sheet, tile.x, tile.width) for tile in detail.storyboard.tiles] == [(0.0, 6.0, 0, 0, 160)]
    assert fetched(detail.storyboard.sheets[0]).startswith(b"\xff\xd8")
    assert detail.player is not None
    assert detail.player.type == "application/vnd.apple.mpegurl"
    assert detail.player.url == f"/media/data/jobs/transcode/{done.run.run_id}/hls/film%20%E4%B8%AD.m3u8"
    assert detail.cpu_seconds == 12.5
    assert detail == done.detail()


def test_playlists_lead_to_the_very_segments_and_nowhere_else(done: RealRun, desk: Desk) -> None:
    main = desk.playlist(done.run, "film 中.m3u8")
    assert "hls0800k/film%20%E4%B8%AD.m3u8" in main.splitlines()
    text = desk.playlist(done.run, "hls0800k/film 中.m3u8")
    segments = [line for line in text.splitlines() if line and not line.startswith("#")]
    folder = done.run.conf["folder"]
    assert [fetched(url) for url in segments] == [
        desk.store.get_bytes(desk.settings.bucket, f"{folder}hls0800k/film 中{number:05d}.ts") for number in range(len(segments))
    ]
    for path in (
        "",
        "other.m3u8",
        "../done #1/film 中.m3u8",
        "hls0800k/../film 中.m3u8",
        "report.json",
        "hls0800k/film 中00000.ts",
    ):
        with pytest.raises(NotFound):
            desk.playlist(done.run, path)


def test_a_run_that_is_started_again_shows_nothing_of_the_last_time_but_what_it_reuses(desk: Desk, clip: Clips) -> None:
    run = RealRun(desk, transcode(desk, clip, "again")).all()
    run.again()
    detail = run.detail()
    assert (detail.units, detail.source, detail.player, detail.problem) == ((), None, None, None)
    # Documents have whole seconds.
    run.begun += timedelta(seconds=1)
    run.first()
    for index in range(4):
        run.unit(index)
        key = ("encode", index)
        run.tasks[key] = replace(run.tasks[key], start_date=now() + timedelta(seconds=1))
    assert states(run.detail()) == ["reused"] * 4


def test_a_unit_that_fails_says_why_and_those_that_were_not_begun_do_not_look_failed(desk: Desk, clip: Clips) -> None:
    def failing(source: Path, task: Any, *args: Any, **kwargs: Any) -> Any:
        if task.chunk.index == 1:
            raise InvalidInputData("Frame 70 cannot be decoded.")
        return run_chunk(source, task, *args, **kwargs)

    run = RealRun(desk, transcode(desk, clip, "failing"), MediaTools(run_chunk=failing))
    run.first()
    error = [run.unit(index).error for index in range(3)][-1]
    # Airflow's operator refuses to begin the others: those tasks fail without a result.
    run.tasks["encode", 3] = replace(run.tasks["encode", 3], state="failed", start_date=now(), end_date=now(), try_number=1)
    detail = run.detail()
    assert states(detail) == ["done", "done", "failed", "waiting"]
    assert detail.units[2].error == "Frame 70 cannot be decoded."
    run.end(error)
    detail = run.detail(error="Frame 70 cannot be decoded.")
    assert steps(detail) == {"plan": "done", "encode": "failed", "finish": "skipped", "report": "failed"}
    assert detail.problem is not None
    assert detail.problem.model_dump() == {
        "code": "InvalidInputData",
        "message": "Frame 70 cannot be decoded.",
        "retryable": False,
    }
    assert detail.source is not None
    assert detail.player is None


def test_a_source_that_cannot_be_planned_has_a_problem_and_no_units(desk: Desk, clip: Clips) -> None:
    request = transcode(desk, clip, "truncated")
    desk.store.upload(clip("truncated"), desk.settings.bucket, request.source_key)
    run = RealRun(desk, request)
    result = run.first()
    run.state = "failed"
    detail = run.detail()
    assert (detail.units, detail.source) == ((), None)
    assert detail.problem is not None
    assert result.error is not None
    assert (detail.problem.code, detail.problem.message) == ("InvalidInputData", result.error["message"])


def test_super_resolution_shows_the_same_frames_before_and_after(desk: Desk, clip: Clips, tmp_path: Path) -> None:
    bucket = desk.settings.bucket
    desk.store.upload(clip("short"), bucket, "in/short.mp4")
    request = SuperResolutionRequest(bucket=bucket, key="in/short.mp4", ladder="mp4")
    run = RealRun(desk, request).all()
    ladder = request.ladder_request
    assert ladder is not None
    assert run.detail().related == ()
    desk.airflow.dag_runs["transcode", ladder.run_id] = Run(ladder.run_id, "running", {}, dag_id="transcode")
    detail = run.detail()
    assert [(related.run_id, related.title) for related in detail.related] == [(ladder.run_id, "in/short_x2.mp4")]
    override(run.job, request.model_copy(update={"ladder": None}), replaces=run.run.conf)
    assert run.detail().related == (), "the run does another request by now"
    withdraw(run.job)
    assert [(unit.kind, unit.state, unit.frames, unit.start, unit.end) for unit in detail.units] == [
        ("upscale", "done", 50, 0.0, 2.0)
    ]
    (rendition,) = detail.renditions
    assert (rendition.width, rendition.height, rendition.codec) == (256, 144, "h264")
    assert detail.player is not None
    assert fetched(detail.player.url) == desk.store.get_bytes(bucket, "in/short_x2.mp4")
    seen = []
    for number, still in enumerate(detail.comparisons):
        assert (still.width, still.height) == (256, 144)
        for url in (still.before, still.after):
            path = tmp_path / f"{number}.jpg"
            path.write_bytes(fetched(url))
            seen.append((still.time, *read_frame_numbers(path)))
    assert seen == [(frame / 25, frame) for frame in (5, 15, 25, 35, 45) for _ in range(2)]


def test_a_task_tells_of_all_its_targets_and_plays_the_first(desk: Desk, clip: Clips) -> None:
    bucket = desk.settings.bucket
    desk.store.upload(clip("short"), bucket, "in/task.mp4")
    files = FileTask(desk.store, desk.settings, profile(), f"s3://{bucket}/in/task.mp4", ("one.mp4", "two.mp4"))
    files.write()
    targets = tuple(f"s3://{bucket}/{files.folder}{name}" for name in files.names)
    run = RealRun(desk, files.reference.model_copy(update={"source": files.source, "targets": targets})).all()
    detail = run.detail()
    assert [(one.name, one.status, one.progress) for one in detail.destinations] == [(name, "SUCCESS", 100.0) for name in targets]
    assert [file.key for file in detail.files] == [f"{files.folder}one.mp4"]
    assert detail.player is not None
    assert fetched(detail.player.url) == desk.store.get_bytes(bucket, f"{files.folder}one.mp4")


def test_a_folder_leads_to_the_runs_of_its_videos(desk: Desk, clip: Clips) -> None:
    bucket = desk.settings.bucket
    request = VideoTranscodeRequest(bucket=bucket, src="in/", dst="out/", time="1", type="mp4", testflag="no")
    requests = [
        TranscodeRequest(bucket=bucket, source_key=f"in/{name}.mp4", folder=f"out/{name}/", name=name) for name in ("a", "b")
    ]
    videos = tuple(
        SubmittedVideo(video=Video(src=one.source_key, error="no", status="transcode"), request=one, etag="e") for one in requests
    )
    submission = Submission(client="demo", request=request, submitted_at=now(), videos=videos)
    save(desk.store, desk.settings, submission)
    # Only one of them was started so far.
    desk.airflow.dag_runs["transcode", requests[1].run_id] = Run(requests[1].run_id, "queued", {}, dag_id="transcode")
    conf = {"client": "demo", "src": "in/", "dst": "out/"}
    detail = desk.detail(Run(submission.run_id, "running", conf, now(), dag_id="video_transcode"), ())
    assert [(related.run_id, related.title) for related in detail.related] == [(requests[1].run_id, "in/b.mp4")]
    someone_elses = Run(submission.run_id, "running", conf | {"client": "other"}, now(), dag_id="video_transcode")
    assert desk.detail(someone_elses, ()).related == ()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "no text": lambda data: b"\xff\xfe\x00garbage",
    "another document": lambda data: b'{"a": [1, 2, {"b": null}]}',
    "a list": lambda data: b"[]",
}


@pytest.mark.parametrize("damage", [*DAMAGE, "absent"])
def test_damaged_and_missing_documents_leave_gaps_and_never_fail(damage: str, done: RealRun, desk: Desk) -> None:
    job, bucket = done.job, desk.settings.bucket
    cues = f"{done.run.conf['folder']}storyboard.vtt"
    results = [job.result_key(unit) for unit in ("plan", "video-00001", "finish")]
    whole = done.detail()
    for key in (job.plan_key, job.outcome_key, cues, *results, job.request_key):
        data = desk.store.get_bytes(bucket, key)
        try:
            if damage == "absent":
                desk.store.delete(bucket, key)
            else:
                desk.store.put_bytes(bucket, key, DAMAGE[damage](data))
            detail = done.detail()
            assert steps(detail) == steps(whole)
            assert JobDetail.model_validate_json(detail.model_dump_json()).state == "done"
        finally:
            desk.store.put_bytes(bucket, key, data)
    assert done.detail().units == whole.units


@pytest.mark.parametrize("conf", [{}, {"bucket": 7, "folder": []}, {"bucket": "another-bucket", "folder": "x/", "name": "y"}])
@pytest.mark.parametrize("dag_id", ["transcode", "super_resolution", "live", "upload", "video_transcode", "ingest_object"])
def test_a_run_with_any_conf_is_shown(dag_id: str, conf: dict[str, Any], desk: Desk) -> None:
    run = Run("manual", "failed", conf, now(), now(), dag_id)
    detail = desk.detail(run, (), error="It failed.")
    assert detail.problem is not None
    assert detail.problem.message == "It failed."
    with pytest.raises(NotFound):
        desk.playlist(run, "x.m3u8")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_details(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    detail = JobDetail.model_validate_json(text)
    assert json.loads(text) == json.loads(detail.model_dump_json())
    for address in (part.partition('"')[0] for part in text.split("/media/samples/")[1:]):
        assert (path.parent / "files" / address).is_file()
