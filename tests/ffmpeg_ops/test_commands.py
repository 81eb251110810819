"""Whole command lines, compared with ``tests/golden/*.txt``; ``REELFLOW_WRITE_GOLDEN=1`` writes those anew."""

from __future__ import annotations

import os
import shlex
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from include.ffmpeg_ops import commands, filters
from include.ffmpeg_ops.encodings import Encoding
from include.ffmpeg_ops.models import (
    AudioStream,
    AudioTarget,
    AudioTask,
    Chunk,
    Color,
    OutputTiming,
    Rung,
    TaskRung,
    VideoStream,
    VideoTask,
)
from include.ffmpeg_ops.runner import Command

GOLDEN = Path(__file__).parent.parent / "golden"
SOURCE, OUT = Path("/cache/source"), Path("/scratch/out")

SD = Rung(name="hls0800k", width=854, height=480, bit_rate=800_000, crf=24, preset="veryfast", h264_profile="main")
HD = Rung(name="hls1600k", width=1280, height=720, bit_rate=1_600_000, crf=23.5, preset="fast")
FULL = Rung(name="hls2500k", width=1920, height=1080, bit_rate=2_500_000, crf=23, preset="fast")
TOP = Rung(name="hls4000k", width=1920, height=1080, bit_rate=4_000_000, crf=21, preset="medium")

STREAM = VideoStream(
    index=0,
    codec="h264",
    width=1920,
    height=1080,
    display_width=1920,
    display_height=1080,
    pix_fmt="yuv420p",
    bit_depth=8,
    color=Color(range="tv", matrix="bt709", primaries="bt709", transfer="bt709"),
    time_base=Fraction(1, 12800),
    frame_rate=Fraction(25),
    constant_frame_rate=True,
    start_pts=0,
    frames=1500,
    duration=Fraction(60),
)
CHUNK = Chunk(
    index=1,
    first_frame=750,
    frames=100,
    start_pts=384000,
    end_pts=435200,
    seek_pts=358400,
    duration=Fraction(4),
    keyframes=(0, 50),
    force_times=(Fraction(99, 50),),
)
CONSTANT = OutputTiming(time_base=Fraction(1, 25), frame_rate=Fraction(25), constant=True)


def task(
    stream: dict[str, Any] | None = None, chunk: dict[str, Any] | None = None, timing: OutputTiming = CONSTANT, **more: Any
) -> VideoTask:
    return VideoTask(
        stream=STREAM.model_copy(update=stream or {}),
        chunk=CHUNK.model_copy(update=chunk or {}),
        timing=timing,
        **({"rungs": (SD, HD)} | more),
    )


def audio(index: int, source: tuple[str, int], layout: str, channels: int, bit_rate: int) -> AudioTarget:
    stream = AudioStream(
        index=index,
        codec="ac3",
        layout=source[0],
        channels=source[1],
        sample_rate=48000,
        start_time=Fraction(0),
        duration=Fraction(60),
    )
    return AudioTarget(stream=stream, channels=channels, layout=layout, sample_rate=48000, bit_rate=bit_rate)


def task_rung(**fields: Any) -> TaskRung:
    encoding = Encoding(**{"width": 1280, "height": 720, "bitrate": 1_728_000} | fields)
    codec = {"h264": "h264", "h265": "hevc", "mpeg2": "mpeg2video", "copy": "h264"}[encoding.format]
    return TaskRung(name="720p1728k", width=1280, height=720, codec=codec, encoding=encoding)


def first_pass(task: VideoTask) -> Command:
    command = commands.first_pass(SOURCE, task, OUT)
    assert command is not None
    return command


NTSC = OutputTiming(time_base=Fraction(1001, 30000), frame_rate=Fraction(30000, 1001), constant=True)
VARIABLE = OutputTiming(time_base=Fraction(1, 90000), frame_rate=Fraction(24000, 1001), constant=False)

BETWEEN_BARS = task_rung(format="mpeg2", rc_mode="cbr", gop_size=12).model_copy(update={"picture": (960, 720)})
WHOLE = {"index": 0, "first_frame": 0, "start_pts": 0, "seek_pts": None}

CASES: dict[str, Command] = {
    "task_vbr_h264": commands.encode_chunk(SOURCE, task(rungs=(task_rung(b_frame_size=2),)), OUT),
    "task_cbr_mpeg2_between_bars": commands.encode_chunk(SOURCE, task(rungs=(BETWEEN_BARS,), chunk=WHOLE), OUT),
    "task_first_pass_h265": first_pass(task(rungs=(task_rung(format="h265", rc_mode="2passvbr"),), chunk=WHOLE)),
    "task_second_pass_h265": commands.encode_chunk(
        SOURCE, task(rungs=(task_rung(format="h265", rc_mode="2passvbr"),), chunk=WHOLE, threads=2), OUT
    ),
    "task_second_pass_h264_at_another_rate": commands.encode_chunk(
        SOURCE, task(rungs=(task_rung(rc_mode="2passvbr"),), chunk=WHOLE | {"held": 1}, timing=NTSC), OUT
    ),
    "task_copy": commands.copy_video(
        SOURCE, task(rungs=(task_rung(format="copy"),), chunk=WHOLE | {"start_pts": 1024}), OUT
    ),
    "task_sound_of_three_kinds": commands.encode_audio(
        SOURCE,
        AudioTask(
            targets=(
                audio(1, ("5.1(side)", 6), "stereo", 2, 128_000).model_copy(update={"format": "mp3", "codec": "mp3"}),
                audio(2, ("stereo", 2), "stereo", 2, 192_000).model_copy(update={"format": "ac3", "codec": "ac3"}),
                audio(3, ("stereo", 2), "stereo", 2, 0).model_copy(update={"format": "copy", "codec": "ac3"}),
            ),
        ),
        OUT,
    ),
    "ladder_of_four": commands.encode_chunk(
        SOURCE, task(rungs=(SD, HD, FULL, TOP), threads=2, chunk={"thumbnails": (384000, 430000)}), OUT
    ),
    "first_chunk_one_rung": commands.encode_chunk(
        SOURCE,
        task(chunk={"index": 0, "first_frame": 0, "start_pts": 0, "end_pts": 51200, "seek_pts": None}, rungs=(SD,)),
        OUT,
    ),
    "ntsc_matroska": commands.encode_chunk(
        SOURCE,
        task(
            stream={"time_base": Fraction(1, 1000), "frame_rate": NTSC.frame_rate, "index": 1},
            chunk={"start_pts": 25025, "end_pts": 28362, "seek_pts": 23357, "force_times": (Fraction(99 * 1001, 60000),)},
            timing=NTSC,
        ),
        OUT,
    ),
    "variable_rate_that_starts_below_zero": commands.encode_chunk(
        SOURCE,
        task(
            stream={"time_base": Fraction(1, 600000), "frame_rate": VARIABLE.frame_rate, "constant_frame_rate": False,
                    "start_pts": -7},
            chunk={"start_pts": 18000123, "end_pts": 20400123, "seek_pts": -7, "pts": tuple(range(0, 360000, 3600))},
            timing=VARIABLE,
        ),
        OUT,
    ),
    "interlaced_dvd": commands.encode_chunk(
        SOURCE,
        task(
            stream={"interlaced": True, "top_field_first": False, "width": 720, "height": 576, "sar": Fraction(64, 45),
                    "display_width": 1024, "display_height": 576, "color": Color()},
            rungs=(SD,), chunk={"thumbnails": (384000,)},
        ),
        OUT,
    ),
    "hdr_pq": commands.encode_chunk(
        SOURCE,
        task(
            stream={"pix_fmt": "yuv420p10le", "bit_depth": 10, "width": 3840, "height": 2160,
                    "color": Color(range="tv", matrix="bt2020nc", primaries="bt2020", transfer="smpte2084")},
            rungs=(HD, FULL), chunk={"thumbnails": (384000,)},
        ),
        OUT,
    ),
    "full_range_salvage": commands.encode_chunk(
        SOURCE, task(stream={"color": Color(range="pc", matrix="bt470bg")}, rungs=(SD,), damage_policy="salvage"), OUT
    ),
    "audio_of_two_languages": commands.encode_audio(
        SOURCE,
        AudioTask(
            targets=(audio(1, ("5.1(side)", 6), "5.1", 6, 384_000), audio(3, ("2.1", 3), "stereo", 2, 128_000)),
        ),
        OUT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_command_line_is_the_recorded_one(name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    # One option a line, so that a change shows as what it is.
    text = " \\\n  ".join(map(shlex.quote, CASES[name].argv)) + "\n"
    if os.environ.get("REELFLOW_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_a_command_names_its_outputs_and_frames() -> None:
    command = CASES["ladder_of_four"]
    assert command.outputs == {rung.name: OUT / f"{rung.name}.mp4" for rung in (SD, HD, FULL, TOP)}
    assert command.frames == 100
    assert CASES["audio_of_two_languages"].outputs == {"audio-0": OUT / "audio-0.m4a", "audio-1": OUT / "audio-1.m4a"}


def test_names_from_the_source_stay_out_of_filters() -> None:
    hostile = Color(range="tv", matrix="bt709,movie=/etc/passwd", primaries="x:y", transfer="'")
    command = commands.encode_chunk(SOURCE, task(stream={"color": hostile, "pix_fmt": "a;b"}), OUT)
    graph = command.argv[command.argv.index("-filter_complex") + 1]
    assert "passwd" not in graph
    assert "x:y" not in graph


@pytest.mark.parametrize(
    ("height", "color", "expected"),
    [
        pytest.param(576, Color(), ("smpte170m", "smpte170m", "smpte170m"), id="untagged-sd"),
        pytest.param(720, Color(), ("bt709", "bt709", "bt709"), id="untagged-hd"),
        pytest.param(1080, Color(matrix="bt470bg"), ("bt470bg", "bt470bg", "smpte170m"), id="pal"),
        pytest.param(480, Color(matrix="bt709", primaries="bt709"), ("bt709", "bt709", "bt709"), id="709-in-sd"),
        pytest.param(
            2160, Color(matrix="bt2020nc", transfer="bt2020-10"), ("bt2020nc", "bt2020", "bt2020-10"), id="wide-gamut-sdr"
        ),
        pytest.param(2160, Color(matrix="bt2020nc", transfer="smpte2084"), ("bt709", "bt709", "bt709"), id="pq"),
        pytest.param(2160, Color(transfer="arib-std-b67"), ("bt709", "bt709", "bt709"), id="hlg"),
        pytest.param(1080, Color(matrix="gbr", transfer="iec61966-2-1"), ("bt709", "bt709", "iec61966-2-1"), id="rgb"),
    ],
)
def test_output_colour_follows_the_source_or_its_size(height: int, color: Color, expected: tuple[str, str, str]) -> None:
    found = filters.output_color(STREAM.model_copy(update={"height": height, "color": color}))
    assert (found.matrix, found.primaries, found.transfer) == expected
    assert found.range == "tv"
