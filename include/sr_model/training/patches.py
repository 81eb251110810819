"""Pairs of small and large patches in memory, ready for the training loop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Pairs", "batch", "cut"]

Plane = NDArray[np.uint8]

NEGATIVE = (16 + 235) / 255


@dataclass(frozen=True)
class Pairs:
    """Patches: ``small [N, 1, P, P]`` and ``large [N, 1, s*P, s*P]``, 8-bit luma, tensors on one device."""

    small: Any
    large: Any

    @property
    def scale(self) -> int:
        """How much larger ``large`` is."""
        return int(self.large.shape[-1] // self.small.shape[-1])

    def to(self, device: str) -> Pairs:
        """Return the same pairs on ``device``."""
        return Pairs(self.small.to(device), self.large.to(device))


def _detail(plane: NDArray[np.float32]) -> float:
    return float(np.abs(np.diff(plane, axis=0)).mean() + np.abs(np.diff(plane, axis=1)).mean())


def cut(pictures: Iterable[tuple[Plane, Plane]], side: int, share: float, rng: np.random.Generator) -> Pairs:
    """Return patches with ``side`` small samples a side from ``(small, large)`` pictures at random places.

    ``share`` is how many times each picture is covered. Of each two places the one with more detail is taken: large smooth
    areas teach nothing after the first hundred steps.
    """
    small_patches, large_patches = [], []
    for small, large in pictures:
        scale = large.shape[0] // small.shape[0]
        rows, columns = small.shape[0] - side, small.shape[1] - side
        if rows < 0 or columns < 0:
            continue
        for _ in range(max(1, round(share * small.size / side**2))):
            places = [(int(rng.integers(rows + 1)), int(rng.integers(columns + 1))) for _ in range(2)]
            details = [_detail(small[y : y + side, x : x + side].astype(np.float32)) for y, x in places]
            y, x = places[int(np.argmax(details))]
            small_patches.append(small[y : y + side, x : x + side])
            large_patches.append(large[y * scale : (y + side) * scale, x * scale : (x + side) * scale])
    return Pairs(torch.from_numpy(np.stack(small_patches)[:, None]), torch.from_numpy(np.stack(large_patches)[:, None]))


def batch(pairs: Pairs, count: int, side: int, generator: torch.Generator) -> tuple[Any, Any]:
    """Return ``count`` random pairs as float32 / 255, cropped to ``side`` small samples, turned and mirrored at random.

    Every second batch is a negative, black (16) for white (235). One place and one turn for the whole batch: the patches differ,
    and it is one copy.
    """
    draw = torch.randint(0, 1 << 30, (count + 4,), generator=generator)
    chosen = (draw[4:] % len(pairs.small)).to(pairs.small.device)
    room = pairs.small.shape[-1] - side + 1
    y, x, turn, scale = int(draw[0]) % room, int(draw[1]) % room, int(draw[2]) % 8, pairs.scale
    small = pairs.small[:, :, y : y + side, x : x + side][chosen]
    large = pairs.large[:, :, y * scale : (y + side) * scale, x * scale : (x + side) * scale][chosen]
    if turn & 4:
        small, large = small.flip(-1), large.flip(-1)
    small, large = (torch.rot90(part, turn & 3, (-2, -1)).contiguous().float() / 255 for part in (small, large))
    return (NEGATIVE - small, NEGATIVE - large) if int(draw[3]) & 1 else (small, large)
