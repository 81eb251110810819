"""Whole pictures through a network of one small fixed size: what Neuron needs, and pictures too large for memory on a processor.

Luma goes tile by tile, in batches of a fixed size; chroma, whose interpolation is cheap, is enlarged whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.sr_model.backends.base import Slot, Work
from include.sr_model.picture import Picture
from include.sr_model.tiles import Tile, grid

__all__ = ["Forward", "TiledSession", "upscale_plane"]

Forward = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""``[batch, 1, h, w]`` of 0..1 → ``[batch, 1, s·h, s·w]``, not clamped."""
Enlarge = Callable[[NDArray[Any], NDArray[Any]], None]
"""Fills the second array, chroma ``[2, h', w']`` of the result, from the first one, chroma of the source."""


def upscale_plane(
    source: NDArray[Any], result: NDArray[Any], tiles: Sequence[Tile], forward: Forward, *, peak: int, shape: tuple[int, int, int]
) -> None:
    """Fill ``result`` with ``source`` upscaled tile by tile; ``shape`` is (batch, height, width) of what ``forward`` takes."""
    count, height, width = shape
    scale = result.shape[0] // source.shape[0]
    batch = np.zeros((count, 1, height, width), np.float32)
    todo = iter(tiles)
    while group := list(islice(todo, count)):
        for number, tile in enumerate(group):
            np.divide(source[tile.source(height, width)], np.float32(peak), out=batch[number, 0])
        made = forward(batch)
        for number, tile in enumerate(group):
            rows, columns = tile.inside(scale)
            inside = made[number, 0, rows, columns] * np.float32(peak)
            result[tile.place(scale)] = np.rint(np.clip(inside, 0, peak))


class TiledSession:
    """See :class:`include.sr_model.backends.base.Session`; ``shape`` is (batch, height, width) of the network's input.

    ``forward`` is called from as many threads as pictures are on their way.
    """

    def __init__(
        self,
        name: str,
        precision: str,
        work: Work,
        *,
        shape: tuple[int, int, int],
        forward: Forward,
        chroma: Enlarge,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.precision = precision
        self._work = work
        self._shape = shape
        self._forward = forward
        self._chroma = chroma
        self._close = close
        self._tiles = grid(work.geometry.height, work.geometry.width, *shape[1:], work.network.radius)
        self._workers = ThreadPoolExecutor(work.concurrent, thread_name_prefix="sr-tiles")

    def slots(self, count: int) -> Sequence[Slot]:
        """Return slots in ordinary memory."""
        return [_Slot(self._work, self._workers, self._upscale) for _ in range(count)]

    def close(self) -> None:
        """End the threads, and what computes for them."""
        self._workers.shutdown(cancel_futures=True)
        self._close()

    def _upscale(self, source: Picture, result: Picture) -> None:
        peak = source.geometry.peak
        upscale_plane(source.luma, result.luma, self._tiles, self._forward, peak=peak, shape=self._shape)
        self._chroma(source.chroma, result.chroma)


class _Slot:
    def __init__(self, work: Work, workers: ThreadPoolExecutor, upscale: Callable[[Picture, Picture], None]) -> None:
        self.source = Picture(work.geometry)
        self.result = Picture(work.output)
        self._workers = workers
        self._upscale = upscale
        self._running: Future[None] | None = None

    def start(self) -> None:
        self._running = self._workers.submit(self._upscale, self.source, self.result)

    def wait(self) -> None:
        if self._running is not None:
            self._running.result()
