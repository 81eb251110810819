from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from include.errors import ParameterError
from include.sr_model import zoo
from include.sr_model.backends import openvino
from include.sr_model.backends.base import Slot, Work
from include.sr_model.backends.openvino import OpenVinoSession, fastest_precision, openvino_session
from include.sr_model.network import run
from include.sr_model.picture import Geometry
from include.sr_model.zoo import Entry
from tests.conftest import Clips
from tests.sr_model.tasks import pictures


def upscaled(slot: Slot, buffer: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    slot.source.buffer[:] = buffer
    slot.start()
    slot.wait()
    return slot.result.buffer.copy()


def noise(geometry: Geometry) -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).integers(0, geometry.peak + 1, geometry.samples).astype(geometry.dtype)


SIZES = [
    pytest.param((48, 32), id="even"),
    pytest.param((53, 37), id="odd"),
    pytest.param((53, 32), id="odd-width"),
    pytest.param((48, 37), id="odd-height"),
    pytest.param((1, 37), id="one-column"),
    pytest.param((48, 1), id="one-row"),
    pytest.param((1, 1), id="one-sample"),
]


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("size", SIZES)
def test_code_values_are_those_of_the_description(scale: int, depth: int, size: tuple[int, int]) -> None:
    geometry, entry = Geometry(*size, depth), zoo.find(scale)
    slot = OpenVinoSession(Work(entry, geometry, precision="fp32")).slots(1)[0]
    upscaled(slot, noise(geometry))
    exact = run(entry.network, slot.source.luma / np.float32(geometry.peak)) * geometry.peak
    # Clamped and rounded, and nothing else: half a code value and what sums differ by.
    assert np.abs(slot.result.luma - np.clip(exact, 0, geometry.peak)).max() < 0.51


def as_written(entry: Entry, precision: str, luma: np.ndarray[Any, Any], peak: int) -> np.ndarray[Any, Any]:
    """Return ``luma`` through the network's file, as it is, in code values."""
    model = ov.Core().read_model(entry.int8 if precision == "int8" else entry.onnx)
    model.reshape([1, 1, *luma.shape])
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32"})
    made: np.ndarray[Any, Any] = compiled([luma[None, None] / np.float32(peak)])[0][0, 0]
    return np.rint(np.clip(made * peak, 0, peak))


def check_as_written(entry: Entry, precision: str, geometry: Geometry) -> None:
    slot = OpenVinoSession(Work(entry, geometry, precision=precision)).slots(1)[0]
    upscaled(slot, noise(geometry))
    difference = np.abs(slot.result.luma - as_written(entry, precision, slot.source.luma, geometry.peak))
    # Sums in another order may round to the neighbour, rarely. Those of bfloat16, which has 8 bits, lie further apart.
    assert difference.max() <= (math.ceil(geometry.peak / 256) if precision == "bf16" else 1)
    assert (difference > 0).mean() < 0.001


@pytest.mark.parametrize("precision", ["int8", "bf16"])
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_computed_as_the_file_says(precision: str, depth: int, size: tuple[int, int]) -> None:
    check_as_written(zoo.find(2), precision, Geometry(*size, depth))


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.stem) for entry in zoo.available()])
def test_every_network_is_computed_as_its_file_says(entry: Entry, precision: str) -> None:
    check_as_written(entry, precision, Geometry(53, 37))


@pytest.mark.parametrize(
    ("precision", "decibels"),
    [pytest.param("int8", 46, id="int8"), pytest.param("bf16", 46, id="bf16")],
)
def test_faster_precisions_stay_within_the_stated_bound(clip: Clips, precision: str, decibels: float) -> None:
    geometry = Geometry(320, 180)
    exact = OpenVinoSession(Work(zoo.find(2), geometry, precision="fp32")).slots(1)[0]
    faster = OpenVinoSession(Work(zoo.find(2), geometry, precision=precision)).slots(1)[0]
    for picture in pictures(clip("content"), geometry)[::25]:
        wanted, made = upscaled(exact, picture.buffer), upscaled(faster, picture.buffer)
        luma = exact.result.luma.size
        error = np.square(wanted[:luma].astype(float) - made[:luma]).mean()
        assert error == 0 or 10 * math.log10(255**2 / error) > decibels
        if precision == "int8":
            # Chroma is not quantised.
            assert np.array_equal(wanted[luma:], made[luma:])


def test_slots_started_together_do_not_mix() -> None:
    geometry = Geometry(64, 48)
    session = OpenVinoSession(Work(zoo.find(2), geometry, precision="fp32", concurrent=2))
    slots = session.slots(4)
    for level, slot in enumerate(slots):
        slot.source.buffer[:] = 50 * (level + 1)
    for slot in slots:
        slot.start()
    for level, slot in enumerate(slots):
        slot.wait()
        assert set(slot.result.chroma.flat) == {50 * (level + 1)}
    session.close()


def test_pictures_too_large_for_memory_are_tiled(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = Geometry(93, 61)
    work = Work(zoo.find(2), geometry, precision="fp32")
    whole = upscaled(openvino_session(work).slots(1)[0], noise(geometry))
    monkeypatch.setattr(openvino, "MEMORY_BYTES", 1)
    monkeypatch.setattr(openvino, "TILE", (32, 40))
    session = openvino_session(work)
    tiled = upscaled(session.slots(1)[0], noise(geometry))
    session.close()
    # Sums in another order may round to the neighbour of a code value, rarely.
    difference = np.abs(tiled.astype(int) - whole)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ParameterError, match="fp64"):
        OpenVinoSession(Work(zoo.find(2), Geometry(32, 32), precision="fp64"))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx2 avx512_vnni", "int8"), ("fpu avx_vnni", "int8"), ("fpu amx_int8", "int8"), ("fpu avx2", "fp32"), ("", "fp32")],
)
def test_the_precision_follows_the_processor(monkeypatch: pytest.MonkeyPatch, flags: str, expected: str) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"flags : {flags}\n")
    fastest_precision.cache_clear()
    try:
        assert fastest_precision() == expected
    finally:
        fastest_precision.cache_clear()
