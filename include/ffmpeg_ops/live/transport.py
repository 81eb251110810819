"""MPEG-TS (ISO/IEC 13818-1) as our own ffmpeg writes it, cut where it may be joined again. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from include.errors import InternalError, OutputNotSupported

__all__ = ["CLOCK", "PACKET", "Piece", "Slicer"]

CLOCK = 90_000
PACKET = 188
_SYNC = 0x47
_WRAP = 1 << 33
_HEAD_PACKETS = 32
_PAT = 0
# A sequence header of MPEG-2, or the sequence parameter set of H.264 or H.265, up to the next start code.
_SEQUENCE = re.compile(rb"\x00\x00\x01(?:\xb3.{8}|(?:[\x07\x27\x47\x67]|\x42\x01).*?(?=\x00\x00[\x00\x01]))", re.DOTALL)
# MPEG-1 and 2, MPEG-4, H.264, H.265 (ISO/IEC 13818-1, table 2-34).
_VIDEO_TYPES = frozenset((0x01, 0x02, 0x10, 0x1B, 0x24))


@dataclass(frozen=True)
class Piece:
    """The packets of one picture, of some sound, or a table: the stream can be cut before and after it.

    ``time`` is when it is shown, in ticks of 90 kHz that never wrap; ``tables`` (PAT and PMT) are those in force and ``sequence``
    a keyframe's sequence parameters: the same bytes for as long as streams and picture format are the same. ``joint``: what came
    before it is not what should have.
    """

    data: bytes
    tables: bytes
    time: int | None = None
    picture: bool = False
    key: bool = False
    joint: bool = False
    sequence: bytes = b""

    @property
    def opening(self) -> bytes:
        """A keyframe as a stream begins with it, or goes on with after others were left out."""
        # The discontinuity_indicator tells readers that the counters of packets have jumped.
        return self.tables + self.data[:5] + bytes((self.data[5] | 0x80,)) + self.data[6:]

    def differs_from(self, other: Piece) -> bool:
        """Tell whether this is a keyframe since which streams or picture format are not what they were at ``other``, one, too."""
        # A keyframe without parameters of its own goes by those before it.
        return self.key and (self.tables != other.tables or self.sequence not in (b"", other.sequence))


class Slicer:
    """Cuts a transport stream into :class:`Piece`s; a keyframe always begins one.

    ``last`` is the largest time seen in any stream. What comes before the first keyframe of a run is left out.
    """

    def __init__(self, start: int = 0) -> None:
        self.last = start
        self._pat = self._pmt = b""
        self.restart()

    def restart(self) -> None:
        """Expect the output of another run of the encoder."""
        self._rest = b""
        self._video: int | None = None
        self._pmt_pid: int | None = None
        self._begun = False
        self._joint = True

    def push(self, data: bytes) -> Iterator[Piece]:
        """Take what was read and yield what is complete; the last packet of each stream waits for what follows it."""
        data = self._rest + data
        whole = len(data) - len(data) % PACKET
        if data[0:whole:PACKET].count(_SYNC) != whole // PACKET:
            raise InternalError("ffmpeg wrote a transport stream that has lost its packet boundaries.")
        start = 0
        # The second byte of every packet: where its sixth bit is set, a packet of an elementary stream or a table begins.
        for number, flags in enumerate(data[1:whole:PACKET]):
            position = number * PACKET
            if flags & 0x40 and position > start:
                yield from self._piece(data[start:position])
                start = position
        self._rest = data[start:]

    def flush(self) -> Iterator[Piece]:
        """Yield the end of a run."""
        rest, self._rest = self._rest, b""
        yield from self._piece(rest[: len(rest) - len(rest) % PACKET])

    def _piece(self, data: bytes) -> Iterator[Piece]:
        if not data:
            return
        pid = (data[1] & 0x1F) << 8 | data[2]
        if pid == _PAT:
            self._pat = _counted_from_zero(data[:PACKET])
            self._pmt_pid = _first_program(data)
        elif pid == self._pmt_pid:
            self._pmt = _counted_from_zero(data[:PACKET])
            self._video = _video_pid(data)
        time = self._time(data)
        if time is not None:
            self.last = max(self.last, time)
        picture = pid == self._video and time is not None
        key = picture and bool(data[3] & 0x20 and data[4] and data[5] & 0x40)
        self._begun = self._begun or key
        if self._begun:
            joint, self._joint = self._joint, False
            yield Piece(data, self._pat + self._pmt, time, picture, key, joint, _sequence(data) if key else b"")

    def _time(self, data: bytes) -> int | None:
        payload = _payload(data)
        if len(payload) < 14 or payload[:3] != b"\0\0\1" or not payload[7] & 0x80:
            return None
        high, middle, low = (
            payload[9] >> 1 & 7,
            int.from_bytes(payload[10:12], "big") >> 1,
            int.from_bytes(payload[12:14], "big") >> 1,
        )
        time = high << 30 | middle << 15 | low
        # Nearest to what came before: half a wrap is 13 hours.
        return time + round((self.last - time) / _WRAP) * _WRAP


def _payload(data: bytes) -> bytes:
    # One packet: what a header holds is in the first.
    return data[5 + data[4] if data[3] & 0x20 else 4 : PACKET] if data[3] & 0x10 else b""


def _sequence(data: bytes) -> bytes:
    # Parameters stand before the picture, but messages to decoders may stand before them.
    packets = range(0, min(len(data), _HEAD_PACKETS * PACKET), PACKET)
    found = _SEQUENCE.search(b"".join(_payload(data[position : position + PACKET]) for position in packets))
    return found[0] if found else b""


def _counted_from_zero(packet: bytes) -> bytes:
    return packet[:3] + bytes((packet[3] & 0xF0,)) + packet[4:]


def _section(data: bytes) -> bytes:
    payload = _payload(data)
    section = payload[1 + payload[0] :]
    return section[: 3 + ((section[1] & 0x0F) << 8 | section[2]) - 4]


def _first_program(data: bytes) -> int | None:
    section = _section(data)
    for position in range(8, len(section), 4):
        if section[position : position + 2] != b"\0\0":
            return (section[position + 2] & 0x1F) << 8 | section[position + 3]
    return None


def _video_pid(data: bytes) -> int:
    section = _section(data)
    position = 12 + ((section[10] & 0x0F) << 8 | section[11])
    while position + 5 <= len(section):
        if section[position] in _VIDEO_TYPES:
            return (section[position + 1] & 0x1F) << 8 | section[position + 2]
        position += 5 + ((section[position + 3] & 0x0F) << 8 | section[position + 4])
    raise OutputNotSupported(
        "The source's video has a codec that live targets do not take; a profile that encodes it again helps."
    )
