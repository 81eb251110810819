from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from include.ffmpeg_ops.models import VideoTask
from include.ffmpeg_ops.quality import FRAMES, measure, window_of
from include.settings import Settings
from tests.ffmpeg_ops.jobs import Encoded, Jobs
from tests.media import ffmpeg


def lossless(encoded: Encoded, number: int, folder: Path, *, late: int = 0) -> tuple[VideoTask, dict[str, Path]]:
    """A chunk of a clip that needs no scaling, encoded without loss; its pictures come ``late`` frames early in time."""
    task = encoded.tasks[number]
    chunk = task.chunk
    (rung,) = [rung for rung in task.rungs if rung.name == "high"]
    path = folder / "lossless.mp4"
    shown = f"trim=start_frame={chunk.first_frame + late},setpts=N,trim=end_frame={chunk.frames}"
    if chunk.pts is not None:
        shown = f"trim=start_pts={chunk.start_pts}:end_pts={chunk.end_pts},setpts=PTS-({chunk.start_pts})"
    base = task.timing.time_base
    argv = [ffmpeg(), "-nostdin", "-v", "error", "-y", "-copyts", "-i", encoded.source, "-map", "0:v:0"]
    argv += ["-vf", shown + (f",settb={base},setpts=N" if chunk.pts is None else ""), "-c:v", "libx264", "-qp", "0"]
    argv += ["-g", "1000000", "-fps_mode", "passthrough", "-enc_time_base", str(base).replace("/", ":")]
    argv += ["-force_key_frames", ",".join(f"{float(time):.6f}" for time in chunk.force_times) or "0"]
    subprocess.run([*map(str, argv), "-video_track_timescale", str(task.timing.timescale), str(path)], check=True, timeout=60)
    return task.model_copy(update={"rungs": (rung,)}), {"high": path}


@pytest.mark.sampled("ntsc", "vfr", "open_gop_264")
@pytest.mark.parametrize("name", ["plain", "ntsc", "mkv", "vfr", "audio_late", "open_gop_264", "start_offset", "mpegps"])
def test_identical_pictures_have_the_highest_psnr(jobs: Jobs, tmp_path: Path, name: str) -> None:
    encoded = jobs.encode(name)
    for number in range(len(encoded.tasks)):
        task, files = lossless(encoded, number, tmp_path)
        assert measure(encoded.source, task, files) == {"high": {"psnr": 100.0, "psnr_y": 100.0, "ssim": 1.0}}


def test_pictures_of_one_frame_later_differ_clearly(jobs: Jobs, tmp_path: Path) -> None:
    encoded = jobs.encode("plain")
    task, files = lossless(encoded, 0, tmp_path, late=1)
    assert measure(encoded.source, task, files)["high"]["psnr"] < 30


@pytest.mark.sampled("vfr", "interlaced", "hdr_pq", "one_frame")
@pytest.mark.parametrize("name", ["plain", "vfr", "interlaced", "hdr_pq", "rotated_90", "anamorphic", "full_range", "one_frame"])
def test_every_rung_of_every_chunk_is_measured(jobs: Jobs, name: str) -> None:
    encoded = jobs.encode(name)
    for number, task in enumerate(encoded.tasks):
        found = measure(encoded.source, task, {rung: files[number] for rung, files in encoded.parts.items()})
        assert list(found) == ["low", "high"]
        for values in found.values():
            assert 30 < values["psnr"] < 75
            assert 30 < values["psnr_y"] < 75
            assert 0.9 < values["ssim"] <= 1


def test_of_pictures_that_are_too_small_for_ssim_psnr_alone_is_measured(jobs: Jobs) -> None:
    encoded = jobs.encode("a_few_lines")
    found = measure(encoded.source, encoded.tasks[0], {rung: files[0] for rung, files in encoded.parts.items()})
    assert list(found["low"]) == ["psnr", "psnr_y", "ssim"]
    assert list(found["high"]) == ["psnr", "psnr_y"]


def test_a_chunk_that_lacks_frames_is_left_out(jobs: Jobs, tmp_path: Path) -> None:
    encoded = jobs.encode("plain")
    task = encoded.tasks[0]
    first = window_of(task).first
    path = tmp_path / "short.mp4"
    argv = [ffmpeg(), "-v", "error", "-i", str(encoded.parts["high"][0]), "-c", "copy", "-frames:v", str(first + 6), str(path)]
    subprocess.run(argv, check=True, timeout=60)
    found = measure(encoded.source, task, {"low": encoded.parts["low"][0], "high": path})
    # Where ffmpeg gives up over the missing frames, no rung of the chunk is measured.
    assert list(found) in (["low"], [])


def test_the_window_starts_at_the_middle_keyframe_and_lies_within_the_chunk(jobs: Jobs) -> None:
    for name in ("plain", "ntsc", "vfr", "one_frame", "two_frames", "grid_plus_one"):
        for task in jobs.encode(name).tasks:
            window = window_of(task)
            assert window.first in task.chunk.keyframes
            assert 0 < window.frames <= FRAMES
            assert window.first + window.frames <= task.chunk.frames
            assert task.chunk.start_pts <= window.start_pts < window.end_pts <= task.chunk.end_pts


def test_rungs_of_the_same_size_are_measured_each(jobs: Jobs, tmp_path: Path) -> None:
    encoded = jobs.encode("plain")
    task = encoded.tasks[0]
    twin = task.rungs[1].model_copy(update={"name": "twin"})
    shutil.copyfile(encoded.parts["high"][0], tmp_path / "twin.mp4")
    found = measure(
        encoded.source,
        task.model_copy(update={"rungs": (*task.rungs, twin)}),
        {"low": encoded.parts["low"][0], "high": encoded.parts["high"][0], "twin": tmp_path / "twin.mp4"},
    )
    assert found["twin"] == found["high"]


def test_vmaf_is_measured_where_ffmpeg_can(jobs: Jobs, tmp_path: Path) -> None:
    # Stands for an ffmpeg with libvmaf: passes on all but that filter, whose log (as libvmaf 3 writes it) it makes up.
    program = tmp_path / "ffmpeg"
    program.write_text(f"""#!{sys.executable}
import os, re, sys
arguments = sys.argv[1:]
if "-filters" in arguments:
    print(" TS libvmaf           VV->V      Calculate the VMAF between two video streams.")
    sys.exit()
for at, argument in enumerate(arguments):
    for log in re.findall(r"libvmaf=[^\\[]*?log_path=([^:\\[]+)", argument):
        with open(log, "w") as file:
            file.write('{{"frames": [], "pooled_metrics": {{"vmaf": {{"min": 90.1, "mean": 95.25}}}}}}')
    arguments[at] = re.sub(r"(\\[s\\d+\\])(\\[s\\d+\\])libvmaf=[^\\[]*", r"\\1\\2ssim", argument)
os.execvp({shutil.which(ffmpeg())!r}, ["ffmpeg", *arguments])
""")
    program.chmod(0o755)
    encoded = jobs.encode("plain")
    found = measure(
        encoded.source,
        encoded.tasks[0],
        {rung: files[0] for rung, files in encoded.parts.items()},
        settings=Settings(ffmpeg=str(program)),
    )
    assert {values["vmaf"] for values in found.values()} == {95.25}
