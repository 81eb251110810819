"""Boxes of MP4 files (ISO/IEC 14496-12): just enough to look at our own, and to say how they are turned."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from include.errors import VerificationFailed

__all__ = ["avc_configuration", "hevc_configuration", "set_orientation", "walk"]


def avc_configuration(path: Path) -> bytes:
    """Return the AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1): profile, level, parameter sets of the H.264 track."""
    return _configuration(path, b"avcC", "H.264")


def hevc_configuration(path: Path) -> bytes:
    """Return the HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1) of the H.265 track."""
    return _configuration(path, b"hvcC", "H.265")


def _configuration(path: Path, box: bytes, codec: str) -> bytes:
    for kind, start, size in walk(path):
        if kind == "moov":
            with path.open("rb") as file:
                file.seek(start)
                moov = file.read(size)
            at = moov.find(box)
            if at >= 4:
                (length,) = struct.unpack_from(">I", moov, at - 4)
                return moov[at + 4 : at - 4 + length]
    raise VerificationFailed(f"{path.name} has no {codec} track.")


def walk(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield type, start and size of every top-level box; raises :class:`VerificationFailed` where one is cut off."""
    end = path.stat().st_size
    position = 0
    with path.open("rb") as file:
        while position < end:
            file.seek(position)
            header = file.read(16)
            if len(header) < 8:
                raise VerificationFailed(f"{path.name} is cut off in a box header.")
            size, kind = struct.unpack_from(">I4s", header)
            if size == 1 and len(header) == 16:
                (size,) = struct.unpack_from(">Q", header, 8)
            elif size == 0:
                size = end - position
            if size < 8 or position + size > end:
                raise VerificationFailed(f"{path.name} is cut off in its box {kind.decode('latin-1')}.")
            yield kind.decode("latin-1"), position, size
            position += size


def set_orientation(path: Path, number: int, rotation: int, *, flipped: bool) -> None:
    """Write the transformation matrix of the video track ``number`` (from 0): mirrored left to right, then turned clockwise.

    The last row moves the picture back to where its upper left corner is at zero (14496-12, 8.3.2 and 6.2.2).
    """
    turn = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[rotation]
    a, b, c, d = (-turn[0], -turn[1], *turn[2:]) if flipped else turn
    moov_start, moov_size = next((start, size) for kind, start, size in walk(path) if kind == "moov")
    with path.open("r+b") as file:
        file.seek(moov_start)
        moov = file.read(moov_size)
        tracks = [trak for kind, trak in _inside(moov, 8, len(moov)) if kind == b"trak"]
        videos = [trak for trak in tracks if _handler(moov, *trak) == b"vide"]
        if number >= len(videos):
            raise VerificationFailed(f"{path.name} has {len(videos)} video tracks, expected more than {number}.")
        start, _ = next(place for kind, place in _inside(moov, *videos[number]) if kind == b"tkhd")
        # After version, flags, times, id, layer and volume; matrix, then width and height in 16.16.
        at = start + (52 if moov[start] else 40)
        width, height = (value >> 16 for value in struct.unpack_from(">II", moov, at + 36))
        x = -min(0, a * width, c * height, a * width + c * height)
        y = -min(0, b * width, d * height, b * width + d * height)
        matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, x << 16, y << 16, 1 << 30)
        file.seek(moov_start + at)
        file.write(matrix)


def _inside(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield type, and start and end of the content, of the boxes in ``data[start:end]``."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if size < 8:
            return
        yield kind, (start + 8, start + size)
        start += size


def _handler(data: bytes, start: int, end: int) -> bytes:
    for kind, place in _inside(data, start, end):
        if kind == b"mdia":
            for inner, (at, _) in _inside(data, *place):
                if inner == b"hdlr":
                    return data[at + 8 : at + 12]
    return b""
