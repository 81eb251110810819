"""Writes a PNG (ISO/IEC 15948) row by row: encoders that want the whole picture at once need it several times in memory."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PngWriter"]

_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_PAETH = 4
LEVEL = 6
# What is computed with at once; of the differences a dozen times as much is in memory.
SLICE_BYTES = 1 << 20


class PngWriter:
    """Writes ``path``: pictures of ``channels`` 1 (grey), 3 (RGB) or 4 (RGBA), of type uint8 or uint16.

    ``profile`` is an ICC profile that says what colours these are.
    """

    def __init__(
        self, path: Path, width: int, height: int, channels: int, dtype: np.dtype[Any], *, profile: bytes | None = None
    ) -> None:
        self._left = height
        self._depth = dtype.itemsize
        self._above: NDArray[np.uint8] = np.zeros((1, width, channels * self._depth), np.uint8)
        self._compressor = zlib.compressobj(LEVEL)
        self._file = path.open("wb")
        self._file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * self._depth, _COLOR_TYPES[channels], 0, 0, 0))
        if profile:
            self._chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile, LEVEL))

    def write(self, rows: NDArray[Any]) -> None:
        """Append ``rows [n, width, channels]``."""
        at_once = max(1, SLICE_BYTES // self._above.size)
        for first in range(0, len(rows), at_once):
            self._slice(rows[first : first + at_once])

    def _slice(self, rows: NDArray[Any]) -> None:
        samples = np.ascontiguousarray(rows, ">u2" if self._depth == 2 else np.uint8)
        data = samples.view(np.uint8).reshape(len(rows), *self._above.shape[1:])
        filtered = np.empty((len(rows), 1 + data[0].size), np.uint8)
        filtered[:, 0] = _PAETH
        filtered[:, 1:] = _differences(data, self._above).reshape(len(rows), -1)
        self._above = data[-1:].copy()
        self._left -= len(rows)
        self._chunk(b"IDAT", self._compressor.compress(filtered.tobytes()))

    def close(self) -> None:
        """Write what is left; ``ValueError`` where that are not all of the picture's rows."""
        if self._left:
            raise ValueError(f"{self._left} rows of the picture are missing")
        self._chunk(b"IDAT", self._compressor.flush())
        self._chunk(b"IEND", b"")
        self._file.close()

    def __enter__(self) -> PngWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.close()
        self._file.close()

    def _chunk(self, kind: bytes, data: bytes) -> None:
        if data or kind == b"IEND":
            self._file.write(struct.pack(">I", len(data)) + kind)
            self._file.write(data)
            self._file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def _differences(data: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return each byte's difference from what Paeth predicts of the ones to the left, above, and above to the left."""
    up = np.concatenate([above, data[:-1]]).astype(np.int16)
    left = np.zeros(data.shape, np.int16)
    left[:, 1:] = data[:, :-1]
    corner = np.zeros(data.shape, np.int16)
    corner[:, 1:] = up[:, :-1]
    # How far left + up - corner is from each of the three; of equals the first is taken.
    from_left, from_up = np.abs(up - corner), np.abs(left - corner)
    from_corner = np.abs(left + up - 2 * corner)
    other = np.where(from_up <= from_corner, up, corner)
    predicted = np.where((from_left <= from_up) & (from_left <= from_corner), left, other)
    return (data - predicted).astype(np.uint8)
