"""Recordings of streams that are pretended, in a real store that may refuse."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import m3u8
import pytest

from include.errors import StorageError
from include.ffmpeg_ops.live.outlet import Outlet
from include.ffmpeg_ops.live.recording import Entry, render
from include.ffmpeg_ops.live.transport import CLOCK, Piece
from include.media_store.models import ObjectRef
from include.media_store.objects import S3ObjectStore
from include.worker.live_record import Recorder


class Refusing(S3ObjectStore):
    """A store that takes ``taken`` files, and then refuses the next ``times``."""

    def __init__(self, client: Any, times: int, taken: int = 0) -> None:
        super().__init__(client=client)
        self.times = times
        self.taken = taken

    def upload(self, path: Path, bucket: str, key: str, content_type: str | None = None) -> ObjectRef:
        self.taken -= 1
        if self.taken < 0 and self.times > 0:
            self.times -= 1
            raise StorageError("The store does not answer.")
        return super().upload(path, bucket, key, content_type)


class Away(S3ObjectStore):
    """A store that is not there for the first ``times``."""

    def __init__(self, client: Any, times: int) -> None:
        super().__init__(client=client)
        self.times = times

    def get_bytes(self, bucket: str, key: str) -> bytes:
        self.answer()
        return super().get_bytes(bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        self.answer()
        super().delete(bucket, key)

    def answer(self) -> None:
        self.times -= 1
        if self.times >= 0:
            raise StorageError("The store does not answer.")


def stream(seconds: int, begins: int = 0) -> list[Piece]:
    """A picture a second, a keyframe every other."""
    times = range(begins, begins + seconds)
    return [Piece(b"G" * 188, b"", time * CLOCK, picture=True, key=time % 2 == 0) for time in times]


def record(store: S3ObjectStore, bucket: str, key: str, folder: Path, pieces: list[Piece], **options: Any) -> Recorder:
    outlet = Outlet(seconds=10**6)
    folder.mkdir(exist_ok=True)
    where = (bucket, key)
    recorder = Recorder("s3://shown", outlet, store, where, folder, **{"resumes": False, "patience": 20.0, **options})
    for piece in pieces:
        outlet.put(piece)
    outlet.close()
    recorder.start()
    recorder.join(30)
    return recorder


@pytest.fixture
def key() -> str:
    return f"rec/{uuid.uuid4().hex[:8]}/show.m3u8"


def segments(store: S3ObjectStore, bucket: str, key: str) -> list[tuple[str, float, bool]]:
    found = m3u8.loads(store.get_bytes(bucket, key).decode())
    assert found.is_endlist
    return [(segment.uri, segment.duration, segment.discontinuity) for segment in found.segments]


def test_segments_begin_with_keyframes_and_are_as_long_as_their_pictures_are_shown(
    store: S3ObjectStore, bucket: str, key: str, tmp_path: Path
) -> None:
    recorder = record(store, bucket, key, tmp_path / "out", stream(15))
    assert (recorder.state, recorder.frames, recorder.dropped) == ("done", 15, 0)
    assert segments(store, bucket, key) == [("show-00000.ts", 6, False), ("show-00001.ts", 6, False), ("show-00002.ts", 3, False)]
    assert recorder.segments == [key.replace(".m3u8", f"-{n:05d}.ts") for n in range(3)]
    assert list((tmp_path / "out").iterdir()) == []


def test_another_attempt_goes_on_with_the_playlist_after_a_discontinuity(
    store: S3ObjectStore, bucket: str, key: str, tmp_path: Path
) -> None:
    record(store, bucket, key, tmp_path / "out", stream(8))
    record(store, bucket, key, tmp_path / "out", stream(4, begins=100), resumes=True)
    assert segments(store, bucket, key) == [
        ("show-00000.ts", 6, False),
        ("show-00001.ts", 2, False),
        ("show-00002.ts", 4, True),
    ]


def test_another_picture_format_begins_another_segment_after_a_discontinuity(
    store: S3ObjectStore, bucket: str, key: str, tmp_path: Path
) -> None:
    # Of one of the keyframes no parameters are known: it goes by those before it.
    formats = {0: b"small", 2: b"small", 4: b"large", 6: b"", 8: b"large", 10: b"large"}
    pieces = [replace(piece, sequence=formats.get(second, b"")) for second, piece in enumerate(stream(12))]
    record(store, bucket, key, tmp_path / "out", pieces)
    assert segments(store, bucket, key) == [
        ("show-00000.ts", 4, False),
        ("show-00001.ts", 6, True),
        ("show-00002.ts", 2, False),
    ]


def test_so_do_other_streams(store: S3ObjectStore, bucket: str, key: str, tmp_path: Path) -> None:
    pieces = [replace(piece, tables=b"T" * (188 if second < 2 else 376)) for second, piece in enumerate(stream(6))]
    record(store, bucket, key, tmp_path / "out", pieces)
    assert segments(store, bucket, key) == [("show-00000.ts", 2, False), ("show-00001.ts", 4, True)]


def test_a_task_that_begins_anew_forgets_what_was_recorded_before(
    store: S3ObjectStore, bucket: str, key: str, tmp_path: Path
) -> None:
    record(store, bucket, key, tmp_path / "out", stream(8))
    record(store, bucket, key, tmp_path / "out", stream(4))
    assert segments(store, bucket, key) == [("show-00000.ts", 4, False)]
    record(store, bucket, key, tmp_path / "out", [])
    assert store.head(bucket, key) is None


def test_a_store_that_is_away_for_a_while_gets_everything_in_the_end(
    s3_connection: Any, bucket: str, key: str, tmp_path: Path
) -> None:
    store = Refusing(s3_connection, times=2)
    assert record(store, bucket, key, tmp_path / "out", stream(8)).state == "done"
    assert [name for name, _, _ in segments(store, bucket, key)] == ["show-00000.ts", "show-00001.ts"]


@pytest.mark.parametrize("resumes", [False, True])
def test_a_store_that_is_away_when_a_recording_begins_costs_it_nothing(
    resumes: bool, store: S3ObjectStore, s3_connection: Any, bucket: str, key: str, tmp_path: Path
) -> None:
    record(store, bucket, key, tmp_path / "out", stream(4))
    away = Away(s3_connection, times=2)
    assert record(away, bucket, key, tmp_path / "out", stream(4, begins=100), resumes=resumes).state == "done"
    before = [("show-00000.ts", 4, False)] if resumes else []
    assert segments(store, bucket, key) == [*before, (f"show-{len(before):05d}.ts", 4, resumes)]


def test_one_that_stays_away_ends_the_recording(s3_connection: Any, bucket: str, key: str, tmp_path: Path) -> None:
    recorder = record(Refusing(s3_connection, times=1000), bucket, key, tmp_path / "out", stream(8), patience=0.2)
    assert recorder.state == "failed"
    assert str(recorder.error) == "The target s3://shown failed: The store does not answer."


def test_a_recording_with_a_segment_missing_ends_before_it(s3_connection: Any, bucket: str, key: str, tmp_path: Path) -> None:
    store = Refusing(s3_connection, times=1, taken=1)
    assert record(store, bucket, key, tmp_path / "out", stream(40), patience=0.0).state == "failed"
    assert segments(store, bucket, key) == [("show-00000.ts", 6, False)]


def test_another_attempt_counts_on_from_the_last_segment(store: S3ObjectStore, bucket: str, key: str, tmp_path: Path) -> None:
    store.put_bytes(bucket, key, render([Entry("show-00000.ts", 6), Entry("show-00004.ts", 6)], ended=False).encode())
    record(store, bucket, key, tmp_path / "out", stream(4, begins=100), resumes=True)
    assert [name for name, _, _ in segments(store, bucket, key)] == ["show-00000.ts", "show-00004.ts", "show-00005.ts"]
