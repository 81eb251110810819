"""The playlist of a recording."""

from __future__ import annotations

import m3u8

from include.ffmpeg_ops.live.recording import Entry, read, render

ENTRIES = [Entry("a 1-00000.ts", 6.04, joint=True), Entry("a 1-00001.ts", 5.96), Entry("a 1-00002.ts", 2.0, joint=True)]


def test_it_is_open_while_live_and_closed_at_the_end() -> None:
    growing, closed = (m3u8.loads(render(ENTRIES, ended=ended)) for ended in (False, True))
    assert (growing.is_endlist, closed.is_endlist) == (False, True)
    assert growing.playlist_type == "event"
    assert [segment.uri for segment in closed.segments] == ["a%201-00000.ts", "a%201-00001.ts", "a%201-00002.ts"]
    assert [segment.discontinuity for segment in closed.segments] == [False, False, True]


def test_what_was_written_is_read_again() -> None:
    assert read(render(ENTRIES, ended=True)) == [Entry("a 1-00000.ts", 6.04), *ENTRIES[1:]]


def test_the_target_duration_stays_the_same_unless_a_segment_is_longer() -> None:
    assert [m3u8.loads(render(ENTRIES[:n], ended=False)).target_duration for n in (0, 1, 3)] == [10, 10, 10]
    assert m3u8.loads(render([Entry("a.ts", 20.2)], ended=False)).target_duration == 21
