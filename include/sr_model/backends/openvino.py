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
from numpy.typing import NDArray
from openvino import opset13 as ops

from include.errors import InternalError, ParameterError
from include.sr_model import chroma, lanes
from include.sr_model.backends.base import Session, Slot, Work
from include.sr_model.backends.tiled import TiledSession
from include.sr_model.network import skip_kernel
from include.sr_model.picture import Geometry, Picture
from include.sr_model.shuffle import shuffle
from include.sr_model.zoo import Entry

__all__ = ["PRECISIONS", "OpenVinoSession", "PlaneUpscaler", "fastest_precision", "openvino_session"]

PRECISIONS = ("int8", "bf16", "fp32")

MEMORY_BYTES = 4 * 2**30
TILE = (1080, 1920)

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


def openvino_session(work: Work) -> Session:
    """Return a session on the processor: of whole pictures, or tile by tile where those would need too much memory."""
    spec, geometry = work.network.spec, work.geometry
    # Single precision; a layer's input and output, and what the library keeps beside them.
    needed = 4 * spec.features * geometry.width * geometry.height * 3 * work.concurrent
    if needed <= MEMORY_BYTES:
        return OpenVinoSession(work)
    height, width = min(geometry.height, TILE[0]), min(geometry.width, TILE[1])
    return _tiled(work, (1, height, width))


class OpenVinoSession:
    """See :class:`include.sr_model.backends.base.Session`."""

    name = "openvino"

    def __init__(self, work: Work) -> None:
        self.precision = work.precision or fastest_precision()
        self._work = work
        planes, results = zip(_luma(work, self.precision), _chroma(work), strict=True)
        graph = ov.Model(list(results), list(planes), work.network.stem)
        self._compiled = _compile(graph, self.precision, work.concurrent)

    def slots(self, count: int) -> Sequence[Slot]:
        """Return slots whose requests read and write the planes in place."""
        return [_Slot(self._compiled.create_infer_request(), self._work) for _ in range(count)]

    def close(self) -> None:
        """Release the compiled network."""
        del self._compiled


class PlaneUpscaler:
    """Single planes ``[height, width]`` of 0..1 in single precision, all of one size: tiles of stills."""

    def __init__(self, network: Entry, height: int, width: int) -> None:
        shape = [1, 1, height, width]
        model = ov.Core().read_model(network.onnx)
        model.reshape(shape)
        given = ops.parameter(shape, ov.Type.f32)
        enlarged = ops.depth_to_space(_interpolation(given, skip_kernel(network.scale)), "blocks_first", network.scale)
        interpolation = ov.Model([ops.result(enlarged)], [given], "bicubic")
        self._network, self._bicubic = (_compile(graph, "fp32", 1).create_infer_request() for graph in (model, interpolation))

    def network(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``plane`` through the network, not clamped."""
        return _infer(self._network, plane)

    def bicubic(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``plane`` interpolated as the network's skip does it, not clamped."""
        return _infer(self._bicubic, plane)


def _infer(request: Any, plane: NDArray[np.float32]) -> NDArray[np.float32]:
    made: NDArray[np.float32] = request.infer([np.ascontiguousarray(plane)[None, None]])[0][0, 0]
    return made


class _Slot:
    def __init__(self, request: Any, work: Work) -> None:
        self.source = Picture(work.geometry)
        self.result = Picture(work.output)
        self._request = request
        self._given = [self.source.luma[None, None], self.source.chroma[:, None]]
        # The library computes with no 16-bit integers: more than 8 bits go through single precision.
        self._wide = work.geometry.depth > 8
        dtype = np.float32 if self._wide else np.uint8
        self._inputs = [plane.astype(dtype, copy=False) for plane in self._given]
        graph = request.get_compiled_model()
        self._cells = [np.zeros(tuple(graph.output(name).shape), dtype) for name in ("luma_cells", "chroma_cells")]
        for name, plane in zip(("luma", "chroma", "luma_cells", "chroma_cells"), (*self._inputs, *self._cells), strict=True):
            request.set_tensor(name, ov.Tensor(plane, shared_memory=True))

    def start(self) -> None:
        if self._wide:
            for plane, given in zip(self._inputs, self._given, strict=True):
                np.copyto(plane, given)
        self._request.start_async()

    def wait(self) -> None:
        try:
            self._request.wait()
        except RuntimeError as error:
            raise InternalError("The network could not be run.") from error
        # Faster by far than the library's own, which moves single samples.
        for cells, planes in zip(self._cells, (self.result.luma[None], self.result.chroma), strict=True):
            shuffle(cells, planes)


def _compile(graph: Any, precision: str, streams: int) -> Any:
    config = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": len(os.sched_getaffinity(0)),
        "NUM_STREAMS": streams,
        # Other processes run here, too, and the encoder has threads of its own.
        "ENABLE_CPU_PINNING": False,
    }
    return ov.Core().compile_model(graph, "CPU", config)


def _network(work: Work, precision: str, shape: list[int]) -> Any:
    if precision not in PRECISIONS:
        raise ParameterError(f"precision {precision} is none of {', '.join(PRECISIONS)}")
    model = ov.Core().read_model(work.network.int8 if precision == "int8" else work.network.onnx)
    model.reshape(shape)
    return model


def _tiled(work: Work, shape: tuple[int, int, int]) -> TiledSession:
    precision = work.precision or fastest_precision()
    luma = _compile(_network(work, precision, [shape[0], 1, *shape[1:]]), precision, work.concurrent)
    plane, result = _chroma(work)
    planes = _compile(ov.Model([result], [plane], "chroma"), "fp32", work.concurrent)

    def forward(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        made: NDArray[np.float32] = luma.create_infer_request().infer([tiles])[0]
        return made

    def enlarge(source: NDArray[Any], result: NDArray[Any]) -> None:
        given = source[:, None] if work.geometry.depth == 8 else source[:, None].astype(np.float32)
        shuffle(planes.create_infer_request().infer([given])[0], result)

    return TiledSession("openvino", precision, work, shape=shape, forward=forward, chroma=enlarge)


def _luma(work: Work, precision: str) -> tuple[Any, Any]:
    """Return the graph's parameter and result of luma, both code values."""
    geometry = work.geometry
    model = _network(work, precision, [1, 1, geometry.height, geometry.width])
    plane = ops.parameter([1, 1, geometry.height, geometry.width], _element(geometry), name="luma")
    unit = ops.divide(ops.convert(plane, "f32"), np.float32(geometry.peak))
    model.get_parameters()[0].output(0).replace(unit.output(0))
    codes = ops.multiply(_cells(model, unit, work.network), np.float32(geometry.peak))
    return plane, _result(codes, geometry, "luma_cells")


def _cells(model: Any, unit: Any, network: Entry) -> Any:
    """Return what ``model`` shuffles to the large plane of ``unit``: its last sum, computed in full lanes."""
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
    last, scale = f"conv{network.spec.layers - 1}", network.scale
    stride = lanes.stride(scale)
    features = nodes[last].input_value(0).get_node().input_value(0).get_node()
    if f"{last}_weight_codes" in nodes:
        # The library computes in 8 bits what it finds written as codes and their steps.
        codes = ops.constant(lanes.widen(nodes[f"{last}_weight_codes"].data, scale))
        steps = lanes.spread(nodes[f"{last}_weight_steps"].data, scale)
        kernel = ops.multiply(ops.convert(codes, "f32"), steps.reshape(-1, 1, 1, 1))
    else:
        kernel = ops.constant(lanes.widen(nodes[f"{last}_weight"].data, scale))
    bias = lanes.spread(nodes[f"{last}_bias"].data, scale)
    borders = _borders(features.shape, kernel.shape, stride)
    sums = ops.add(ops.convolution(features, kernel, [stride, stride], *borders, [1, 1]), bias.reshape(1, -1, 1, 1))
    return ops.add(sums, _interpolation(unit, lanes.widen(skip_kernel(scale), scale), stride))


def _chroma(work: Work) -> tuple[Any, Any]:
    """Return the graph's parameter and result of both chroma planes, as a batch of two."""
    width, height = work.geometry.chroma
    planes = ops.parameter([2, 1, height, width], _element(work.geometry), name="chroma")
    scale = work.network.scale
    kernel = lanes.widen(chroma.kernel(work.siting, scale), scale)
    cells = _interpolation(ops.convert(planes, "f32"), kernel, lanes.stride(scale))
    return planes, _result(cells, work.geometry, "chroma_cells")


def _interpolation(planes: Any, kernel: NDArray[np.float32], stride: int = 1) -> Any:
    before, after = _borders(planes.shape, kernel.shape, stride)
    repeated = ops.pad(planes, [0, 0, *before], [0, 0, *after], "edge")
    return ops.convolution(repeated, kernel, [stride, stride], [0, 0], [0, 0], [1, 1])


def _borders(planes: Sequence[int], kernel: Sequence[int], stride: int) -> tuple[list[int], list[int]]:
    """Return how many samples are added before and after rows and columns, so that each sample of ``planes`` is computed."""
    radius = (kernel[2] - stride) // 2
    return [radius, radius], [radius + -side % stride for side in planes[2:]]


def _result(cells: Any, geometry: Geometry, name: str) -> Any:
    """Round ``cells [n, S², h, w]`` to code values, ``[n, h, w, S²]``."""
    code = ops.round(ops.clamp(cells, 0.0, float(geometry.peak)), "half_to_even")
    result = ops.result(ops.transpose(ops.convert(code, _element(geometry)), [0, 2, 3, 1]))
    result.output(0).get_tensor().set_names({name})
    return result


def _element(geometry: Geometry) -> Any:
    return ov.Type.u8 if geometry.depth == 8 else ov.Type.f32
