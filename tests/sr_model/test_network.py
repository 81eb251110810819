"""The network's plain meaning, its files, and that every graph we ship computes the same."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from include.sr_model.network import Network, Spec, load, run, save, skip_kernel
from include.sr_model.training.resize import enlarge, resize
from include.sr_model.zoo import Entry, available

SHIPPED = available()


def untrained(spec: Spec, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    return Network(
        spec,
        tuple(
            (
                (rng.standard_normal((out, into, 3, 3)) / (3 * into**0.5)).astype(np.float32),
                rng.normal(0, 0.1, out).astype(np.float32),
            )
            for into, out in spec.channels
        ),
    )


def silent(spec: Spec) -> Network:
    network = untrained(spec)
    return replace(network, weights=tuple((weight * 0, bias * 0) for weight, bias in network.weights))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random cells of 4 x 4 with some noise: edges as well as texture."""
    rng = np.random.default_rng(seed)
    cells = rng.uniform(0.1, 0.9, (height // 4 + 1, width // 4 + 1))
    plane = np.kron(cells, np.ones((4, 4)))[:height, :width] + rng.normal(0, 0.02, (height, width))
    return plane.clip(0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def compiled(path: Path) -> Any:
    return openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def infer(path: Path, luma: np.ndarray) -> np.ndarray:
    return compiled(path)({0: luma[None, None]})[0][0, 0]


@pytest.mark.parametrize("scale", [2, 4])
def test_the_skip_keeps_a_flat_plane_flat_to_its_borders(scale: int) -> None:
    large = run(silent(Spec(4, 3, scale)), np.full((5, 7), 0.5, np.float32))
    assert large.shape == (5 * scale, 7 * scale)
    assert np.abs(large - 0.5).max() < 1e-6


@pytest.mark.parametrize("scale", [2, 4])
def test_the_skip_places_samples_at_the_centres_of_their_cells(scale: int) -> None:
    ramp = np.tile(np.arange(16, dtype=np.float32) / 16, (12, 1))
    large = run(silent(Spec(4, 3, scale)), ramp) * 16
    expected = (np.arange(16 * scale) + 0.5) / scale - 0.5
    inner = slice(2 * scale, -2 * scale)
    assert np.abs(large[:, inner] - expected[inner]).max() < 1e-4
    assert np.abs(run(silent(Spec(4, 3, scale)), ramp.T).T[:, inner] * 16 - expected[inner]).max() < 1e-4


@pytest.mark.parametrize("scale", [2, 4])
def test_every_phase_of_the_skip_adds_up_to_one(scale: int) -> None:
    kernel = skip_kernel(scale)
    assert kernel.shape == (scale**2, 1, 5, 5)
    assert np.abs(kernel.sum(axis=(1, 2, 3)) - 1).max() < 1e-6


def test_a_channel_is_a_place_in_its_cell_row_by_row() -> None:
    spec = Spec(4, 2, 2)
    network = silent(spec)
    last = (network.weights[1][0], np.array([1, 2, 3, 4], np.float32))
    large = run(replace(network, weights=(network.weights[0], last)), np.zeros((3, 3), np.float32))
    assert large[2:4, 2:4].tolist() == [[1, 2], [3, 4]]


def test_a_network_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    network = untrained(Spec(8, 4, 2, slope=0.2))
    save(network, tmp_path / "a.safetensors", {"model": "fast"})
    again = load(tmp_path / "a.safetensors")
    assert again.spec == network.spec
    for ours, theirs in zip(network.weights, again.weights, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_weights_of_another_shape_are_refused() -> None:
    network = untrained(Spec(8, 4, 2))
    with pytest.raises(ValueError, match="the network wants"):
        replace(network, spec=Spec(8, 4, 4))


@pytest.mark.parametrize(("features", "layers"), [(4, 2), (8, 5)])
def test_parameters_are_those_of_the_weights(features: int, layers: int) -> None:
    network = untrained(Spec(features, layers, 2))
    assert network.spec.parameters == sum(weight.size + bias.size for weight, bias in network.weights)


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.stem)
def test_a_sample_reaches_as_far_as_the_radius_and_no_further(entry: Entry) -> None:
    radius, scale = entry.radius, entry.scale
    side = 2 * radius + 9
    before = picture(side, side)
    after = before.copy()
    after[side // 2, side // 2] = 1 - after[side // 2, side // 2]
    changed = np.abs(infer(entry.onnx, after) - infer(entry.onnx, before)) > 0
    rows, columns = np.nonzero(changed)
    for places in (rows // scale, columns // scale):
        assert side // 2 - radius <= places.min()
        assert places.max() <= side // 2 + radius
    assert max(abs(rows // scale - side // 2).max(), abs(columns // scale - side // 2).max()) >= radius - 1


@pytest.mark.parametrize("size", [(24, 40), (17, 13), (1, 1)], ids=lambda size: f"{size[1]}x{size[0]}")
@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.stem)
def test_the_float_graph_computes_what_the_description_says(entry: Entry, size: tuple[int, int]) -> None:
    luma = picture(*size)
    assert np.abs(infer(entry.onnx, luma) - run(entry.network, luma)).max() * 255 < 0.01


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.stem)
def test_the_int8_graph_stays_near_the_float_graph(entry: Entry) -> None:
    luma = np.rint(resize(picture(192, 256) * 255, 96, 128)).clip(16, 235).astype(np.float32) / 255
    difference = (infer(entry.int8, luma) - infer(entry.onnx, luma)) * 255
    assert np.sqrt(np.mean(difference**2)) < 2
    assert np.abs(difference).max() < 16


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.stem)
def test_a_flat_plane_stays_flat_inside(entry: Entry) -> None:
    side = 2 * entry.radius + 12
    inner = slice(entry.radius * entry.scale, -entry.radius * entry.scale)
    for path in (entry.onnx, entry.int8):
        for level in (16, 81, 126, 235):
            large = infer(path, np.full((side, side), level / 255, np.float32))[inner, inner] * 255
            assert np.abs(large - level).max() < 1.5


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.stem)
def test_edges_get_no_halo(entry: Entry) -> None:
    """An edge as a camera or a scaler makes it overshoots by hardly more than where lanczos rings, and lanczos rings on."""
    scale, side = entry.scale, 2 * entry.radius + 16
    large = np.full((side * scale, side * scale), 60, np.uint8)
    large[:, side * scale // 2 + 1 :] = 180
    edge = np.rint(resize(large, side, side)).astype(np.float32)
    ringing = enlarge(edge, scale, "lanczos")
    # Networks for comparison are trained on sharp photos alone, and sharpen as published ones do.
    bound = (1.3 if entry.variant == "video" else 1.8) * max(ringing.max() - 180, 60 - ringing.min()) + 1
    inner = slice(entry.radius * scale, -entry.radius * scale)
    for path in (entry.onnx, entry.int8):
        for turned in (edge, edge.T):
            upscaled = infer(path, turned / 255)[inner, inner] * 255
            assert upscaled.max() < 180 + bound
            assert upscaled.min() > 60 - bound
