"""Hands one stream to all of its targets, none of which can hold up another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from include.ffmpeg_ops.live.meter import Meter
from include.ffmpeg_ops.live.outlet import Outlet
from include.ffmpeg_ops.live.transport import CLOCK, Piece, Slicer

__all__ = ["Hub"]


class Hub:
    """Takes the output of one run of the encoder after the other; ``start`` is where the stream's time begins, in seconds.

    It outlives source and targets. ``pictures`` and ``bytes`` measure what passes.
    """

    def __init__(self, outlets: Sequence[Outlet], start: float = 0.0) -> None:
        self.pictures, self.bytes = Meter(), Meter()
        self._outlets = outlets
        self._slicer = Slicer(round(start * CLOCK))

    @property
    def end(self) -> float:
        """Where the stream's time has come to, in seconds."""
        return self._slicer.last / CLOCK

    def restart(self) -> None:
        """Expect another run of the encoder; its time begins after :attr:`end`."""
        self._slicer.restart()

    def push(self, data: bytes) -> None:
        """Hand on what was read."""
        self.bytes.add(len(data))
        self._hand_on(self._slicer.push(data))

    def flush(self) -> None:
        """Hand on the end of a run."""
        self._hand_on(self._slicer.flush())

    def close(self) -> None:
        """Tell the targets that the stream has ended."""
        for outlet in self._outlets:
            outlet.close()

    def _hand_on(self, pieces: Iterable[Piece]) -> None:
        pictures = 0
        for piece in pieces:
            pictures += piece.picture
            for outlet in self._outlets:
                outlet.put(piece)
        self.pictures.add(pictures)
