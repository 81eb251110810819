from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from include.sr_model.__main__ import main
from include.sr_model.compare import measure, side_by_side
from include.sr_model.stills import read_still, write_still
from tests.conftest import Clips
from tests.media import numbers, read_frame_numbers, tone
from tests.sr_model.test_upscale import make, probe


@pytest.mark.parametrize("name", ["vfr", "audio_late", "mkv"])
def test_a_video_is_upscaled_with_all_that_is_in_it(
    tmp_path: Path, clip: Clips, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"out{clip(name).suffix}"
    assert main(["upscale", str(clip(name)), str(out), "--preset", "ultrafast"]) == 0
    assert f"{clip.frames(name)} frames" in capsys.readouterr().out
    assert read_frame_numbers(out) == list(range(clip.frames(name)))
    assert (probe(out)["width"], probe(out)["height"]) == (256, 144)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


TINY = [*numbers(10), *tone(0.4), "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]


@pytest.mark.parametrize("suffix", [".ts", ".flv"])
def test_another_kind_of_file_may_hold_the_result(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = make(tmp_path / f"a{suffix}", *TINY), tmp_path / "b.mp4"
    assert main(["upscale", str(source), str(out), "--preset", "ultrafast"]) == 0, capsys.readouterr().err
    assert read_frame_numbers(out) == list(range(10))


def test_another_kind_of_file_that_cannot_hold_the_result_is_the_callers_choice_and_no_fault_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Its sound begins before zero, with samples that are not heard.
    source = make(tmp_path / "a.mp4", *TINY)
    assert re.match("OutputNotSupported: .* name the output .*mp4", refused(["upscale", source, tmp_path / "b.flv"], capsys))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_still_is_upscaled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_still(np.full((10, 12, 3), 99, np.uint8), tmp_path / "a.png")
    assert main(["upscale", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--scale", "4"]) == 0
    assert "48x40" in capsys.readouterr().out
    assert read_still(tmp_path / "b.png").shape == (40, 48, 3)


def test_a_failure_is_one_line_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    assert main(["upscale", str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "Traceback" not in said[0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("source", "out"),
    [("no.mp4", "out.mp4"), ("no.png", "out.png"), ("a.png", "no/out.png"), ("a.mp4", "no/out.mp4")],
)
def test_a_file_or_folder_that_is_not_there_is_one_line_too(
    tmp_path: Path, clip: Clips, source: str, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_still(np.full((10, 12, 3), 99, np.uint8), tmp_path / "a.png")
    (tmp_path / "a.mp4").write_bytes(clip("short").read_bytes())
    assert main(["upscale", str(tmp_path / source), str(tmp_path / out)]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "No such file" in said[0]


def test_what_is_to_be_compared_is_there_or_nothing_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_still(np.full((10, 12, 3), 99, np.uint8), tmp_path / "a.png")
    for number in range(3):
        first, second, reference = (tmp_path / ("no.mp4" if number == place else "a.png") for place in range(3))
        said = refused(["compare", first, second, tmp_path / "b.png", "--reference", reference], capsys)
        assert said == f"No such file or directory: {tmp_path / 'no.mp4'}"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.fixture
def still(tmp_path: Path) -> Path:
    write_still(np.full((10, 12, 3), 99, np.uint8), tmp_path / "a.png")
    return tmp_path / "a.png"


def refused(arguments: list[str | Path], capsys: pytest.CaptureFixture[str]) -> str:
    assert main([str(argument) for argument in arguments]) == 1
    (said,) = capsys.readouterr().err.strip().splitlines()
    return said


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["", "overwrite"])
@pytest.mark.parametrize("link", ["", "symbolic", "hard", "folder"])
def test_a_source_is_never_replaced(still: Path, link: str, overwrite: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before, out = still.read_bytes(), still if not link else still.with_name("b.png")
    if link == "symbolic":
        out.symlink_to(still.name)
    elif link == "hard":
        out.hardlink_to(still)
    elif link == "folder":
        (still.parent / "folder").symlink_to(still.parent)
        out = still.parent / "folder" / still.name
    assert "is the source" in refused(["upscale", still, out, *overwrite], capsys)
    other = still.with_name("other.png")
    write_still(np.zeros((10, 12, 3), np.uint8), other)
    for sources in ([still, other], [other, still], [other, other, "--reference", still]):
        assert "is the source" in refused(["compare", *sources[:2], out, *sources[2:], *overwrite], capsys)
    assert still.read_bytes() == before
    assert other.exists()


def test_what_is_there_is_replaced_only_where_that_is_said(still: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = still.with_name("b.png")
    out.write_text("before")
    assert "--overwrite" in refused(["upscale", still, out], capsys)
    assert "--overwrite" in refused(["compare", still, still, out], capsys)
    assert out.read_text() == "before"
    assert main(["upscale", str(still), str(out), "--overwrite"]) == 0
    assert read_still(out).shape == (20, 24, 3)
    assert main(["compare", str(still), str(still), str(out), "--overwrite"]) == 0
    assert read_still(out).shape == (10, 24, 3)
    assert sorted(path.name for path in still.parent.iterdir()) == ["a.png", "b.png"]


def test_a_folder_is_no_output(still: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (still.parent / "b.png").mkdir()
    for option in ([], ["--overwrite"]):
        assert "is a folder" in refused(["upscale", still, still.parent / "b.png", *option], capsys)


@pytest.mark.parametrize("command", ["upscale", "compare"])
def test_help_tells_what_is_replaced(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "--overwrite" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        "upscale a.mp4 b.mp4 --crf 52",
        "upscale a.mp4 b.mp4 --crf -1",
        "upscale a.mp4 b.mp4 --preset Nonsense",
        "bench --runs 0",
    ],
)
def test_a_choice_that_there_is_not_is_told(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    option = arguments.split()[-2:]
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    assert caught.value.code == 2
    assert option[0] in capsys.readouterr().err


def test_versions_are_compared(tmp_path: Path, clip: Clips, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(clip("short"))
    assert main(["compare", source, source, str(tmp_path / "both.mp4"), "--reference", source]) == 0
    assert capsys.readouterr().out.count("psnr_y 100.0000, psnr 100.0000, ssim 1.0000") == 2
    stream = probe(tmp_path / "both.mp4")
    assert (stream["width"], stream["height"], stream["nb_frames"]) == (256, 72, "50")
    side_by_side(clip("short"), clip("short"), tmp_path / "both.png")
    assert read_still(tmp_path / "both.png").shape == (72, 256, 3)


def test_a_worse_version_measures_worse(tmp_path: Path) -> None:
    original = np.random.default_rng(1).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    write_still(original, tmp_path / "a.png")
    write_still((original // 8 * 8).astype(np.uint8), tmp_path / "b.png")
    values = measure(tmp_path / "b.png", tmp_path / "a.png")
    assert 25 < values["psnr_y"] < 45
    assert 0.5 < values["ssim"] < 1


def test_frames_are_compared_by_their_place_and_not_by_their_time(tmp_path: Path, clip: Clips) -> None:
    make(tmp_path / "a.mkv", "-i", str(clip("short")), "-map", "0:v", "-c", "copy", "-output_ts_offset", "3")
    assert measure(tmp_path / "a.mkv", clip("short"))["psnr"] == 100


def test_who_ends_it_finds_nothing_that_was_not_there(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", *numbers(2000), "-c:v", "libx264", "-preset", "ultrafast")
    command = [sys.executable, "-m", "include.sr_model", "upscale", str(source), str(tmp_path / "b.mp4")]
    child = subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    while not list(tmp_path.glob(".reelflow-*/.video.mp4.partial")):
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGTERM)
    assert child.communicate(timeout=30) == ("", "Interrupted; nothing was written.\n")
    assert child.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
