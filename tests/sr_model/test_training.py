"""Collapsing is exact, degradations are what they say, and training learns. Needs torch and onnx, which only training does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")
torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from include.sr_model.network import Spec, run  # noqa: E402
from include.sr_model.training.blocks import Block, Trainee  # noqa: E402
from include.sr_model.training.compress import through_h264  # noqa: E402
from include.sr_model.training.degrade import Degradation, draw, pan, reduced, small_video, softened  # noqa: E402
from include.sr_model.training.export import Range, quantise_weight  # noqa: E402
from include.sr_model.training.measure import interpolated, mean_psnr, psnr  # noqa: E402
from include.sr_model.training.patches import Pairs, batch, cut  # noqa: E402
from include.sr_model.training.published import measured, table  # noqa: E402
from include.sr_model.training.recipe import RECIPES, Recipe  # noqa: E402
from include.sr_model.training.resize import KERNELS, resize  # noqa: E402
from include.sr_model.training.ship import ship  # noqa: E402
from include.sr_model.training.train import train, upscaler  # noqa: E402
from include.sr_model.training.widen import impose, widened  # noqa: E402


def scene(height: int = 240, width: int = 320, seed: int = 0) -> np.ndarray:
    """Discs of many sizes and greys: edges in every direction."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    plane = np.full((height, width), 100.0)
    for _ in range(120):
        y, x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(2, 30)
        plane[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = rng.uniform(20, 230)
    return plane.round().astype(np.uint8)


def small_recipe(**changes: object) -> Recipe:
    values = {"scale": 2, "model": "fast", "variant": "clean", "start": None, "steps": 30, "rate": 2e-3, "batch": 8, "side": 16}
    return Recipe(**{**values, **changes})


@pytest.mark.parametrize(("into", "out"), [(1, 8), (8, 8), (8, 4)], ids=["first", "inner", "last"])
def test_a_block_collapses_exactly(into: int, out: int) -> None:
    torch.manual_seed(0)
    block = Block(into, out, 24).double()
    planes = torch.rand(2, into, 9, 11, dtype=torch.float64)
    assert (block(planes) - block.expanded(planes)).abs().max() < 1e-12


@pytest.mark.parametrize("scale", [2, 4])
def test_the_expanded_network_the_collapsed_one_and_its_plain_description_agree(scale: int) -> None:
    torch.manual_seed(0)
    model = Trainee(Spec(8, 4, scale))
    luma = torch.rand(1, 1, 14, 10)
    with torch.no_grad():
        collapsed, expanded = model(luma)[0, 0].numpy(), model.expanded(luma)[0, 0].numpy()
    assert np.abs(collapsed - expanded).max() < 1e-5
    assert np.abs(run(model.network(), luma[0, 0].numpy()) - expanded).max() < 1e-5


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_a_reduction_keeps_a_flat_plane_and_the_place_of_a_ramp(kernel: str) -> None:
    assert np.abs(resize(np.full((24, 36), 77, np.uint8), 12, 9, kernel) - 77).max() < 1e-3
    ramp = np.tile(np.arange(64, dtype=np.float32), (64, 1))
    small = resize(ramp, 32, 32, kernel)
    assert np.abs(small[16, 6:-6] - (np.arange(32) * 2 + 0.5)[6:-6]).max() < 0.05


def test_bicubic_reduction_is_the_antialiased_one_of_the_published_tables() -> None:
    """The weights that MATLAB's imresize(…, 0.5) gives an inner sample."""
    impulse = np.zeros((16, 16), np.float32)
    impulse[:, 8] = 1
    taps = resize(impulse, 8, 8)[4]
    assert taps[2:6] == pytest.approx([-0.01171875, 0.11328125, 0.43359375, -0.03515625], abs=1e-6)


def test_h264_gives_back_every_picture_in_its_order() -> None:
    planes = [np.full((32, 48), 40 + 10 * number, np.uint8) for number in range(12)]
    decoded = through_h264(planes, 20)
    assert [round(float(plane.mean()) / 10) for plane in decoded] == list(range(4, 16))
    assert {plane.shape for plane in decoded} == {(32, 48)}


@pytest.mark.parametrize("scale", [2, 4])
def test_degraded_video_is_small_and_worse_the_higher_the_crf(scale: int) -> None:
    rng = np.random.default_rng(0)
    large = pan(scene(480, 640), 96, 128, 6, rng)
    assert {plane.shape for plane in large} == {(96, 128)}
    errors = []
    for crf in (12, 34):
        small = small_video(large, scale, Degradation(crf=crf), rng)
        assert {plane.shape for plane in small} == {(96 // scale, 128 // scale)}
        errors.append(np.mean([psnr(degraded, reduced(plane, scale), 1) for degraded, plane in zip(small, large, strict=True)]))
    assert errors[0] > errors[1] + 3


def test_blur_and_noise_show() -> None:
    rng = np.random.default_rng(0)
    large = [scene(96, 128)] * 3
    plain, noisy, blurred = (
        small_video(large, 2, how, rng)[0]
        for how in (Degradation(crf=5), Degradation(crf=5, noise=4), Degradation(crf=5, blur=2))
    )
    assert psnr(noisy, plain, 2) < 40
    assert np.abs(np.diff(blurred.astype(float))).mean() < np.abs(np.diff(plain.astype(float))).mean()


def test_softening_spreads_a_line_evenly_and_keeps_its_light() -> None:
    line = np.full((32, 32), 100, np.uint8)
    line[:, 16] = 200
    soft = softened([line], 1.0)[0].astype(int)
    assert soft[16, 13:16].tolist() == soft[16, 19:16:-1].tolist()
    assert soft[16].sum() == pytest.approx(int(line[16].sum()), abs=4)
    assert soft[16, 16] < 150 < 200
    assert softened([line], 0.0)[0] is line


def test_drawn_degradations_stay_in_their_bounds() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw(rng) for _ in range(300)]
    assert {how.kernel for how in drawn} == set(KERNELS)
    assert all(10 <= how.crf <= 32 and 0 <= how.noise <= 3 and 0 <= how.blur < 1 for how in drawn)
    assert sum(how.crf >= 18 for how in drawn) > 240


def test_small_and_large_patches_show_the_same_place() -> None:
    large = scene()
    pairs = cut([(reduced(large, 2), large)], 24, 1.0, np.random.default_rng(0))
    generator = torch.Generator().manual_seed(0)
    for _ in range(16):
        small, target = batch(pairs, 4, 16, generator)
        assert small.shape == (4, 1, 16, 16)
        assert target.shape == (4, 1, 32, 32)
        means = torch.nn.functional.avg_pool2d(target, 2)
        assert (means - small)[:, :, 2:-2, 2:-2].abs().mean() < 0.03


def test_half_of_the_batches_are_negatives_of_the_same_range() -> None:
    white = Pairs(torch.full((3, 1, 16, 16), 235, dtype=torch.uint8), torch.full((3, 1, 32, 32), 235, dtype=torch.uint8))
    generator = torch.Generator().manual_seed(0)
    levels = []
    for _ in range(100):
        small, large = batch(white, 2, 16, generator)
        assert small.min() == small.max() == large.min() == large.max()
        levels.append(round(float(small.min()) * 255, 3))
    assert set(levels) == {16, 235}
    assert 30 < levels.count(16) < 70


def test_weights_and_ranges_in_8_bits_hold_what_they_should() -> None:
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    codes, steps = quantise_weight(weight)
    assert np.abs(codes * steps[:, None, None, None] - weight).max() <= steps.max() / 2 + 1e-6
    span = Range.over(-0.2, 1.8)
    assert (0 - span.zero) * span.step == pytest.approx(-0.2, abs=span.step)
    assert (255 - span.zero) * span.step == pytest.approx(1.8, abs=span.step)


def test_every_recipe_starts_from_one_before_it() -> None:
    seen: list[str] = []
    for stem, recipe in RECIPES.items():
        assert recipe.start is None or recipe.start in seen
        seen.append(stem)


@pytest.mark.parametrize(("features", "layers"), [(6, 4), (6, 3), (8, 4)], ids=["twice-and-deeper", "wider", "more-than-twice"])
def test_a_widened_network_computes_what_the_small_one_does_and_learns_on(features: int, layers: int) -> None:
    torch.manual_seed(0)
    small = Trainee(Spec(3, 3, 2))
    with torch.no_grad():
        for block in small.blocks:
            block.bias.normal_(0, 0.1)
    large = Trainee(Spec(features, layers, 2))
    impose(large, widened(small.network(), large.spec))
    luma = torch.rand(1, 1, 20, 24)
    assert float((large(luma) - small(luma)).detach().abs().max()) < 1e-5
    large(luma).square().mean().backward()
    assert all(float(block.plain.grad.abs().sum()) > 0 for block in large.blocks)


def test_a_network_is_not_widened_to_one_that_cannot_hold_it() -> None:
    small = Trainee(Spec(4, 3, 2)).network()
    for spec in (Spec(6, 4, 2), Spec(8, 5, 2), Spec(3, 3, 2), Spec(8, 4, 4)):
        with pytest.raises(ValueError, match="cannot be widened"):
            widened(small, spec)


@pytest.mark.parametrize("stem", ["x2-quality-clean", "x2-quality"], ids=["widened", "of-the-same-shape"])
def test_a_training_begins_as_the_network_that_its_recipe_names(tmp_path: Path, stem: str) -> None:
    large = scene()
    pairs = cut([(reduced(large, 2), large)], 24, 1.0, np.random.default_rng(0))
    recipe = replace(RECIPES[stem], batch=2, side=16)
    assert recipe.start is not None
    start = Trainee(RECIPES[recipe.start].spec)
    torch.save({"average": start.state_dict()}, tmp_path / f"{recipe.start}.pt")
    model = train(recipe, pairs, [], tmp_path, tmp_path / "log.jsonl", steps=1)
    luma = pairs.small[:2].float() / 255
    with torch.no_grad():
        assert float((model(luma) - start(luma)).abs().max()) < 0.02


def test_a_training_learns_stops_resumes_and_ships(tmp_path: Path) -> None:
    large = [scene(seed=number) for number in range(3)]
    pairs = cut([(reduced(plane, 2), plane) for plane in large[:2]], 24, 2.0, np.random.default_rng(0))
    pictures, log = [(reduced(large[2], 2), large[2])], tmp_path / "log.jsonl"
    # Long and calm enough that what is learnt is decibels beyond the bounds below: in what order a processor adds is chance.
    recipe = small_recipe(steps=900, rate=2e-3, batch=16)
    first = train(recipe, pairs, pictures, tmp_path, log, steps=450)
    stopped = mean_psnr(pictures, upscaler(first, "cpu"))
    model = train(recipe, pairs, pictures, tmp_path, log, steps=900)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in lines] == sorted({line["step"] for line in lines})
    assert lines[-1]["step"] == 900
    assert lines[-1]["psnr"] > max(stopped, mean_psnr(pictures, interpolated(2, "lanczos"))) + 0.5
    report = ship(recipe, model.network(), tmp_path, pairs.small, {"clean": pictures})
    assert report["clean"]["float32"] == pytest.approx(lines[-1]["psnr"], abs=0.01)
    assert report["clean"]["int8"] == pytest.approx(report["clean"]["float32"], abs=0.3)


def test_a_steady_network_answers_small_changes_more_as_interpolation_does(tmp_path: Path) -> None:
    large = scene()
    pairs = cut([(reduced(large, 2), large)], 24, 2.0, np.random.default_rng(0))
    luma = pairs.small[:8].float() / 255
    change = torch.randn(luma.shape, generator=torch.Generator().manual_seed(0)) / 255
    answers = []
    for name, steady in (("plain", 0.0), ("steady", 3.0)):
        (tmp_path / name).mkdir()
        model = train(small_recipe(steady=steady), pairs, [], tmp_path / name, tmp_path / name / "log.jsonl", steps=60)
        with torch.no_grad():
            answers.append(float((model(luma + change) - model(luma) - model.interpolated(change)).abs().mean()))
    assert answers[1] < 0.9 * answers[0]


def test_a_network_that_does_not_beat_lanczos_is_not_shipped(tmp_path: Path) -> None:
    pictures = [(reduced(scene(), 2), scene())]
    pairs = cut(pictures, 24, 0.5, np.random.default_rng(0))
    untrained = Trainee(small_recipe().spec).network()
    with pytest.raises(ValueError, match="does not beat lanczos"):
        ship(small_recipe(), untrained, tmp_path, pairs.small, {"clean": pictures})
    assert list(tmp_path.iterdir()) == []


def test_the_published_figures_of_a_folder(tmp_path: Path) -> None:
    plane = scene(121, 163)
    with av.open(str(tmp_path / "discs.png"), "w", format="image2") as file:
        stream = file.add_stream("png", 1)
        stream.height, stream.width, stream.pix_fmt = *plane.shape, "gray"
        for packet in [*stream.encode(av.VideoFrame.from_ndarray(plane, format="gray")), *stream.encode(None)]:
            file.mux(packet)
    values = measured(tmp_path)["discs"]
    assert set(values) >= {"x2-bicubic", "x4-bicubic", "x2-fast-clean", "x4-quality-clean"}
    assert values["x2-fast-clean"] > values["x2-bicubic"] + 2
    assert values["x4-fast-clean"] > values["x4-bicubic"] + 1
    lines = table({"discs": values, "again": {name: value + 1 for name, value in values.items()}}).splitlines()
    assert lines[0] == "| method | discs | again | mean |"
    bicubic = values["x2-bicubic"]
    assert lines[2] == f"| `x2-bicubic` | {bicubic:.2f} | {bicubic + 1:.2f} | {bicubic + 0.5:.2f} |"
    with pytest.raises(ValueError, match="no PNG or JPEG"):
        measured(tmp_path / "nothing")
