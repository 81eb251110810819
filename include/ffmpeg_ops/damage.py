"""Findings of truncation and damage, from what a container promises and what its packets are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from include.ffmpeg_ops.packets import StreamPackets
from include.ffmpeg_ops.streams import rational

__all__ = ["LONGEST_PAGE", "cut_off", "findings", "sniff"]

# Headers round and estimate; what is missing beyond this is missing.
SLACK_SECONDS = Fraction(3, 4)
SLACK_SHARE = Fraction(1, 100)

# Of Ogg: 255 segments of 255 bytes, and its header.
LONGEST_PAGE = 255 * 255 + 27 + 255
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")

_MAGIC = (
    (4, (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"moof"), "MP4 or QuickTime"),
    (0, (b"\x1a\x45\xdf\xa3",), "Matroska or WebM"),
    (0, (b"FLV\x01",), "Flash video"),
    (0, (b"RIFF",), "AVI"),
    (0, (b"OggS",), "Ogg"),
    (0, (b"\x00\x00\x01\xba",), "an MPEG program stream"),
    (0, (b"\x30\x26\xb2\x75",), "ASF"),
)


def sniff(head: bytes) -> str | None:
    """Return the name of the container that a file's first bytes announce, or None."""
    for offset, magics, name in _MAGIC:
        if head[offset:].startswith(magics):
            return name
    return "an MPEG transport stream" if _transport_packet(head) else None


def _transport_packet(head: bytes) -> int | None:
    """Return the packet size of a transport stream: plain, with time codes (M2TS) or with error correction; else None."""
    for size, offset in ((188, 0), (192, 4), (204, 0)):
        if head[offset::size][:3] == b"GGG":
            return size
    return None


def cut_off(head: bytes, tail: bytes, size: int) -> tuple[str, ...]:
    """Return the findings that a file of ``size`` bytes was cut off of which demuxers say nothing.

    ``head`` and ``tail`` are its first and last bytes, of which a page of Ogg has at most :data:`LONGEST_PAGE`.
    """
    packet = _transport_packet(head)
    if packet and size % packet:
        return (f"The transport stream ends after {size % packet} of a packet's {packet} bytes.",)
    if (whole := _asf_size(head)) > size:
        return (f"The header promises {whole} bytes, but there are {size}.",)
    if head.startswith(b"OggS") and _ends_within_page(tail):
        return ("The Ogg stream ends within a page.",)
    return ()


def _asf_size(head: bytes) -> int:
    """Return the size of the file that an ASF header tells, in its file properties object (3.2 of the specification); else 0."""
    _, found, properties = head.partition(_ASF_FILE_PROPERTIES)
    live = properties[72:73] != b"" and properties[72] & 1
    return int.from_bytes(properties[24:32], "little") if found and not live else 0


def _ends_within_page(tail: bytes) -> bool:
    # RFC 3533, 6: a header of 27 bytes, the last of which counts the segments; a length for each; the segments.
    _, found, page = tail.rpartition(b"OggS")
    lengths = page[23 : 23 + page[22]] if len(page) > 22 else b""
    return bool(found) and (len(page) < 23 or len(lengths) < page[22] or len(page) < 23 + len(lengths) + sum(lengths))


def findings(document: Mapping[str, Any], packets: Mapping[int, StreamPackets], said: Iterable[str]) -> tuple[str, ...]:
    """Return one sentence for each sign that the source is not whole; ``said`` are messages of the demuxer."""
    # Parsers have no name in ffmpeg 5's messages.
    found = [f'ffprobe reports "{message.removeprefix("NULL: ")}".' for message in dict.fromkeys(said)]
    streams = [stream for stream in document["streams"] if stream["index"] in packets]
    spans = {stream["index"]: _seconds(stream, packets[stream["index"]]) for stream in streams}
    # Matroska tells when a stream ends; other containers how long it is from its own start, ASF only how long the longest is.
    container = str(document["format"].get("format_name", ""))
    ends = container.startswith("matroska")
    for stream in streams:
        span = None if container == "asf" else spans[stream["index"]]
        length = (span[1] - (min(span[0], Fraction(0)) if ends else span[0])) if span else None
        found += _of_stream(stream, packets[stream["index"]], length)
    promised = _decimal(document["format"].get("duration"))
    known = [span for span in spans.values() if span]
    if promised and known:
        last, first = max(end for _, end in known), min(start for start, _ in known)
        found += _missing("the whole file", promised, last - min(first, Fraction(0)))
    return tuple(found)


def _of_stream(stream: Mapping[str, Any], packets: StreamPackets, length: Fraction | None) -> list[str]:
    kind, index = stream.get("codec_type", "data"), stream["index"]
    found = []
    if packets.corrupt:
        found.append(f"{packets.corrupt} packets of {kind} stream {index} are marked as corrupt.")
    if kind not in ("video", "audio"):
        return found
    # Edit lists leave samples out, rightly.
    counted = int(stream.get("nb_frames") or 0)
    if counted > len(packets) and not any(packets.discarded) and length is not None and _missing("", _duration(stream), length):
        found.append(f"{kind.capitalize()} stream {index} has {len(packets)} of the {counted} packets that its header counts.")
    if length is not None:
        found += _missing(f"{kind} stream {index}", _duration(stream), length)
    return found


def _missing(what: str, promised: Fraction | None, present: Fraction) -> list[str]:
    if not promised or promised - present <= max(SLACK_SECONDS, promised * SLACK_SHARE):
        return []
    return [f"The header promises {float(promised):.2f} s of {what}, but there are {float(present):.2f} s."]


def _seconds(stream: Mapping[str, Any], packets: StreamPackets) -> tuple[Fraction, Fraction] | None:
    time_base, span = rational(stream.get("time_base")), packets.span()
    return (span[0] * time_base, span[1] * time_base) if time_base and span else None


def _duration(stream: Mapping[str, Any]) -> Fraction | None:
    return _decimal(stream.get("duration"))


def _decimal(value: object) -> Fraction | None:
    try:
        return Fraction(str(value))
    except ValueError:
        return None
