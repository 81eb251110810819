"""Ranges of the values inside a network, for static 8-bit quantisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from include.sr_model.network import Network
from include.sr_model.training.export import Range

__all__ = ["ranges"]

TAIL = 1e-5
"""Share of the values at each end that may be clipped; a finer step is worth more than they are."""


def ranges(network: Network, patches: Any, at_once: int = 64) -> list[Range | None]:
    """Return the range of every convolution's input over ``patches [N, 1, P, P]`` (8-bit luma, of what users have).

    The first is 0 to 1 in steps of 1/255: 8-bit luma goes in as it is, without loss.
    """
    lows, highs = np.zeros(network.spec.layers), np.zeros(network.spec.layers)
    with torch.no_grad():
        for part in patches.split(at_once):
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
