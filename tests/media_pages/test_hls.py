"""Playlists as browsers get them, and what must never be signed for them."""

from __future__ import annotations

import uuid
from pathlib import Path

import m3u8
import pytest

from include.errors import NotFound
from include.ffmpeg_ops.encodings import Encoding
from include.media_api.gateway import Run, TaskState
from include.media_pages.hls import rewritten
from include.media_store.models import ObjectRef
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from include.worker.job import Job
from include.worker.task_request import TaskReference, TaskRequest
from tests.media_pages.runs import Desk, now
from tests.worker.file_tasks import profile
from tests.worker.test_live_record import record, stream

MAIN = """#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="en",DEFAULT=YES,AUTOSELECT=YES,URI="audio_eng/a%20b.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=854x480,CODECS="avc1.64001F,mp4a.40.2",AUDIO="audio"
hls0800k/a%20b.m3u8
"""
MEDIA = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:6
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI="a%20b_init.mp4"
#EXTINF:6.000000,
a%20b00000.m4s
#EXTINF:2.502500,
a%20b00001.m4s
#EXT-X-ENDLIST
"""
PLAYLISTS = {
    name: ObjectRef(bucket="media", key=f"out/{name}", etag="e", size=1)
    for name in ("a b.m3u8", "hls0800k/a b.m3u8", "audio_eng/a b.m3u8")
}


def address(name: str) -> str | None:
    known = {"hls0800k/a b_init.mp4", "hls0800k/a b00000.m4s", "hls0800k/a b00001.m4s"}
    return f"https://s3.example/{name.replace(' ', '%20')}?signature" if name in known else None


def test_other_playlists_stay_where_they_are_and_segments_get_addresses() -> None:
    main = m3u8.loads(rewritten(MAIN, "a b.m3u8", PLAYLISTS, address))
    assert [item.uri for item in (*main.playlists, *main.media)] == ["hls0800k/a%20b.m3u8", "audio_eng/a%20b.m3u8"]
    media = m3u8.loads(rewritten(MEDIA, "hls0800k/a b.m3u8", PLAYLISTS, address))
    assert [segment.uri for segment in media.segments] == [
        f"https://s3.example/hls0800k/a%20b0000{number}.m4s?signature" for number in range(2)
    ]
    assert {segment.init_section.uri for segment in media.segments} == {"https://s3.example/hls0800k/a%20b_init.mp4?signature"}
    assert [segment.duration for segment in media.segments] == [6, 2.5025]
    assert media.is_endlist


@pytest.mark.parametrize(
    "reference",
    [
        "../report.json",
        "../../other/a.m3u8",
        "/hls0800k/a%20b00000.m4s",
        "//s3.example/x",
        "https://evil.example/a%20b00000.m4s",
        "a%20b00000.m4s?x=1",
        "%2e%2e/%2e%2e/secret",
        "file:///etc/passwd",
        "a%20b.m3u8",
    ],
)
def test_what_is_not_of_this_output_is_never_signed(reference: str) -> None:
    for line in ("a%20b00001.m4s", "a%20b_init.mp4"):
        with pytest.raises(NotFound):
            rewritten(MEDIA.replace(line, reference), "hls0800k/a b.m3u8", PLAYLISTS, address)
    with pytest.raises(NotFound):
        rewritten(MAIN.replace("hls0800k/a%20b.m3u8", reference + "x"), "a b.m3u8", PLAYLISTS, address)


def test_keys_are_not_for_us() -> None:
    text = MEDIA.replace("#EXT-X-MAP", '#EXT-X-KEY:METHOD=AES-128,URI="https://evil.example/key"\n#EXT-X-MAP')
    with pytest.raises(NotFound):
        rewritten(text, "hls0800k/a b.m3u8", PLAYLISTS, address)


@pytest.mark.parametrize("text", ["", "garbage", "<html></html>", "#EXTM3U\n", "#EXTM3U\n#EXT-X-TARGETDURATION:x\n"])
def test_what_is_no_playlist_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        rewritten(text, "a b.m3u8", PLAYLISTS, address)


def test_a_live_recording_plays_while_it_grows(store_on_s3: S3ObjectStore, s3_bucket: str, tmp_path: Path) -> None:
    settings = Settings(_env_file=None, bucket=s3_bucket, cache_dir=tmp_path / "cache")  # type: ignore[call-arg]
    desk = Desk(store_on_s3, settings)
    key = f"rec/{uuid.uuid4().hex[:8]}/show 中.m3u8"
    targets = ("rtmp://live.example/app/secret-key", f"s3://{s3_bucket}/{key}")
    reference = TaskReference(bucket=s3_bucket, client="demo", task_id="77", targets=("rtmp://live.example/app/***", targets[1]))
    Job.of(store_on_s3, settings, reference).write_task(
        TaskRequest(
            reference=reference,
            source_url="srt://ingest.example:9000",
            targets=targets,
            profile=profile(Encoding(container="m3u8")),
            created_at=now(),
        )
    )
    run = Run(reference.run_id, "running", reference.model_dump(mode="json"), now(), dag_id="live")
    told = {
        "phase": "live",
        "done": 9,
        "fps": 25.0,
        "targets": [{"url": targets[0][:-10] + "***", "state": "sending", "frames": 9}],
    }
    tasks = (TaskState("live", -1, "running", 0.1, told, now(), None, 2),)
    assert desk.detail(run, tasks).player is None

    record(store_on_s3, s3_bucket, key, tmp_path / "segments", stream(15))
    detail = desk.detail(run, tasks)
    assert [(unit.kind, unit.state, unit.attempt, unit.fps, unit.frames) for unit in detail.units] == [
        ("live", "running", 2, 25.0, 9)
    ]
    assert [(one.name, one.status) for one in detail.destinations] == [("rtmp://live.example/app/***", "sending")]
    assert detail.player is not None
    assert detail.player.url == f"/media/data/jobs/live/{reference.run_id}/hls/2/show%20%E4%B8%AD.m3u8"
    text = desk.playlist(run, "2/show 中.m3u8")
    segments = [segment.uri for segment in m3u8.loads(text).segments]
    assert len(segments) > 1
    assert all("/rec/" in segment and "X-Amz-Signature" in segment for segment in segments)
    # A playlist that names something else of the bucket gets nothing signed.
    store_on_s3.put_bytes(s3_bucket, key, text.replace(segments[0], "../../in/secret.mp4").encode())
    with pytest.raises(NotFound):
        desk.playlist(run, "2/show 中.m3u8")
    assert "secret-key" not in detail.model_dump_json()


@pytest.fixture
def store_on_s3(s3_connection: object) -> S3ObjectStore:
    return S3ObjectStore(client=s3_connection)  # type: ignore[arg-type]


@pytest.fixture
def s3_bucket(bucket: str) -> str:
    return bucket
