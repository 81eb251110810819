"""OpenVINO, for processors: luma through the network and chroma through its interpolation, in one compiled graph.

Code values go in and code values come out: scaling, clamping and rounding (half to even) are part of the graph, and its inputs
and outputs are the picture's own planes, so that Python touches no sample.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from include.errors import InternalError
from include.sr_model import chroma
from include.sr_model.backends.base import Slot, Work
from include.sr_model.picture import Geometry, Picture

__all__ = ["PRECISIONS", "OpenVinoSession", "fastest_precision"]

PRECISIONS = ("int8", "bf16", "fp32")

# Instructions that multiply bytes and add up in 32 bits: without them int8 is slower than float.
_BYTE_DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}


@lru_cache(maxsize=1)
def fastest_precision() -> str:
    """Return ``int8`` where the processor has instructions for it, else ``fp32``."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        flags = set()
    return "int8" if flags & _BYTE_DOT_PRODUCTS else "fp32"


class OpenVinoSession:
    """See :class:`include.sr_model.backends.base.Session`."""

    name = "openvino"

    def __init__(self, work: Work) -> None:
        self.precision = work.precision or fastest_precision()
        self._work = work
        core = ov.Core()
        luma, chroma_ = _luma(core, work, self.precision), _chroma(work)
        graph = ov.Model([luma[1], chroma_[1]], [luma[0], chroma_[0]], f"x{work.network.scale}")
        config = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": os.cpu_count() or 1,
            "NUM_STREAMS": work.concurrent,
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled = core.compile_model(graph, "CPU", config)

    def slots(self, count: int) -> Sequence[Slot]:
        """Return slots whose requests read and write the planes in place."""
        return [_Slot(self._compiled.create_infer_request(), self._work) for _ in range(count)]

    def close(self) -> None:
        """Release the compiled network."""
        del self._compiled


class _Slot:
    def __init__(self, request: Any, work: Work) -> None:
        self.source = Picture(work.geometry)
        self.result = Picture(work.output)
        self._request = request
        for name, plane in (("luma", self.source.luma[None, None]), ("chroma", self.source.chroma[:, None])):
            request.set_tensor(name, ov.Tensor(plane, shared_memory=True))
        for name, plane in (("luma_out", self.result.luma[None, None]), ("chroma_out", self.result.chroma[:, None])):
            request.set_tensor(name, ov.Tensor(plane, shared_memory=True))

    def start(self) -> None:
        self._request.start_async()

    def wait(self) -> None:
        try:
            self._request.wait()
        except RuntimeError as error:
            raise InternalError("The network could not be run.") from error


def _luma(core: Any, work: Work, precision: str) -> tuple[Any, Any]:
    """Return the graph's parameter and result of luma, both code values."""
    geometry = work.geometry
    model = core.read_model(work.network.int8 if precision == "int8" else work.network.onnx)
    model.reshape([1, 1, geometry.height, geometry.width])
    plane = ops.parameter([1, 1, geometry.height, geometry.width], ov.Type(geometry.dtype), name="luma")
    unit = ops.divide(ops.convert(plane, "f32"), np.float32(geometry.peak))
    model.get_parameters()[0].output(0).replace(unit.output(0))
    upscaled = model.get_results()[0].input_value(0)
    return plane, _result(ops.multiply(upscaled, np.float32(geometry.peak)), geometry, "luma_out")


def _chroma(work: Work) -> tuple[Any, Any]:
    """Return the graph's parameter and result of both chroma planes, as a batch of two."""
    width, height = work.geometry.chroma
    scale = work.network.scale
    planes = ops.parameter([2, 1, height, width], ov.Type(work.geometry.dtype), name="chroma")
    border = [0, 0, chroma.RADIUS, chroma.RADIUS]
    padded = ops.pad(ops.convert(planes, "f32"), border, border, "edge")
    cells = ops.convolution(padded, chroma.kernel(work.siting, scale), [1, 1], [0, 0], [0, 0], [1, 1])
    enlarged = ops.depth_to_space(cells, "blocks_first", scale)
    # Of an odd size the last half cell was whole in the source, and is less than that enlarged.
    width, height = work.output.chroma
    cut = ops.slice(enlarged, [0, 0], [height, width], [1, 1], [2, 3])
    return planes, _result(cut, work.geometry, "chroma_out")


def _result(values: Any, geometry: Geometry, name: str) -> Any:
    code = ops.round(ops.clamp(values, 0.0, float(geometry.peak)), "half_to_even")
    result = ops.result(ops.convert(code, ov.Type(geometry.dtype)))
    result.output(0).get_tensor().set_names({name})
    return result
