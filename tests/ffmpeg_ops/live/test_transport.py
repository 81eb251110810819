"""Transport streams cut into pieces, on real ones."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from include.errors import InternalError
from include.ffmpeg_ops.live.transport import CLOCK, PACKET, Piece, Slicer
from tests.conftest import Clips
from tests.media import ffmpeg, numbers, read_frame_numbers, tone


@pytest.fixture(scope="module")
def recording(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Four seconds with sound, a keyframe a second, B-frames between."""
    return make(tmp_path_factory.mktemp("ts") / "made.ts")


def make(path: Path, *options: str, size: str = "128x72") -> bytes:
    argv = [ffmpeg(), "-v", "error", *numbers(100, size=size), *tone(4), "-c:v", "libx264", "-preset", "veryfast", "-g", "25"]
    argv += ["-sc_threshold", "0", "-c:a", "aac", "-muxdelay", "0", "-muxpreload", "0", *options, "-f", "mpegts", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    return path.read_bytes()


def sliced(data: bytes, step: int = 1 << 16, slicer: Slicer | None = None) -> list[Piece]:
    slicer = slicer or Slicer()
    found = [piece for start in range(0, len(data), step) for piece in slicer.push(data[start : start + step])]
    return [*found, *slicer.flush()]


@pytest.mark.parametrize("step", [1, 7, 188, 1000, 1 << 20])
def test_whatever_way_it_is_read_the_pieces_are_the_same_and_together_the_stream(recording: bytes, step: int) -> None:
    pieces = sliced(recording, step)
    assert pieces == sliced(recording)
    assert recording.endswith(b"".join(piece.data for piece in pieces))
    assert all(len(piece.data) % PACKET == 0 for piece in pieces)


def test_every_picture_is_one_piece_at_its_own_time(recording: bytes) -> None:
    pictures = [piece for piece in sliced(recording) if piece.picture]
    times = sorted(piece.time - pictures[0].time for piece in pictures)
    assert times == [n * CLOCK // 25 for n in range(100)]
    assert [n for n, piece in enumerate(pictures) if piece.key] == [0, 25, 50, 75]
    assert [piece.joint for piece in pictures] == [True] + 99 * [False]


def test_a_stream_can_begin_at_any_keyframe(recording: bytes, tmp_path: Path) -> None:
    pieces = sliced(recording)
    third = [n for n, piece in enumerate(pieces) if piece.key][2]
    path = tmp_path / "rest.ts"
    path.write_bytes(pieces[third].opening + b"".join(piece.data for piece in pieces[third + 1 :]))
    assert read_frame_numbers(path) == list(range(50, 100))


def test_what_comes_before_the_first_keyframe_of_a_run_is_left_out(recording: bytes) -> None:
    pieces = sliced(recording)
    second = [n for n, piece in enumerate(pieces) if piece.key][1]
    # Tables come with every piece of the end of the first group.
    cut = pieces[0].tables + b"".join(piece.data for piece in pieces[second - 10 :])
    assert sum(piece.picture for piece in sliced(cut)) == 75


def test_times_go_on_where_their_33_bits_begin_anew(tmp_path: Path) -> None:
    wrapping = make(tmp_path / "wraps.ts", "-output_ts_offset", str(2**33 / CLOCK - 2))
    slicer = Slicer(2**33 - 3 * CLOCK)
    times = sorted(piece.time for piece in sliced(wrapping, slicer=slicer) if piece.picture)
    assert times[-1] > 2**33 > times[0]
    assert {after - before for before, after in pairwise(times)} == {CLOCK // 25}


def test_another_size_of_pictures_shows_in_keyframes_and_the_same_does_not(recording: bytes, tmp_path: Path) -> None:
    sequences = {piece.sequence for piece in sliced(recording) if piece.key}
    again = {piece.sequence for piece in sliced(make(tmp_path / "again.ts")) if piece.key}
    other = {piece.sequence for piece in sliced(make(tmp_path / "other.ts", size="64x36")) if piece.key}
    assert sequences == again
    assert len(sequences) == len(other) == 1
    assert not sequences & other


@pytest.mark.parametrize("name", ["mpegts", "closed_gop_265", "fields"])
def test_pictures_of_all_formats_are_counted(name: str, clip: Clips, tmp_path: Path) -> None:
    path = tmp_path / "copy.ts"
    argv = [ffmpeg(), "-v", "error", "-i", str(clip(name)), "-c", "copy", "-f", "mpegts", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    pieces = sliced(path.read_bytes())
    assert sum(piece.picture for piece in pieces) == clip.frames(name)
    assert all(piece.sequence for piece in pieces if piece.key)


def test_a_stream_that_has_lost_its_boundaries_is_refused(recording: bytes) -> None:
    with pytest.raises(InternalError, match="packet boundaries"):
        sliced(recording[: 20 * PACKET] + b"x" + recording[20 * PACKET :])
