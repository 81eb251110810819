"""Ranges of the values inside a network, for static 8-bit quantisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from include.sr_model.network import Network
from include.sr_model.training.export import Range
from include.sr_model.training.resize import resize

__all__ = ["ranges"]

TAIL = 1e-4
"""Share of the values at each end of a batch that may be clipped: a finer step is worth more than they are."""
AT_ONCE = 64


def _graphics(side: int, count: int = 32, seed: int = 0) -> Any:
    # Black and white cells. Photos hold nothing as hard; without them, titles and screens were clipped by up to 40 code values.
    rng = np.random.default_rng(seed)
    patches = []
    for _ in range(count):
        cell = int(rng.integers(2, 9))
        cells = rng.choice([16.0, 235.0], (2 * side // cell + 1, 2 * side // cell + 1))
        large = np.kron(cells, np.ones((cell, cell)))[: 2 * side, : 2 * side]
        patches.append(np.clip(np.rint(resize(large, side, side)), 16, 235).astype(np.uint8))
    return torch.from_numpy(np.stack(patches)[:, None])


def ranges(network: Network, patches: Any) -> list[Range | None]:
    """Return the range of every convolution's input over 8-bit luma ``patches [N, 1, P, P]`` and over hard-edged graphics.

    The first is 0 to 1 in steps of 1/255: 8-bit luma goes in as it is, without loss.
    """
    lows, highs = np.zeros(network.spec.layers), np.zeros(network.spec.layers)
    with torch.no_grad():
        for part in (*patches.split(AT_ONCE), _graphics(patches.shape[-1])):
            planes = part.float() / 255
            for index, (weight, bias) in enumerate(network.weights[:-1], start=1):
                sums = functional.conv2d(planes, torch.from_numpy(weight), torch.from_numpy(bias), padding=1)
                planes = functional.leaky_relu(sums, network.spec.slope)
                values = np.sort(planes.flatten().numpy())
                tail = int(len(values) * TAIL)
                lows[index] = min(lows[index], values[tail])
                highs[index] = max(highs[index], values[-1 - tail])
    inner: list[Range | None] = [Range.over(low, high) for low, high in zip(lows[1:], highs[1:], strict=True)]
    return [Range(1 / 255, 0), *inner]
