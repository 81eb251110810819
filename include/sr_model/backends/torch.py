"""PyTorch: on CUDA whole pictures in half precision, copies and kernels queued ahead; on a processor for comparison.

The graph is built from the collapsed weights; the skip is computed in single precision, so that half precision touches only the
network's correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from include.errors import InternalError
from include.sr_model import chroma
from include.sr_model.backends.base import Slot, Work
from include.sr_model.models import Siting
from include.sr_model.network import SKIP_RADIUS, Network, skip_kernel
from include.sr_model.picture import Geometry, Picture

__all__ = ["Chroma", "Luma", "TorchSession"]


class Luma(nn.Module):  # type: ignore[misc]
    """The network: ``[n, 1, H, W]`` of 0..1 → ``[n, 1, sH, sW]``, not clamped. ``dtype`` is that of the convolutions."""

    def __init__(self, network: Network, dtype: Any = torch.float32) -> None:
        super().__init__()
        self.scale, self.slope, self.dtype = network.spec.scale, network.spec.slope, dtype
        self.convolutions = nn.ModuleList()
        for weight, bias in network.weights:
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            layer.weight.data, layer.bias.data = torch.from_numpy(weight.copy()), torch.from_numpy(bias.copy())
            self.convolutions.append(layer.to(dtype))
        self.register_buffer("skip", torch.from_numpy(skip_kernel(self.scale)))

    def forward(self, luma: Any) -> Any:
        """Compute it."""
        planes = luma.to(self.dtype)
        for layer in self.convolutions[:-1]:
            planes = functional.leaky_relu(layer(planes), self.slope)
        padded = _repeat_edges(luma)
        planes = self.convolutions[-1](planes).float() + functional.conv2d(padded, self.skip)
        return functional.pixel_shuffle(planes, self.scale)


def _repeat_edges(planes: Any) -> Any:
    """Return ``planes`` with their edge samples repeated: replication padding, for which Neuron has no operator."""
    rows = torch.cat([planes[:, :, :1]] * SKIP_RADIUS + [planes] + [planes[:, :, -1:]] * SKIP_RADIUS, 2)
    return torch.cat([rows[..., :1]] * SKIP_RADIUS + [rows] + [rows[..., -1:]] * SKIP_RADIUS, 3)


class Chroma(nn.Module):  # type: ignore[misc]
    """The interpolation of chroma: code values ``[2, 1, h, w]`` → ``[2, 1, h', w']`` of the upscaled picture."""

    def __init__(self, siting: Siting, scale: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.scale, self.width, self.height = scale, *size
        self.register_buffer("kernel", torch.from_numpy(chroma.kernel(siting, scale)))

    def forward(self, planes: Any) -> Any:
        """Compute it."""
        padded = functional.pad(planes, [chroma.RADIUS] * 4, mode="replicate")
        return functional.pixel_shuffle(functional.conv2d(padded, self.kernel), self.scale)[..., : self.height, : self.width]


class TorchSession:
    """See :class:`include.sr_model.backends.base.Session`; ``device`` is ``cuda`` or ``cpu``."""

    def __init__(self, work: Work, device: str) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise InternalError("The backend cuda finds no device that PyTorch can use.")
        self.name = "cuda" if device == "cuda" else "torch"
        self.precision = work.precision or ("fp16" if device == "cuda" else "fp32")
        dtypes = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
        if self.precision not in dtypes:
            raise InternalError(f"The backend {self.name} has no precision {self.precision}, only {', '.join(dtypes)}.")
        # Pictures of one size all the time: the library may look for its fastest kernels once.
        torch.backends.cudnn.benchmark = True
        # By default these devices shorten single precision to ten bits of mantissa, which moves samples by one code value.
        torch.backends.cudnn.allow_tf32 = False
        luma = Luma(work.network.network, dtypes[self.precision])
        self.luma = luma.to(device=device, memory_format=torch.channels_last).eval()
        self.chroma = Chroma(work.siting, work.network.scale, work.output.chroma).to(device).eval()
        self.device = device
        self._work = work

    def slots(self, count: int) -> Sequence[Slot]:
        """Return slots, in memory that the device reads itself where it is CUDA."""
        return [_Slot(self, self._work) for _ in range(count)]

    def close(self) -> None:
        """Give the device's memory back."""
        del self.luma, self.chroma
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def run(self, source: Any, geometry: Geometry, output: Geometry) -> Any:
        """Return the upscaled picture's samples, flat, of the flat ``source`` on the device."""
        luma, planes = source.split([geometry.width * geometry.height, 2 * geometry.chroma[0] * geometry.chroma[1]])
        unit = luma.view(1, 1, geometry.height, geometry.width).float() / geometry.peak
        codes = planes.view(2, 1, geometry.chroma[1], geometry.chroma[0]).float()
        made = torch.cat([(self.luma(unit) * geometry.peak).flatten(), self.chroma(codes).flatten()])
        # Tensors round half to even, too.
        return made.round().clamp(0, output.peak).to(source.dtype)


class _Slot:
    def __init__(self, session: TorchSession, work: Work) -> None:
        self._session = session
        self._work = work
        pinned = session.device == "cuda"
        # Ten bits fit into signed words, which every version computes with.
        dtype = torch.uint8 if work.geometry.depth == 8 else torch.int16
        self._in = torch.zeros(work.geometry.samples, dtype=dtype, pin_memory=pinned)
        self._out = torch.zeros(work.output.samples, dtype=dtype, pin_memory=pinned)
        self.source = Picture(work.geometry, self._in.numpy().view(work.geometry.dtype))
        self.result = Picture(work.output, self._out.numpy().view(work.output.dtype))
        self._stream = torch.cuda.Stream() if pinned else None
        self._done = torch.cuda.Event() if pinned else None

    def start(self) -> None:
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            source = self._in.to(self._session.device, non_blocking=True)
            made = self._session.run(source, self._work.geometry, self._work.output)
            self._out.copy_(made, non_blocking=True)
            if self._done is not None:
                self._done.record(self._stream)

    def wait(self) -> None:
        if self._done is not None:
            self._done.synchronize()
