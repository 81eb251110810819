"""`make bench-rivals`: our networks beside two that people run on processors, the networks alone, in one run.

*FSRCNN* (Dong et al., ECCV 2016: d = 56, s = 12, m = 4, x2), which OpenCV's ``dnn_superres`` offers, runs in OpenCV;
*realesr-animevideov3* (Real-ESRGAN's compact network of 64 features and 16 layers, x4, RGB) in OpenVINO, float32. A network's
speed does not depend on its weights, so both have random ones: this says nothing of how good they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

from include.sr_model import zoo
from include.sr_model.bench import best, network_fps

HEIGHT, WIDTH = 360, 640
RUNS = 5


class Layers:
    """A network that is built layer by layer, as ONNX; the input has ``channels`` planes."""

    def __init__(self, channels: int) -> None:
        self._random = np.random.default_rng(1)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self.channels, self.last = channels, "input"
        self._into = channels

    def _add(self, kind: str, *inputs: str, **attributes: Any) -> None:
        name = f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        self.last = name

    def _weight(self, *shape: int) -> str:
        name = f"weight{len(self._constants)}"
        values = self._random.normal(0, 0.05, shape).astype(np.float32)
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def convolution(self, out: int, side: int, *, learned_slope: bool = True) -> None:
        """Add a convolution and, with a slope for each channel, a leaky ReLU."""
        self._add("Conv", self.last, self._weight(out, self._into, side, side), self._weight(out), pads=[side // 2] * 4)
        if learned_slope:
            self._add("PRelu", self.last, self._weight(out, 1, 1))
        self._into = out

    def deconvolution(self, out: int, side: int, stride: int) -> None:
        """Add a transposed convolution that enlarges by ``stride``."""
        pads, more = [side // 2] * 4, [stride - 1] * 2
        weight = self._weight(self._into, out, side, side)
        self._add("ConvTranspose", self.last, weight, self._weight(out), strides=[stride] * 2, pads=pads, output_padding=more)

    def shuffled_over_nearest(self, scale: int) -> None:
        """Shuffle cells to pixels and add the input, enlarged by repetition."""
        self._add("DepthToSpace", self.last, blocksize=scale, mode="CRD")
        shuffled = self.last
        sizes = numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "sizes")
        self._constants.append(sizes)
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        self._add("Resize", "input", "", "sizes", **how)
        self._add("Add", shuffled, self.last)

    def onnx(self, shape: tuple[int, ...]) -> bytes:
        """Return the network for pictures of 640x360, which makes pictures of ``shape``."""
        source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, self.channels, HEIGHT, WIDTH])
        sink = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self._nodes, "rival", [source], [sink], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


X2, X4 = (1, 1, 2 * HEIGHT, 2 * WIDTH), (1, 3, 4 * HEIGHT, 4 * WIDTH)


def fsrcnn() -> bytes:
    """Return FSRCNN for x2, luma."""
    layers = Layers(1)
    for out, side in ((56, 5), (12, 1), *((12, 3),) * 4, (56, 1)):
        layers.convolution(out, side)
    layers.deconvolution(1, 9, 2)
    return layers.onnx(X2)


def animevideo() -> bytes:
    """Return the network of realesr-animevideov3 for x4, RGB."""
    layers = Layers(3)
    for _ in range(17):
        layers.convolution(64, 3)
    layers.convolution(3 * 4**2, 3, learned_slope=False)
    layers.shuffled_over_nearest(4)
    return layers.onnx(X4)


def frames_a_second(run: Callable[[], Any]) -> float:
    """Return how often ``run`` can be done in a second: the best of some tries, after a first one that does not count."""
    run()
    return 1 / best(run, RUNS).wall


def in_opencv(model: bytes, channels: int, shape: tuple[int, ...]) -> float:
    """Return frames a second in OpenCV."""
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
    picture = np.random.default_rng(2).random((1, channels, HEIGHT, WIDTH), np.float32)

    def run() -> None:
        net.setInput(picture)
        assert net.forward().shape == shape

    return frames_a_second(run)


def in_openvino(model: bytes, channels: int, shape: tuple[int, ...]) -> float:
    """Return frames a second in OpenVINO, float32."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rival.onnx"
        path.write_bytes(model)
        compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    picture = np.random.default_rng(2).random((1, channels, HEIGHT, WIDTH), np.float32)

    def run() -> None:
        assert compiled({0: picture})[0].shape == shape

    return frames_a_second(run)


def main() -> None:
    """Run the benchmark and print it."""
    print(f"networks alone, {WIDTH}x{HEIGHT}, frames a second")
    rivals = {
        2: ("FSRCNN x2", {"OpenCV": in_opencv(fsrcnn(), 1, X2), "OpenVINO float32": in_openvino(fsrcnn(), 1, X2)}),
        4: ("realesr-animevideov3 x4", {"OpenVINO float32": in_openvino(animevideo(), 3, X4)}),
    }
    for scale, (name, speeds) in rivals.items():
        for where, theirs in speeds.items():
            print(f"  {name:24} {where:18} {theirs:7.1f}", flush=True)
        for model in zoo.MODELS:
            ours, _ = network_fps(zoo.find(scale, model), "openvino", "int8")
            times = ", ".join(f"{ours / theirs:.1f} times {where}" for where, theirs in speeds.items())
            print(f"  {f'x{scale}-{model}':24} {'OpenVINO int8':18} {ours:7.1f}   {times}", flush=True)


if __name__ == "__main__":
    main()
