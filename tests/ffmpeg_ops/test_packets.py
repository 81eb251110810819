"""The packet index, from ffprobe's text and from columns made up to be awkward."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest

from include.errors import InvalidInputData
from include.ffmpeg_ops.packets import (
    Frame,
    StreamPackets,
    index_frames,
    index_packets,
    needs_frames,
    parse_frames,
    parse_packets,
)

TICK = Fraction(1, 25)


def packets(pts: list[int | None], keys: set[int], discarded: set[int] = frozenset()) -> StreamPackets:  # type: ignore[assignment]
    """Packets in file order; ``keys`` and ``discarded`` are positions."""
    places = range(len(pts))
    return StreamPackets(
        pts=pts,
        dts=[None for _ in places],
        duration=[1 for _ in places],
        key=[n in keys for n in places],
        discarded=[n in discarded for n in places],
    )


def test_packets_of_both_ffmpeg_versions_are_parsed() -> None:
    text = "0,-512,-1024,512,763,KD_\n1,-1024,-1024,1024,192,KDC,\n\n0,N/A,0,512,48,__\n1,0,0,1024,235,K__,312,0\nrubbish\n"
    table = parse_packets(text)
    assert table[0].pts == [-512, None]
    assert table[0].dts == [-1024, 0]
    assert table[0].discarded == [True, False]
    assert table[0].key == [True, False]
    assert table[0].bytes == 811
    assert table[1].corrupt == 1
    assert table[1].span() == (0, 1024)


def test_a_long_film_is_parsed_and_indexed_in_seconds() -> None:
    text = "".join(f"0,{n * 512},{n * 512},512,1000,{'K' if n % 50 == 0 else '_'}__\n" for n in range(200_000))
    started = time.perf_counter()
    index = index_packets(parse_packets(text)[0], Fraction(1, 12800))
    assert time.perf_counter() - started < 5
    assert len(index.pts) == 200_000
    assert len(index.keyframes) == 4_000


def test_frames_are_put_into_presentation_order_and_keyframes_counted_in_it() -> None:
    index = index_packets(packets([0, 3, 1, 2, 4, 7, 5, 6], {0, 4}), TICK)
    assert index.pts == tuple(range(8))
    assert index.end_pts == 8
    assert [(key.frame, key.clean) for key in index.keyframes] == [(0, True), (4, True)]


def test_a_keyframe_that_is_followed_by_leading_pictures_is_unclean() -> None:
    index = index_packets(packets([0, 3, 1, 2, 6, 4, 5, 7], {0, 4}), TICK)
    assert [(key.frame, key.clean) for key in index.keyframes] == [(0, True), (6, False)]


def test_a_keyframe_knows_how_many_packets_lie_before_it_and_frames_without_a_packet_do_not() -> None:
    hidden = packets([-2, -1, 0, 3, 1, 2, 4, 5], {0, 2, 6}, discarded={0, 1})
    assert [(key.frame, key.packet) for key in index_packets(hidden, TICK).keyframes] == [(0, 2), (4, 6)]
    frames = [Frame(0, True, 1), Frame(1, False, 1), Frame(2, True, 1)]
    made = index_frames(frames, packets([0, None, 2], {0, 2}), TICK)
    assert [(key.frame, key.packet) for key in made.keyframes] == [(0, 0), (2, 2)]
    made = index_frames(frames, packets([None, None, 2], {0, 2}), TICK)
    assert [(key.frame, key.packet) for key in made.keyframes] == [(0, None), (2, 2)]


def test_frames_that_an_edit_list_hides_are_not_counted() -> None:
    index = index_packets(packets([-2, -1, 0, 1, 2], {0, 3}, discarded={0, 1}), TICK)
    assert index.pts == (0, 1, 2)
    assert [key.frame for key in index.keyframes] == [1]


def test_a_last_frame_without_duration_lasts_as_long_as_most() -> None:
    stream = packets([0, 4, 8, 13], {0})
    stream.duration = [0, 0, 0, 0]
    assert index_packets(stream, TICK).end_pts == 17


def test_a_stream_without_frames_is_refused() -> None:
    with pytest.raises(InvalidInputData, match="no frames"):
        index_packets(packets([0], {0}, discarded={0}), TICK)


@pytest.mark.parametrize(
    ("stream", "codec", "interlaced", "container", "reason"),
    [
        (packets([0, 1], {0}), "h264", False, "mov,mp4", None),
        (packets([0, None], {0}), "mpeg4", False, "avi", "no presentation times"),
        (packets([0, 1, 1], {0}), "mpeg4", False, "avi", "share"),
        (packets([0, 1], {0}), "vp8", False, "matroska,webm", "show nothing"),
        (packets([0, 1], {0}), "h264", True, "mpegts", "single fields"),
        (packets([0, 1], {0}), "h264", True, "mov,mp4", None),
        (packets([0, 1], {1}), "h264", False, "mpegts", "between keyframes"),
        (packets([2, 1, 3], {0}), "h264", False, "mpegts", "missing ones"),
        (packets([2, None, 3], {0}, discarded={1}), "h264", False, "mov", None),
    ],
    ids=["sound", "no PTS", "same PTS", "vp8", "fields", "fields in mp4", "cut in", "leading", "hidden"],
)
def test_streams_whose_packets_are_not_frames_are_known(
    stream: StreamPackets, codec: str, interlaced: bool, container: str, reason: str | None
) -> None:
    found = needs_frames(stream, codec, interlaced, container)
    assert found is None if reason is None else found is not None and reason in found


def test_frames_of_both_ffmpeg_versions_are_parsed() -> None:
    text = (
        "key_frame=1|best_effort_timestamp=0|pkt_duration=2\nkey_frame=0|best_effort_timestamp=N/A|duration=3|pkt_duration=3\n\n"
    )
    assert parse_frames(text) == [Frame(0, True, 2), Frame(None, False, 3)]


def test_a_last_frame_without_time_follows_the_one_before() -> None:
    index = index_frames([Frame(1, True, 2), Frame(3, False, 2), Frame(None, False, 2)], packets([None] * 3, {0}), TICK)
    assert index.pts == (1, 3, 5)
    assert index.end_pts == 7
    many = [Frame(1, True, 2), *[Frame(None, False, 2)] * 16]
    assert index_frames(many, packets([None] * 17, {0}), TICK).pts == tuple(range(1, 35, 2))
    with pytest.raises(InvalidInputData, match="missing or go back at frame 1"):
        index_frames([*many, Frame(None, False, 2)], packets([None] * 18, {0}), TICK)


def test_keyframes_of_decoded_frames_are_clean_only_if_the_packets_say_so() -> None:
    frames = [Frame(n, n in (0, 2, 4), 1) for n in range(6)]
    index = index_frames(frames, packets([0, 1, 2, 3, None, 5], {0, 2, 4}), TICK)
    assert [(key.frame, key.clean) for key in index.keyframes] == [(0, True), (2, True), (4, False)]


@pytest.mark.parametrize("second", [None, 5, 4], ids=["missing", "repeated", "earlier"])
def test_time_that_does_not_move_forward_is_refused_with_the_place(second: int | None) -> None:
    frames = [Frame(5, True, 1), Frame(second, False, 1), Frame(6, False, 1)]
    with pytest.raises(InvalidInputData, match=r"at frame 1, after 0\.200 s"):
        index_frames(frames, packets([5, 4, 6], {0}), TICK)
