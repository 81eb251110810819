"""What a page may be given addresses of, whatever the documents in the bucket name."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Any

import pytest

from include.errors import NotFound
from include.media_api.gateway import Run
from include.media_pages.documents import job_of
from include.media_pages.places import places_of
from include.media_store.models import ObjectRef
from include.settings import Settings
from include.worker.job import Job
from include.worker.models import Output, SuperResolutionRequest, TranscodeRequest, UnitResult
from include.worker.task_request import TaskReference
from tests.media_api.fakes import MemoryStore
from tests.media_pages.runs import Desk

NOW = datetime.now(timezone.utc)
FILM = TranscodeRequest(bucket="media", source_key="in/a.mp4", folder="out/a/", name="a", container="mp4")
OLD = SuperResolutionRequest(bucket="media", key="old/b.mp4")
TARGETS = ("s3://media/rec/show.m3u8", "rtmp://live.example/app/***", "s3://elsewhere/rec/show.m3u8")
STREAM = TaskReference(bucket="media", client="demo", task_id="9", targets=TARGETS)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "for-signing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    settings = Settings(_env_file=None, bucket="media", buckets="media,other")  # type: ignore[call-arg,arg-type]
    store: Any = MemoryStore("media", "other", "elsewhere")
    return Desk(store, settings)


def run_of(dag_id: str, request: Any, state: str = "success") -> Run:
    return Run(request.run_id, state, request.model_dump(mode="json"), NOW, NOW, dag_id=dag_id)


def ref(key: str, bucket: str = "media") -> ObjectRef:
    return ObjectRef(bucket=bucket, key=key, etag="e", size=1)


@pytest.mark.parametrize(
    ("dag_id", "request_", "own", "others"),
    [
        ("transcode", FILM, ["out/a/a.mp4", "out/a/hls0800k/a00000.m4s"], ["out/ab.mp4", "in/a.mp4"]),
        ("super_resolution", OLD, ["old/b_x2.mp4", "old/b_mp4_debug/log"], ["old/b.mp4", "old/b_x2.mp4.bak", "old/c.mp4"]),
        ("live", STREAM, ["rec/show.m3u8", "rec/show-00000.ts"], ["recordings/a.ts", "in/a.mp4"]),
    ],
)
def test_output_lies_where_the_conf_says(desk: Desk, dag_id: str, request_: Any, own: list[str], others: list[str]) -> None:
    run = run_of(dag_id, request_)
    job = job_of(desk.store, desk.settings, dag_id, run.conf)
    assert job is not None
    places = places_of(desk.settings, run, job)
    assert [key for key in own if not places.hold(ref(key))] == []
    others = [*others, job.request_key, f"{job.compare_prefix}0-after.jpg"]
    assert [key for key in others if places.hold(ref(key))] == []
    assert not places.hold(ref(own[0], "other"))
    assert not places.hold(ref("rec/show.m3u8", "elsewhere"))
    assert places.hold_picture(ref(f"{job.compare_prefix}0-after.jpg"))
    assert not places.hold_picture(ref(job.request_key))
    assert not places.hold_picture(ref(f"{job.compare_prefix}0-after.jpg", "other"))


def test_work_documents_are_no_output_though_a_conf_names_their_folder(desk: Desk) -> None:
    for folder in ("_reelflow/jobs/", "_reelflow/"):
        run = run_of("transcode", FILM.model_copy(update={"folder": folder}))
        job = job_of(desk.store, desk.settings, "transcode", run.conf)
        assert job is not None
        assert not places_of(desk.settings, run, job).hold(ref("_reelflow/jobs/another/request.json"))


def forge(desk: Desk, request: Any, unit_id: str, *keys: str, **metrics: Any) -> None:
    """Write a marker that names objects by these keys; they all exist."""
    desk.store.add(*keys)  # type: ignore[attr-defined]
    outputs = tuple(Output(name=key.rpartition("/")[2], ref=desk.store.head("media", key)) for key in keys)  # type: ignore[arg-type]
    Job.of(desk.store, desk.settings, request).write_result(
        UnitResult(
            unit_id=unit_id,
            status="done",
            fingerprint="f",
            outputs=outputs,
            metrics=metrics,
            started_at=NOW,
            finished_at=NOW,
        )
    )


@pytest.mark.parametrize("secret", ["in/secret.mp4", "_reelflow/jobs/another/request.json"])
def test_a_marker_has_nothing_else_signed(desk: Desk, secret: str) -> None:
    run = run_of("transcode", FILM)
    forge(desk, FILM, "finish", "out/a/a.report.json", "out/a/a.mp4")
    assert "X-Amz-Signature" in desk.detail(run, ()).model_dump_json()
    for keys in ((secret, "out/a/a.mp4"), ("out/a/a.mp4", secret)):
        forge(desk, FILM, "finish", *keys)
        detail = desk.detail(run, ())
        assert (detail.files, detail.player) == ((), None)
        assert "X-Amz-Signature" not in detail.model_dump_json()


def test_a_marker_has_no_other_pictures_signed(desk: Desk) -> None:
    run = run_of("super_resolution", OLD)
    job = Job.of(desk.store, desk.settings, OLD)
    good, bad = (ref(key).model_dump() for key in (f"{job.compare_prefix}0-before.jpg", "in/secret.jpg"))
    about = {"time": 1.0, "width": 2, "height": 2}
    stills = [about | {"before": good, "after": good}, about | {"before": good, "after": bad}]
    forge(desk, OLD, "merge", "old/b_x2.mp4", comparisons=stills)
    (shown,) = desk.detail(run, ()).comparisons
    # Made anew under the same key, it is another picture.
    assert (shown.before[-2:], shown.after[-2:]) == ("#e", "#e")


def test_a_marker_has_no_other_playlist_served(desk: Desk) -> None:
    film = FILM.model_copy(update={"container": "hls"})
    forge(desk, film, "finish", "in/secret.m3u8")
    with pytest.raises(NotFound):
        desk.playlist(run_of("transcode", film), "secret.m3u8")


def test_players_of_a_recording_share_a_playlist_that_is_not_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    film = FILM.model_copy(update={"container": "hls"})
    forge(desk, film, "finish", "out/a/a00000.ts", "out/a/a.m3u8")
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6.0,\na00000.ts\n"
    desk.store.put_bytes("media", "out/a/a.m3u8", text.encode())
    asked: list[str] = []
    get_bytes = desk.store.get_bytes

    def counted(bucket: str, key: str) -> bytes:
        asked.append(key)
        return get_bytes(bucket, key)

    monkeypatch.setattr(desk.store, "get_bytes", counted)
    run = run_of("transcode", film)

    async def many() -> list[str]:
        return await asyncio.gather(*(desk.details.playlist(run, "a.m3u8") for _ in range(20)))

    assert len(set(asyncio.run(many()))) == 1
    assert asked.count("out/a/a.m3u8") == 1
    desk.playlist(run, "a.m3u8")
    assert asked.count("out/a/a.m3u8") == 2


def test_a_live_tasks_request_names_no_other_recordings(desk: Desk) -> None:
    forge(desk, STREAM, "live", "in/secret.mp4")
    assert desk.detail(run_of("live", STREAM), ()).files == ()
