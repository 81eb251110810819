"""Writes ``samples/*.json``: details of jobs of every kind and state, made by our own code of real runs, for tests of the pages.

``python -m tests.media_pages.make_samples`` takes a minute. Addresses become ``/media/samples/<file>``; the files are beside the
documents, in ``files/``.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from include.errors import InvalidInputData
from include.ffmpeg_ops.encode import run_chunk
from include.media_api.gateway import Run, TaskState
from include.media_pages.models import JobDetail
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from include.uploads.models import Landed, UploadPlan
from include.worker.media import MediaTools
from include.worker.models import SuperResolutionRequest, TranscodeRequest
from tests.media import MediaCache
from tests.media_pages.runs import Desk, RealRun, now
from tests.servers import s3_server
from tests.worker.file_tasks import FileTask, profile

FOLDER = Path(__file__).parent / "samples"
FILES = FOLDER / "files"
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/[^\s\"]+")


class Maker:
    """Runs jobs and writes their details."""

    def __init__(self, desk: Desk, clips: MediaCache) -> None:
        self.desk = desk
        self.clips = clips
        self.store, self.bucket = desk.store, desk.settings.bucket

    def upload(self, clip: str, key: str) -> str:
        self.store.upload(self.clips(clip), self.bucket, key)
        return key

    def save(self, name: str, detail: JobDetail) -> None:
        """Write a document, and the pictures and films that it shows."""
        text = _ADDRESS.sub(self._kept, detail.model_dump_json(indent=1))
        if detail.player and detail.player.type == "application/vnd.apple.mpegurl":
            run = Run(detail.run_id, "success", self.confs[detail.run_id], dag_id=detail.dag_id)
            self._keep_playlists(run, detail.player.url)
            text = text.replace(detail.player.url, f"/media/samples/{detail.player.url.rpartition('/')[2]}")
        (FOLDER / f"{name}.json").write_text(text.replace(self.bucket, "media") + "\n", encoding="utf-8")

    confs: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - of the runs that have playlists

    def _keep_playlists(self, run: Run, url: str) -> None:
        path = unquote(url.rpartition("/hls/")[2])
        main = self.desk.playlist(run, path)
        for other in re.findall(r"^[^#\s].*$", main, re.M):
            text = self.desk.playlist(run, unquote(other))
            name = other.replace("/", "-")
            main = main.replace(other, name)
            (FILES / unquote(name)).write_text(_ADDRESS.sub(self._kept, text), encoding="utf-8")
        (FILES / path.rpartition("/")[2]).write_text(main, encoding="utf-8")

    def _kept(self, found: re.Match[str]) -> str:
        key = unquote(urlsplit(found[0]).path).partition("/")[2].partition("/")[2]
        name = re.sub(r"[^\w.]+", "-", key.removeprefix("_reelflow/jobs/"))
        (FILES / name).write_bytes(self.store.get_bytes(self.bucket, key))
        return f"/media/samples/{name}"

    # -- the jobs

    def transcodes(self) -> None:
        request = TranscodeRequest(
            bucket=self.bucket,
            source_key=self.upload("twenty_seconds", "in/talk.mp4"),
            folder="out/talk_20261121/",
            name="talk",
            client="demo",
            content_provider="Studio A",
        )
        run = RealRun(self.desk, request, state="queued")
        self.save("transcode-queued", run.detail())
        # An earlier attempt has left two units.
        run.first()
        run.unit(0), run.unit(1)
        time.sleep(1.1)
        run.again()
        run.first()
        for index in range(6):
            run.unit(index)
        for index, done in ((6, 12), (7, 31)):
            run.begin_unit(index, phase="encode", done=done, total=50, unit="frames", fps=24.0 + index, fraction=0.92 * done / 50)
        self.save("transcode-running", run.detail())
        stopped = replace(run, state="failed", ended=now(), tasks=dict(run.tasks))
        for key, task in stopped.tasks.items():
            if task.state != "success":
                stopped.tasks[key] = replace(task, state="failed" if task.start_date else None, end_date=now())
        self.save("transcode-cancelled", stopped.detail(state="cancelled"))
        for index in range(6, len(run.units)):
            run.unit(index)
        run.last()
        run.end()
        self.confs[request.run_id] = request.model_dump(mode="json")
        self.save("transcode-done", run.detail())

    def failed_transcode(self) -> None:
        def failing(source: Path, task: Any, *args: Any, **kwargs: Any) -> Any:
            if task.chunk.index == 6:
                raise InvalidInputData("Frame 317 of the source cannot be decoded; upload the file again.")
            return run_chunk(source, task, *args, **kwargs)

        key = self.upload("twenty_seconds", "in/broken.mp4")
        request = TranscodeRequest(bucket=self.bucket, source_key=key, folder="out/broken/", name="broken", client="demo")
        run = RealRun(self.desk, request, MediaTools(run_chunk=failing))
        run.first()
        error = next(result.error for index in range(8) if (result := run.unit(index)).error)
        run.end(error)
        self.save("transcode-failed", run.detail(error=error["message"]))

    def super_resolutions(self) -> None:
        key = self.upload("plain", "in/holiday.mp4")
        request = SuperResolutionRequest(bucket=self.bucket, key=key, segment_time=2, ladder="m3u8", client="demo")
        run = RealRun(self.desk, request)
        run.first()
        run.unit(0)
        run.begin_unit(1, phase="upscale", done=20, total=50, unit="frames", fps=3.4, fraction=0.4)
        self.save("super-resolution-running", run.detail())
        failed = replace(run, tasks=dict(run.tasks))
        failed.tasks["upscale", 1] = replace(run.tasks["upscale", 1], state="failed", end_date=now(), try_number=3)
        error = {"code": "InternalError", "message": "The machine was lost three times; try again.", "retryable": True}
        failed.end(error)
        self.save("super-resolution-failed", failed.detail(error=error["message"]))
        for index in range(1, len(run.units)):
            run.unit(index)
        run.last()
        run.end()
        ladder = request.ladder_request
        assert ladder is not None
        self.desk.airflow.dag_runs["transcode", ladder.run_id] = Run(ladder.run_id, "running", {}, dag_id="transcode")
        self.save("super-resolution-done", run.detail())

    def task(self) -> None:
        self.upload("short", "in/clip.mp4")
        files = FileTask(
            self.store, self.desk.settings, profile(), f"s3://{self.bucket}/in/clip.mp4", ("clip.mp4", "copy.mp4"), "3125"
        )
        files.write()
        targets = tuple(f"s3://{self.bucket}/{files.folder}{name}" for name in files.names)
        reference = files.reference.model_copy(update={"source": files.source, "targets": targets, "profile_name": "tested"})
        self.save("task-done", RealRun(self.desk, reference).all().detail())

    def live(self) -> None:
        conf = {
            "bucket": self.bucket,
            "client": "demo",
            "task_id": "3126",
            "source": "srt://ingest.example:9000",
            "targets": ["rtmp://live.example/app/***", "srt://backup.example:9001"],
        }
        run = Run("task-0123456789ab-3126", "running", conf, now(), dag_id="live", created_at=now())
        # As include.worker.live_session tells.
        told = {"phase": "live", "done": 1834.5, "total": 86400, "unit": "seconds", "fps": 25.0, "bit_rate": 2_612_000}
        ok = {
            "url": conf["targets"][0],
            "state": "sending",
            "frames": 45862,
            "dropped": 3,
            "bit_rate": 2_598_000,
            "reconnects": 1,
        }
        lost = {"url": conf["targets"][1], "state": "failed", "frames": 1200, "dropped": 0, "bit_rate": 0, "reconnects": 4}
        task = TaskState("live", -1, "running", 0.02, told | {"source": "connected", "targets": [ok, lost]}, now(), None, 1)
        self.save("live-running", self.desk.detail(run, (task, TaskState("report", -1, None))))

    def uploads(self) -> None:
        plan = UploadPlan(
            client="operators",
            filename="holiday.mp4",
            size=650 * 2**20,
            part_size=100 * 2**20,
            destinations=("youtube", "s3Bucket"),
            bucket=self.bucket,
            region="us-east-1",
            created_at=time.time(),
            title="Holiday",
        )
        registry = self.desk.uploads.uploads
        upload = registry.create("story-17", "019aa0b1c2d3e4f5a6b7c8", plan)
        landed = Landed(complete=frozenset({0, 1, 3}), errors={2: "Part 2 has 5 bytes instead of 104857600; send it again."})
        registry.set_landed(upload, lambda _: landed)
        registry.set_destination("story-17", upload.id, "youtube", status="upload", progress=28.57, details="2 of 7 parts sent")
        run = Run(upload.reference.run_id, "running", upload.reference.model_dump(), now(), dag_id="upload", created_at=now())
        states = {"begin": "success", "await_parts": "deferred", "relay": "running"}
        tasks = tuple(TaskState(name, -1, state, start_date=now(), try_number=1) for name, state in states.items())
        self.save("upload-running", self.desk.detail(run, tasks))

    def others(self) -> None:
        conf = {"src": "in/season1/", "dst": "out/", "client": "demo", "contentprovider": "Studio A"}
        run = Run("video_transcode__0a1b2c3d4e5f60718293", "success", conf, now(), now(), "video_transcode", now())
        task = TaskState("submit", -1, "success", start_date=now(), end_date=now(), try_number=1)
        detail = self.desk.detail(run, (task,))
        self.save("folder-done", detail)
        conf = {"key": "incoming/transcode/notes.txt", "bucket": self.bucket}
        run = Run("ingest_object__0123456789abcdef0123456789abcdef", "failed", conf, now(), now(), "ingest_object", now())
        task = TaskState("refuse", -1, "failed", start_date=now(), end_date=now(), try_number=1)
        message = "incoming/transcode/notes.txt is no video: its name must end with .mp4, .mov or .mkv."
        self.save("ingest-failed", self.desk.detail(run, (task,), error=message))


def main() -> None:
    """Write everything anew."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FILES.mkdir(parents=True)
    with s3_server() as server, tempfile.TemporaryDirectory() as folder:
        # Sheets and thumbnails of a short clip, too.
        settings = Settings(  # type: ignore[call-arg]
            _env_file=None, bucket=server.bucket, cache_dir=Path(folder) / "cache", chunk_seconds=2, x264_preset="ultrafast"
        )
        maker = Maker(Desk(S3ObjectStore(settings), settings), MediaCache(Path(folder) / "media"))
        for make in (
            maker.transcodes,
            maker.failed_transcode,
            maker.super_resolutions,
            maker.task,
            maker.live,
            maker.uploads,
            maker.others,
        ):
            make()
    for path in sorted(FOLDER.glob("*.json")):
        JobDetail.model_validate(json.loads(path.read_text(encoding="utf-8")))
        print(path.name)


if __name__ == "__main__":
    main()
