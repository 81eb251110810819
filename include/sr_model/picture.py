"""A picture in memory: planar 4:2:0, 8 bit or 10 bit in 16, all planes in one buffer without padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Geometry", "Picture"]


@dataclass(frozen=True)
class Geometry:
    """Size of a picture in luma samples and bits per sample (8 or 10)."""

    width: int
    height: int
    depth: int = 8

    @property
    def chroma(self) -> tuple[int, int]:
        """Width and height of each chroma plane; half a luma cell at an odd edge counts whole."""
        return (self.width + 1) // 2, (self.height + 1) // 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a sample."""
        return np.dtype("u1") if self.depth == 8 else np.dtype("<u2")

    @property
    def peak(self) -> int:
        """The largest code value."""
        return (1 << self.depth) - 1

    @property
    def samples(self) -> int:
        """Samples of all planes together."""
        return self.width * self.height + 2 * self.chroma[0] * self.chroma[1]

    @property
    def bytes(self) -> int:
        """Size of the buffer."""
        return self.samples * self.dtype.itemsize

    @property
    def pix_fmt(self) -> str:
        """The name of this layout in ffmpeg."""
        return "yuv420p" if self.depth == 8 else "yuv420p10le"

    def scaled(self, scale: int) -> Geometry:
        """Return the geometry ``scale`` times as wide and high."""
        return Geometry(self.width * scale, self.height * scale, self.depth)


class Picture:
    """Planes as views of one buffer: ``luma [H, W]``, ``chroma [2, h, w]`` (U, then V)."""

    def __init__(self, geometry: Geometry, buffer: NDArray[Any] | None = None) -> None:
        self.geometry = geometry
        self.buffer = np.zeros(geometry.samples, geometry.dtype) if buffer is None else buffer
        luma = geometry.width * geometry.height
        self.luma = self.buffer[:luma].reshape(geometry.height, geometry.width)
        width, height = geometry.chroma
        self.chroma = self.buffer[luma:].reshape(2, height, width)
        self.bytes = self.buffer.view(np.uint8).data

    def same_as(self, other: Picture) -> bool:
        """Tell whether every sample is the same."""
        return bool(np.array_equal(self.buffer, other.buffer))
