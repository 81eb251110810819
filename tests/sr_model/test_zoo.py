"""Which networks are shipped, and what is said of those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.errors import InputNotSupported
from include.sr_model.zoo import Entry, available, file_stem, find, preferred


@pytest.mark.parametrize(
    ("scale", "model", "variant", "stem"),
    [(2, "fast", "video", "x2-fast"), (4, "fast", "video", "x4-fast"), (2, "quality", "clean", "x2-quality-clean")],
    ids=["default", "four", "clean"],
)
def test_the_stem_names_scale_size_and_variant(scale: int, model: str, variant: str, stem: str) -> None:
    assert file_stem(scale, model, variant) == stem


@pytest.mark.parametrize("scale", [2, 4])
def test_the_default_network_is_there_for_both_scales(scale: int) -> None:
    entry = find(scale)
    assert (entry.scale, entry.model, entry.variant) == (scale, "fast", "video")
    assert entry.spec.scale == scale
    assert entry.radius == entry.spec.layers
    assert all(path.is_file() for path in (entry.onnx, entry.int8, entry.safetensors))


def test_a_network_that_is_not_shipped_is_named_with_those_that_are() -> None:
    with pytest.raises(InputNotSupported, match=r"no network x3-fast; available are: x2-fast"):
        find(3)


def test_a_network_with_a_missing_file_is_not_offered(tmp_path: Path) -> None:
    entry = Entry(2, "fast", "video", tmp_path)
    entry.onnx.touch()
    entry.safetensors.touch()
    assert available(tmp_path) == ()
    with pytest.raises(InputNotSupported, match="available are: none"):
        find(2, folder=tmp_path)
    entry.int8.touch()
    assert find(2, folder=tmp_path) == entry


@pytest.mark.parametrize(
    ("shipped", "wanted", "expected"),
    [
        (["fast", "balanced", "quality"], "quality", "quality"),
        (["fast", "balanced"], "quality", "balanced"),
        (["fast"], "quality", "fast"),
        (["fast", "balanced", "quality"], "balanced", "balanced"),
        (["balanced"], "fast", "balanced"),
        ([], "quality", "quality"),
    ],
    ids=["there", "the largest below", "the only one", "no larger than asked for", "nothing as small", "nothing"],
)
def test_a_default_that_is_not_shipped_becomes_the_next_best(
    tmp_path: Path, shipped: list[str], wanted: str, expected: str
) -> None:
    for model in shipped:
        entry = Entry(2, model, "video", tmp_path)
        for path in (entry.onnx, entry.int8, entry.safetensors):
            path.touch()
    assert preferred(2, wanted, folder=tmp_path) == expected


def test_the_files_are_small_enough_for_the_repository() -> None:
    for entry in available():
        assert sum(path.stat().st_size for path in (entry.onnx, entry.int8, entry.safetensors)) < 6_000_000


def test_every_network_says_in_its_file_what_it_is() -> None:
    for entry in available():
        assert entry.spec.scale == entry.scale
