"""Over-parameterised convolutions that collapse exactly into one 3x3 convolution.

A block is linear: 1x1 to ``width`` channels, 3x3, 1x1 back, plus a plain 3x3, plus the input itself where channels match, plus
one bias. The inner convolutions have no bias, so zero padding means the same before and after collapsing (SESR, Bhardwaj et
al. 2022; the branches are ECBSR's, Zhang et al. 2021). Training runs the collapsed kernel, which is made anew in every step: it
costs as much as the small network, and gradients flow through the large one.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from include.sr_model.network import SKIP_RADIUS, Network, Spec, skip_kernel

__all__ = ["Block", "Trainee"]


class Block(nn.Module):  # type: ignore[misc]
    """One collapsible 3x3 convolution from ``into`` to ``out`` channels.

    Its kernels are matrices ``[out, in * samples]``: that is what the optimiser makes orthogonal steps for.
    """

    def __init__(self, into: int, out: int, width: int) -> None:
        super().__init__()
        self.into, self.out, self.width = into, out, width
        self.widen = nn.Parameter(torch.empty(width, into))
        self.middle = nn.Parameter(torch.empty(width, width * 9))
        self.narrow = nn.Parameter(torch.empty(out, width))
        self.plain = nn.Parameter(torch.empty(out, into * 9))
        self.bias = nn.Parameter(torch.zeros(out))
        for matrix, samples in ((self.widen, 1), (self.middle, 9), (self.narrow, 1)):
            rows, columns = matrix.shape
            nn.init.normal_(matrix, std=0.7 * math.sqrt(2 / (columns + rows * samples)))
        nn.init.uniform_(self.plain, -1 / math.sqrt(into * 9), 1 / math.sqrt(into * 9))

    @property
    def identity(self) -> bool:
        """Tell whether the input itself is added."""
        return self.into == self.out

    def collapsed(self) -> Any:
        """Return the weight ``[out, in, 3, 3]`` that the whole block amounts to; its bias is ``bias``."""
        inner = torch.matmul(self.narrow, self.middle).reshape(self.out, self.width, 9)
        weight = torch.einsum("owk,wi->oik", inner, self.widen) + self.plain.reshape(self.out, self.into, 9)
        weight = weight.reshape(self.out, self.into, 3, 3)
        if self.identity:
            weight = weight + functional.pad(torch.eye(self.out, device=weight.device)[:, :, None, None], (1, 1, 1, 1))
        return weight

    def expanded(self, planes: Any) -> Any:
        """Return what the branches give when each is computed for itself: the same as the collapsed convolution."""
        wide = functional.conv2d(planes, self.widen[:, :, None, None])
        wide = functional.conv2d(wide, self.middle.reshape(self.width, self.width, 3, 3), padding=1)
        total = functional.conv2d(wide, self.narrow[:, :, None, None])
        total = total + functional.conv2d(planes, self.plain.reshape(self.out, self.into, 3, 3), self.bias, padding=1)
        return total + planes if self.identity else total

    def forward(self, planes: Any) -> Any:
        """Convolve ``planes [N, in, H, W]`` with the collapsed weight."""
        with torch.autocast(planes.device.type, enabled=False):
            weight = self.collapsed()
        return functional.conv2d(planes, weight, self.bias, padding=1)


class Trainee(nn.Module):  # type: ignore[misc]
    """The network of :mod:`include.sr_model.network` with collapsible blocks in place of its convolutions."""

    def __init__(self, spec: Spec, expansion: int = 4) -> None:
        super().__init__()
        self.spec = spec
        self.blocks = nn.ModuleList(Block(into, out, min(128, expansion * max(into, out))) for into, out in spec.channels)
        self.register_buffer("skip", torch.from_numpy(skip_kernel(spec.scale)), persistent=False)
        with torch.no_grad():
            # The untrained network is its skip: training starts from plain bicubic interpolation.
            self.blocks[-1].narrow.mul_(0.1)
            self.blocks[-1].plain.mul_(0.1)

    def forward(self, luma: Any) -> Any:
        """Return ``[N, 1, s*H, s*W]`` for ``luma [N, 1, H, W]``, both code value / 255, not clamped."""
        planes = luma
        for block in self.blocks[:-1]:
            planes = functional.leaky_relu(block(planes), self.spec.slope, inplace=True)
        cells = self.blocks[-1](planes).float() + self._skip(luma)
        return functional.pixel_shuffle(cells, self.spec.scale)

    def _skip(self, luma: Any) -> Any:
        # In bfloat16 the skip alone would be half a code value off, which is what a trained network is judged by.
        with torch.autocast(luma.device.type, enabled=False):
            return functional.conv2d(functional.pad(luma, (SKIP_RADIUS,) * 4, mode="replicate"), self.skip)

    def interpolated(self, luma: Any) -> Any:
        """Return ``luma`` enlarged by the skip alone."""
        return functional.pixel_shuffle(self._skip(luma), self.spec.scale)

    def expanded(self, luma: Any) -> Any:
        """As :meth:`forward`, each branch computed for itself; only to prove that collapsing changes nothing."""
        planes = luma
        for block in self.blocks[:-1]:
            planes = functional.leaky_relu(block.expanded(planes), self.spec.slope)
        cells = self.blocks[-1].expanded(planes) + self._skip(luma)
        return functional.pixel_shuffle(cells, self.spec.scale)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def network(self) -> Network:
        """Return the collapsed network, weights made in double precision."""
        weights = []
        for block in self.blocks:
            exact = copy.deepcopy(block).cpu().double()
            weights.append((exact.collapsed().numpy().astype(np.float32), exact.bias.numpy().astype(np.float32)))
        return Network(self.spec, tuple(weights))
