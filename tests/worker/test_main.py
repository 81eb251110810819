"""The command line, run as the scheduler runs it: real ffmpeg, a real S3 server, processes that get killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from include.worker.__main__ import exit_code, main
from include.worker.execute import execute
from include.worker.job import Job, plan_unit
from include.worker.models import TranscodeRequest, UnitResult
from tests.conftest import Clips
from tests.media import ffmpeg, ffprobe, read_frame_numbers
from tests.net.web import web
from tests.servers import S3Server
from tests.worker.file_tasks import FileTask, profile

# One unit that encodes for seconds.
SLOW = {"MEDIA_CHUNK_SECONDS": "20", "MEDIA_X264_PRESET": "veryslow", "MEDIA_UNIT_SLOTS": "1"}


class Shop:
    """Starts workers for one job."""

    def __init__(self, store: S3ObjectStore, settings: Settings, server: S3Server, request: TranscodeRequest) -> None:
        self.store = store
        self.settings = settings
        self.request = request
        self.job = Job.of(store, settings, request)
        self.job.write_unit(plan_unit(request))
        self.started: list[subprocess.Popen[str]] = []
        self.environ = os.environ | server.environ
        self.environ |= {
            "MEDIA_BUCKET": settings.bucket,
            "MEDIA_CACHE_DIR": str(settings.cache_dir),
            "MEDIA_CHUNK_SECONDS": str(settings.chunk_seconds),
            "MEDIA_UNIT_SLOTS": str(settings.unit_slots),
            "MEDIA_X264_PRESET": "ultrafast",
            "MEDIA_FFMPEG": ffmpeg(),
            "MEDIA_FFPROBE": ffprobe(),
        }

    def start(self, unit_id: str, *options: str, **environ: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "include.worker", "run", self.job.unit_uri(unit_id), *options],
            stdin=subprocess.PIPE if options else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ | environ,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, unit_id: str, **environ: str) -> tuple[int, UnitResult, list[dict[str, Any]]]:
        return self.end(self.start(unit_id, **environ))

    def end(self, process: subprocess.Popen[str]) -> tuple[int, UnitResult, list[dict[str, Any]]]:
        out, err = process.communicate(timeout=120)
        *events, last = [json.loads(line) for line in out.splitlines()]
        assert last["event"] == "result", err
        assert all(event["event"] == "progress" for event in events)
        return process.returncode, UnitResult.model_validate(last["result"]), events

    def done(self, unit_id: str, **environ: str) -> UnitResult:
        code, result, _ = self.run(unit_id, **environ)
        assert code == 0, result.error
        return result

    def here(self, unit_id: str, **environ: str) -> UnitResult:
        """Run a unit in this process, which is much less work: what leads to a test and is not what it is about."""
        changes = {name.removeprefix("MEDIA_").lower(): value for name, value in environ.items()}
        settings = Settings(**(self.settings.model_dump(exclude_unset=True) | changes))
        result = execute(self.job.unit_uri(unit_id), store=self.store, settings=settings)
        assert result.status == "done", result.error
        return result

    def all(self, run: Callable[[str], UnitResult]) -> list[UnitResult]:
        plan = run("plan")
        with ThreadPoolExecutor(2) as pool:
            units = list(pool.map(run, [unit.id for unit in plan.units]))
        return [plan, *units, run("finish")]

    def published(self, name: str, path: Path) -> Path:
        ref = self.store.head(self.request.bucket, self.request.folder + name)
        assert ref is not None
        self.store.download(ref, path)
        return path

    def ffmpegs(self) -> list[psutil.Process]:
        mark = self.environ["MEDIA_CACHE_DIR"]
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if any(mark in argument for argument in process.info["cmdline"] or ()):
                found.append(process)
        return found


@pytest.fixture
def shop(store: S3ObjectStore, settings: Settings, s3: S3Server, tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    made: list[Shop] = []

    def make(clip: Path, **changes: Any) -> Shop:
        name = uuid.uuid4().hex[:8]
        key = f"src/{name} ü#1{clip.suffix}"
        store.upload(clip, s3.bucket, key)
        request = TranscodeRequest(
            **{"bucket": s3.bucket, "source_key": key, "folder": f"dst/{name} é/", "name": "film 1"} | changes
        )
        made.append(Shop(store, settings, s3, request))
        return made[-1]

    yield make
    for process in (process for one in made for process in one.started):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_an_hls_ladder_holds_every_frame_once(shop: Callable[..., Shop], clip: Clips, tmp_path: Path) -> None:
    one = shop(clip("plain"))
    plan, audio, *videos, finish = one.all(one.done)
    assert audio.unit_id == "audio"
    assert len(videos) >= 4
    assert sum(video.metrics["frames"] for video in videos) == 250
    assert all(video.metrics["quality"]["hls0800k"]["psnr"] > 25 for video in videos)
    assert plan.metrics["bytes_read"] == clip("plain").stat().st_size
    # The source and the chunks came from the cache, whichever process put them there.
    assert all(video.metrics["bytes_read"] == 0 for video in videos)
    ids = [unit.id for unit in plan.units]
    documents = [one.job.plan_key, *map(one.job.unit_key, ids), *map(one.job.result_key, ids)]
    assert finish.metrics["bytes_read"] == sum(len(one.store.get_bytes(one.request.bucket, key)) for key in documents)
    assert finish.outputs[-1].ref.key == one.request.destination_key
    report = json.loads(one.published("report.json", tmp_path / "report.json").read_bytes())
    assert report["frames"] == 250
    assert report["renditions"][0]["bytes"] > 0
    segments = sorted(output.name for output in finish.outputs if output.name.endswith(".ts"))
    joined = b"".join(one.published(name, tmp_path / "part").read_bytes() for name in segments)
    (tmp_path / "joined.ts").write_bytes(joined)
    assert read_frame_numbers(tmp_path / "joined.ts") == list(range(250))
    assert list(one.store.list(one.request.bucket, one.job.chunks_prefix)) == []


def test_an_mp4_holds_every_frame_once(shop: Callable[..., Shop], clip: Clips, tmp_path: Path) -> None:
    one = shop(clip("ntsc"), container="mp4")
    *_, finish = one.all(one.here)
    assert [output.name for output in finish.outputs] == ["film 1.report.json", "film 1.mp4"]
    assert read_frame_numbers(one.published("film 1.mp4", tmp_path / "film.mp4")) == list(range(300))


def test_a_source_without_audio_has_no_audio_unit(shop: Callable[..., Shop], clip: Clips) -> None:
    one = shop(clip("one_frame"))
    plan, *units, _ = one.all(one.here)
    assert [unit.id for unit in plan.units] == [unit.unit_id for unit in units] == ["video-00000"]


def test_a_unit_that_was_killed_is_done_again_and_leaves_nothing(shop: Callable[..., Shop], clip: Clips) -> None:
    one = shop(clip("twenty_seconds"))
    one.here("plan", **SLOW)
    worker = one.start("video-00000", **SLOW)
    until(one.ffmpegs)
    worker.kill()
    worker.wait()
    until(lambda: not one.ffmpegs())
    assert one.job.read_result("video-00000") is None
    result = one.done("video-00000", **SLOW)
    assert not result.reused
    assert list((Path(one.environ["MEDIA_CACHE_DIR"]) / "scratch").iterdir()) == []
    assert one.done("video-00000", **SLOW).reused


def test_a_worker_ends_with_its_parent_and_takes_its_children_along(shop: Callable[..., Shop], clip: Clips) -> None:
    one = shop(clip("content720"))
    one.here("plan", **SLOW)
    worker = one.start("video-00000", "--watch-stdin", **SLOW)
    until(one.ffmpegs)
    assert worker.stdin is not None
    worker.stdin.close()
    worker.wait(10)
    assert worker.returncode == -signal.SIGKILL
    until(lambda: not one.ffmpegs())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_a_signal_cancels(shop: Callable[..., Shop], clip: Clips, number: int) -> None:
    one = shop(clip("content720"))
    one.here("plan", **SLOW)
    worker = one.start("video-00000", **SLOW)
    until(one.ffmpegs)
    begun = time.monotonic()
    worker.send_signal(number)
    code, result, _ = one.end(worker)
    assert time.monotonic() - begun < 15
    assert code == 12
    assert result.error == {"code": "Cancelled", "message": "The work was cancelled.", "retryable": False}
    assert one.ffmpegs() == []
    assert one.job.read_result("video-00000") == result


def test_a_unit_past_its_deadline_may_be_retried(shop: Callable[..., Shop], clip: Clips) -> None:
    one = shop(clip("content720"))
    one.here("plan", **SLOW)
    code, result, _ = one.run("video-00000", MEDIA_UNIT_TIMEOUT_SECONDS="1", **SLOW)
    assert code == 11
    assert result.error is not None
    assert result.error["code"] == "TimeOut"
    assert one.ffmpegs() == []


def test_two_workers_at_once_encode_once(shop: Callable[..., Shop], clip: Clips) -> None:
    one = shop(clip("plain"))
    one.here("plan")
    results = [one.end(worker) for worker in [one.start("video-00000"), one.start("video-00000")]]
    assert [code for code, _, _ in results] == [0, 0]
    assert sorted(result.reused for _, result, _ in results) == [False, True]


def test_progress_comes_at_most_twice_a_second(shop: Callable[..., Shop], clip: Clips) -> None:
    one = shop(clip("content"))
    one.here("plan", **SLOW)
    code, result, events = one.run("video-00000", **SLOW)
    assert code == 0
    assert len(events) <= 2 * result.metrics["wall_seconds"] + 1
    encode = [event for event in events if event["phase"] == "encode"]
    assert encode
    assert all(event["total"] == 100 and event["unit"] == "frames" for event in encode)
    assert [event["done"] for event in encode] == sorted(event["done"] for event in encode)


@pytest.mark.parametrize("name", ["truncated", "truncated_moov", "garbage"])
def test_a_damaged_source_fails_for_good(shop: Callable[..., Shop], clip: Clips, name: str) -> None:
    one = shop(clip(name))
    code, result, _ = one.run("plan")
    if code == 0:
        codes = {one.run(unit.id)[0] for unit in result.units}
        assert codes == {0, 10}
        code, result, _ = one.run("finish")
        assert code == 11
    else:
        assert code == 10
        assert result.error is not None
        assert str(one.environ["MEDIA_CACHE_DIR"]) not in result.error["message"]
    assert list(one.store.list(one.request.bucket, one.request.folder)) == []


def test_a_uri_that_leads_nowhere_fails_for_good(shop: Callable[..., Shop], clip: Clips) -> None:
    one = shop(clip("one_frame"))
    code, result, _ = one.run("video-00099")
    assert code == 10
    assert result.error is not None
    assert result.error["code"] == "NotFound"


def test_what_is_secret_in_a_sources_address_is_not_logged(shop: Callable[..., Shop], clip: Clips) -> None:
    one = shop(clip("one_frame"))
    with web() as server:
        server.answers["/film.mp4"] = lambda exchange: exchange.reply(302, Location="/moved.mp4?token=secret-2")
        server.answers["/moved.mp4"] = lambda exchange: exchange.reply(404)
        address = server.url("/film.mp4?token=secret-1").replace("//", "//user:secret-3@")
        task = FileTask(one.store, one.settings, profile(), address)
        task.write()
        unit = task.job.write_unit(plan_unit(task.reference))
        command = [sys.executable, "-m", "include.worker", "run", f"s3://{unit.bucket}/{unit.key}"]
        environ = one.environ | {"MEDIA_ALLOWED_NETWORKS": "127.0.0.1/32"}
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
        assert [exchange.path for exchange in server.requests] == ["/film.mp4?token=secret-1", "/moved.mp4?token=secret-2"]
    assert ended.returncode == 10
    assert "secret" not in ended.stdout + ended.stderr


def test_show_prints_unit_and_result(shop: Callable[..., Shop], clip: Clips) -> None:
    one = shop(clip("one_frame"))
    command = [sys.executable, "-m", "include.worker", "show", one.job.unit_uri("plan")]
    before = subprocess.run(command, env=one.environ, capture_output=True, text=True, check=True)
    assert "no result yet" in before.stdout
    one.here("plan")
    after = subprocess.run(command, env=one.environ, capture_output=True, text=True, check=True)
    assert "result: done" in after.stdout
    missing = subprocess.run([*command[:-1], "s3://no/such"], env=one.environ, capture_output=True, text=True, check=False)
    assert missing.returncode in (10, 11)
    assert "Traceback" not in missing.stderr


def test_without_arguments_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Exit codes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        ("done", None, 0),
        ("failed", {"code": "InvalidInputData", "message": "", "retryable": False}, 10),
        ("failed", {"code": "StorageError", "message": "", "retryable": True}, 11),
        ("failed", {"code": "Cancelled", "message": "", "retryable": False}, 12),
    ],
)
def test_exit_codes_tell_what_to_do(status: Any, error: Any, code: int) -> None:
    at = "2026-01-01T00:00:00Z"
    result = UnitResult.model_validate(
        {"unit_id": "plan", "status": status, "fingerprint": "", "error": error, "started_at": at, "finished_at": at}
    )
    assert exit_code(result) == code


def test_salvage_publishes_what_can_be_decoded_and_says_what_is_lost(
    shop: Callable[..., Shop], clip: Clips, tmp_path: Path
) -> None:
    one = shop(clip("garbage"), damage_policy="salvage")
    *_, finish = one.all(one.here)
    report = json.loads(one.published("report.json", tmp_path / "report.json").read_bytes())
    assert 0 < report["frames"] == finish.metrics["frames"] <= 250
