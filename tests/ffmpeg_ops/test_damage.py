"""Findings of truncation and damage that need no file."""

from __future__ import annotations

from typing import Any

import pytest

from include.ffmpeg_ops.damage import cut_off, findings, sniff
from include.ffmpeg_ops.packets import StreamPackets


def packets(count: int, *, start: int = 0, discarded: int = 0, corrupt: int = 0) -> StreamPackets:
    times: list[int | None] = list(range(start, start + count))
    hidden = [n < discarded for n in range(count)]
    return StreamPackets(times, times, [1] * count, [True] * count, hidden, bytes=count, corrupt=corrupt)


def document(stream: dict[str, Any], **container: Any) -> dict[str, Any]:
    return {"streams": [{"index": 0, "codec_type": "video", "time_base": "1/25", **stream}], "format": container}


@pytest.mark.parametrize(
    ("stream", "container", "packet", "found"),
    [
        ({"duration": "10.0", "nb_frames": "250"}, {"duration": "10.0"}, packets(250), []),
        ({"duration": "10.4"}, {"duration": "10.4"}, packets(250), []),
        ({"duration": "N/A"}, {"duration": "N/A"}, packets(250), []),
        ({}, {}, packets(250), []),
        ({"duration": "6.0", "nb_frames": "250"}, {"duration": "6.0"}, packets(200, discarded=50), []),
        ({"duration": "7200.0"}, {"duration": "7250.0"}, packets(25 * 7200), []),
        ({}, {"duration": "10.0"}, packets(150), ["promises 10.00 s of the whole file, but there are 6.00 s"]),
        (
            {"duration": "10.0", "nb_frames": "250"},
            {},
            packets(150),
            ["Video stream 0 has 150 of the 250 packets", "promises 10.00 s of video stream 0, but there are 6.00 s"],
        ),
        ({"duration": "17.5"}, {"format_name": "matroska,webm"}, packets(250, start=188), []),
        ({"duration": "17.5"}, {"format_name": "matroska,webm"}, packets(150, start=188), ["but there are 13.52 s"]),
        ({"duration": "17.5"}, {"format_name": "asf"}, packets(250), []),
        ({"duration": "17.5"}, {"format_name": "asf", "duration": "17.5"}, packets(250), ["of the whole file, but there are 10"]),
        ({"duration": "17.5"}, {"format_name": "mov,mp4"}, packets(250, start=188), ["but there are 10.00 s"]),
        ({}, {}, packets(250, corrupt=3), ["3 packets of video stream 0 are marked as corrupt"]),
    ],
    ids=[
        "sound",
        "rounded",
        "unknown",
        "silent",
        "edit list",
        "half a minute of two hours",
        "file",
        "stream",
        "late",
        "late and short",
        "shorter than the others in ASF",
        "ASF",
        "MP4",
        "corrupt",
    ],
)
def test_what_is_missing_is_found(
    stream: dict[str, Any], container: dict[str, Any], packet: StreamPackets, found: list[str]
) -> None:
    sentences = findings(document(stream, **container), {0: packet}, [])
    assert len(sentences) == len(found)
    assert all(part in sentence for part, sentence in zip(found, sentences, strict=True))


def test_the_demuxers_words_are_told_once() -> None:
    said = ["mov: partial file", "mov: partial file", "NULL: Invalid NAL unit size"]
    assert findings(document({}), {0: packets(1)}, said) == (
        'ffprobe reports "mov: partial file".',
        'ffprobe reports "Invalid NAL unit size".',
    )


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x00\x00\x00\x20ftypisom", "MP4 or QuickTime"),
        (b"\x1a\x45\xdf\xa3\x93", "Matroska or WebM"),
        (b"G" + b"\x00" * 187 + b"G" + b"\x00" * 187 + b"G" + b"\x00" * 187, "an MPEG transport stream"),
        (b"<html>", None),
        (b"GIF89a", None),
        (b"", None),
    ],
    ids=["mp4", "mkv", "ts", "html", "gif", "nothing"],
)
def test_containers_are_known_by_their_first_bytes(head: bytes, name: str | None) -> None:
    assert sniff(head) == name


@pytest.mark.parametrize(("packet", "offset"), [(188, 0), (192, 4), (204, 0)])
def test_a_transport_stream_that_ends_within_a_packet_was_cut_off(packet: int, offset: int) -> None:
    head = (b"\x00" * offset + b"G" + b"\x00" * (packet - 1 - offset)) * 4
    assert cut_off(head, b"", packet * 1000) == ()
    assert cut_off(head, b"", packet * 1000 + 37) == (f"The transport stream ends after 37 of a packet's {packet} bytes.",)


def test_an_ogg_stream_that_ends_within_a_page_was_cut_off() -> None:
    page = b"OggS" + b"\x00" * 22 + b"\x02\xff\x10" + b"\x00" * (255 + 16)
    tails = [(page * 2)[: len(page) + length] for length in (0, 5, 26, 27, 28, 100, len(page) - 1, len(page))]
    found = [bool(cut_off(page, tail, 1000)) for tail in tails]
    assert found == [False, True, True, True, True, True, True, False]
    assert not cut_off(page, page + b"TAG" * 40, 1000)


@pytest.mark.parametrize(("flags", "size", "found"), [(2, 1000, False), (2, 1100, False), (2, 999, True), (3, 999, False)])
def test_an_asf_file_shorter_than_its_header_says_was_cut_off(flags: int, size: int, found: bool) -> None:
    properties = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + b"\x00" * 24 + (1000).to_bytes(8, "little")
    head = b"\x30\x26\xb2\x75" + b"\x00" * 26 + properties + b"\x00" * 40 + bytes([flags, 0, 0, 0])
    assert bool(cut_off(head, b"", size)) == found
