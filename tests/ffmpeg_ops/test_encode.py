from __future__ import annotations

import math
import re
import struct
import subprocess
import threading
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from include.errors import Cancelled, InputNotSupported, InvalidInputData, TimedOut
from include.ffmpeg_ops import boxes, encode
from include.ffmpeg_ops.models import AudioStream, AudioTarget, AudioTask, Rung, VideoStream, VideoTask
from include.ffmpeg_ops.probe import probe
from include.ffmpeg_ops.timeline import cut
from include.settings import Settings
from tests.conftest import Clips
from tests.ffmpeg_ops.tasks import HIGH, LOW, join, packets, probe_json, probe_video, video_tasks
from tests.media import ffmpeg, numbers, read_frame_numbers


def encode_all(source: Path, tasks: Sequence[VideoTask], folder: Path) -> list[dict[str, Path]]:
    parts = []
    for task in tasks:
        out = folder / f"chunk-{task.chunk.index}"
        out.mkdir()
        parts.append(encode.run_chunk(source, task, out))
    return parts


def video_of(path: Path) -> Any:
    return probe_json(path, "-select_streams", "v:0", "-show_streams")["streams"][0]


# -- every frame once, whatever the source

NTSC = Fraction(30000, 1001)


@pytest.mark.sampled(
    "borders-on-and-between-keyframes",
    "single-keyframe",
    "29.97-and-a-chunk-of-one-frame",
    "variable-rate",
    "open-gop-x265",
    "rotated-and-flipped",
    "pq",
)
@pytest.mark.parametrize(
    ("name", "starts", "rate", "changes"),
    [
        pytest.param("plain", (0, 50, 130, 200), None, {}, id="borders-on-and-between-keyframes"),
        pytest.param("film", (0, 48, 100), None, {}, id="23.976"),
        pytest.param("ntsc", (0, 70, 299), None, {}, id="29.97-and-a-chunk-of-one-frame"),
        pytest.param("mkv", (0, 50, 110, 200), NTSC, {}, id="29.97-in-milliseconds"),
        pytest.param("mkv60", (0, 150), 2 * NTSC, {}, id="59.94-in-milliseconds"),
        pytest.param("vfr", (0, 50, 90, 150), 0, {}, id="variable-rate"),
        pytest.param("long_gop", (0, 125, 250, 300, 450), None, {}, id="12-second-gops"),
        pytest.param("single_keyframe", (0, 100, 200), None, {}, id="single-keyframe"),
        pytest.param("open_gop_264", (0, 50, 100, 130), None, {}, id="open-gop-x264"),
        pytest.param("open_gop_264_ts", (0, 50, 100, 130), None, {}, id="open-gop-x264-mpegts"),
        pytest.param("open_gop_265", (0, 50, 100, 130), None, {}, id="open-gop-x265"),
        pytest.param("moov_at_end", (0, 50), None, {}, id="moov-at-the-end"),
        pytest.param("rotated_90", (0, 50), None, {}, id="rotated-90"),
        pytest.param("rotated_180", (0, 50), None, {}, id="rotated-180"),
        pytest.param("rotated_90_flipped", (0, 50), None, {}, id="rotated-and-flipped"),
        pytest.param("hdr_pq", (0, 25), None, {}, id="pq"),
        pytest.param("full_range", (0, 25), None, {}, id="full-range"),
        pytest.param("ten_bit", (0, 25), None, {}, id="10-bit"),
        pytest.param("chroma_422", (0, 25), None, {}, id="4-2-2"),
        pytest.param("odd_size", (0,), None, {}, id="odd-width"),
        pytest.param("two_frames", (0, 1), None, {}, id="two-chunks-of-one-frame"),
    ],
)
def test_every_frame_is_encoded_exactly_once(
    clip: Clips, tmp_path: Path, name: str, starts: tuple[int, ...], rate: Fraction | None, changes: dict[str, Any]
) -> None:
    source = clip(name)
    tasks = video_tasks(source, probe_video(source, rate=rate, **changes), starts)
    check_encoded(source, tasks, tmp_path, range(clip.frames(name)))


def check_encoded(source: Path, tasks: Sequence[VideoTask], folder: Path, shown: Sequence[int]) -> None:
    """Encode; both rungs show the frames ``shown``, each once, with the keyframes that the tasks ask for."""
    parts = encode_all(source, tasks, folder)
    for rung in (LOW, HIGH):
        files = [part[rung.name] for part in parts]
        assert read_frame_numbers(join(files, folder / f"{rung.name}.h264")) == list(shown)
        assert len({boxes.avc_configuration(file) for file in files}) == 1
    for task, part in zip(tasks, parts, strict=True):
        low = packets(part["low"])
        assert low == packets(part["high"])
        assert tuple(frame for frame, (_, key) in enumerate(low) if key) == task.chunk.keyframes


def test_an_edit_list_hides_what_it_hides(clip: Clips, tmp_path: Path) -> None:
    source = clip("edit_list")
    tasks = video_tasks(source, probe_video(source), (0, 50, 135))
    parts = encode_all(source, tasks, tmp_path)
    numbers = read_frame_numbers(join([part["low"] for part in parts], tmp_path / "low.h264"))
    assert numbers == list(range(15, 250))


def test_output_timestamps_are_the_exact_grid_of_a_constant_rate(clip: Clips, tmp_path: Path) -> None:
    source = clip("mkv")
    task = video_tasks(source, probe_video(source, rate=NTSC), (0, 100))[1]
    part = encode_all(source, [task], tmp_path)[0]
    assert video_of(part["low"])["time_base"] == "1/30000"
    assert [pts for pts, _ in packets(part["low"])] == [1001 * frame for frame in range(200)]


def test_output_timestamps_of_a_variable_rate_are_the_sources_own(clip: Clips, tmp_path: Path) -> None:
    source = clip("vfr")
    tasks = video_tasks(source, probe_video(source, rate=Fraction(0)), (0, 77, 140))
    parts = encode_all(source, tasks, tmp_path)
    joined = [pts + task.chunk.start_pts for task, part in zip(tasks, parts, strict=True) for pts, _ in packets(part["high"])]
    assert joined == [pts for pts, _ in packets(source)]


def test_a_picture_size_that_changes_midway_is_scaled_away(tmp_path: Path, tools: tuple[str, str]) -> None:
    halves = [
        make(tmp_path / f"{size}.h264", *numbers(50, size=size), "-c:v", "libx264", "-g", "25", "-bf", "0")
        for size in ("128x72", "160x90")
    ]
    (tmp_path / "both.h264").write_bytes(b"".join(half.read_bytes() for half in halves))
    source = make(tmp_path / "both.ts", "-r", "25", "-i", str(tmp_path / "both.h264"), "-c", "copy")
    task = video_tasks(source, probe_video(source, rate=Fraction(25)), (0,))[0]
    part = encode_all(source, [task], tmp_path)[0]
    assert read_frame_numbers(part["high"]) == [*range(50), *range(50)]


def test_a_seek_that_lands_too_late_is_noticed_and_made_good(
    clip: Clips, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = clip("plain")
    task = video_tasks(source, probe_video(source), (0, 75))[1]
    late = next(pts for pts, key in packets(source) if key and pts > task.chunk.start_pts)
    task = task.model_copy(update={"chunk": task.chunk.model_copy(update={"seek_pts": late})})
    told: list[str] = []
    part = encode.run_chunk(source, task, tmp_path, on_restart=told.extend)
    assert read_frame_numbers(part["low"]) == list(range(75, 250))
    assert "expected 175" in caplog.text
    assert "expected 175" in told[0]


def test_a_chunk_that_seeks_is_decoded_from_there(clip: Clips, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = clip("plain")
    task = video_tasks(source, probe_video(source), (0, 130))[1]
    encode_all(source, [task], tmp_path)
    assert not [record for record in caplog.records if record.name == "include.ffmpeg_ops.encode"]


def test_the_same_unit_gives_the_same_bytes(clip: Clips, tmp_path: Path) -> None:
    source = clip("content")
    task = video_tasks(source, probe_video(source), (0, 60), threads=2, thumbnail_frames=(70,))[1]
    once, again = (tmp_path / "once", tmp_path / "again")
    once.mkdir()
    again.mkdir()
    first, second = encode.run_chunk(source, task, once), encode.run_chunk(source, task, again)
    assert {name: path.read_bytes() for name, path in first.items()} == {name: path.read_bytes() for name, path in second.items()}


def test_progress_counts_the_frames_of_the_chunk(clip: Clips, tmp_path: Path) -> None:
    source = clip("plain")
    task = video_tasks(source, probe_video(source), (0, 130))[1]
    seen: list[int] = []
    encode.run_chunk(source, task, tmp_path, on_progress=lambda progress: seen.append(progress.frames))
    assert seen[-1] == 120


def test_cancelling_and_time_outs_end_a_chunk(clip: Clips, tmp_path: Path) -> None:
    source = clip("plain")
    task = video_tasks(source, probe_video(source), (0,))[0]
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        encode.run_chunk(source, task, tmp_path, cancelled=cancelled)
    with pytest.raises(TimedOut):
        encode.run_chunk(source, task, tmp_path, timeout=0.01)


# -- quality


def psnr(distorted: Path, reference: Path, folder: Path) -> list[float]:
    stats = folder / "psnr.log"
    graph = f"[0:v]settb=1/25,setpts=N[a];[1:v]settb=1/25,setpts=N[b];[a][b]psnr=stats_file={stats}"
    argv = [ffmpeg(), "-v", "error", "-i", str(distorted), "-i", str(reference), "-lavfi", graph, "-f", "null", "-"]
    subprocess.run(argv, check=True)
    return [float(found) for found in re.findall(r"psnr_y:([\d.]+)", stats.read_text())]


def test_chunk_borders_show_no_step_in_quality(clip: Clips, tmp_path: Path) -> None:
    source = clip("content")
    stream = probe_video(source)
    rung = Rung(name="same", width=320, height=180, bit_rate=2_000_000, crf=23, preset="veryfast")
    whole = video_tasks(source, stream, (0,), rungs=(rung,), gop_frames=25)
    cut = video_tasks(source, stream, (0, 25, 50, 75), rungs=(rung,), gop_frames=25)
    curves = []
    for name, tasks in (("whole", whole), ("cut", cut)):
        folder = tmp_path / name
        folder.mkdir()
        parts = encode_all(source, tasks, folder)
        curves.append(psnr(join([part["same"] for part in parts], folder / "joined.h264"), source, folder))
    assert [len(curve) for curve in curves] == [100, 100]
    for before, after in ((4, 0), (0, 4)):
        sides = [slice(border - before, border + after) for border in (25, 50, 75)]
        steps = [(sum(curves[1][side]) - sum(curves[0][side])) / 4 for side in sides]
        # From one frame to the next PSNR moves by a decibel anyway; what would be seen is a step at every border.
        assert all(abs(step) < 1 for step in steps), steps
        assert abs(sum(steps) / len(steps)) < 0.3, steps


# -- pictures


@pytest.mark.sampled("709-stays", "untagged-and-large", "pq", "rotated", "10-bit")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("bars_601", ("smpte170m", "smpte170m", "smpte170m"), id="601-stays"),
        pytest.param("bars_709", ("bt709", "bt709", "bt709"), id="709-stays"),
        pytest.param("plain", ("smpte170m", "smpte170m", "smpte170m"), id="untagged-and-small"),
        pytest.param("content720", ("bt709", "bt709", "bt709"), id="untagged-and-large"),
        pytest.param("full_range", ("bt709", "bt709", "bt709"), id="full-range"),
        pytest.param("hdr_pq", ("bt709", "bt709", "bt709"), id="pq"),
        pytest.param("hdr_hlg", ("bt709", "bt709", "bt709"), id="hlg"),
        pytest.param("anamorphic", ("smpte170m", "smpte170m", "smpte170m"), id="anamorphic"),
        pytest.param("rotated_270", ("smpte170m", "smpte170m", "smpte170m"), id="rotated"),
        pytest.param("interlaced", ("smpte170m", "smpte170m", "smpte170m"), id="interlaced"),
        pytest.param("ten_bit", ("smpte170m", "smpte170m", "smpte170m"), id="10-bit"),
    ],
)
def test_outputs_say_what_they_are(clip: Clips, tmp_path: Path, name: str, expected: tuple[str, str, str]) -> None:
    source = clip(name)
    task = video_tasks(source, probe_video(source, interlaced=name == "interlaced"), (0,))[0]
    said = video_of(encode_all(source, [task], tmp_path)[0]["high"])
    assert (said["color_space"], said["color_primaries"], said["color_transfer"]) == expected
    assert (said["color_range"], said["pix_fmt"], said["chroma_location"]) == ("tv", "yuv420p", "left")
    assert (said["width"], said["height"], said["sample_aspect_ratio"]) == (128, 72, "1:1")
    assert said["field_order"] == "progressive"
    assert "side_data_list" not in said


def colors(path: Path, points: Sequence[tuple[int, int]], size: tuple[int, int]) -> list[tuple[int, ...]]:
    """R'G'B' at points of the first frame, converted by the file's own tags."""
    argv = [
        ffmpeg(),
        "-v",
        "error",
        "-i",
        str(path),
        "-frames:v",
        "1",
        "-vf",
        f"scale={size[0]}:{size[1]}:flags=neighbor+accurate_rnd+full_chroma_int,format=rgb24",
    ]
    data = subprocess.run([*argv, "-f", "rawvideo", "-"], check=True, capture_output=True).stdout
    return [tuple(data[3 * (y * size[0] + x) :][:3]) for x, y in points]


@pytest.mark.parametrize(
    ("name", "size", "middles"),
    [
        pytest.param("bars_601", (320, 240), [(bar + 0.5) / 7 for bar in range(7)], id="601"),
        pytest.param("bars_709", (320, 180), [1 / 8 + (bar + 0.5) * 0.75 / 7 for bar in range(7)], id="709"),
    ],
)
def test_bars_keep_their_colours(clip: Clips, tmp_path: Path, name: str, size: tuple[int, int], middles: Sequence[float]) -> None:
    source = clip(name)
    rung = Rung(name="half", width=size[0] // 2, height=size[1] // 2, bit_rate=2_000_000, crf=10, preset="veryfast")
    task = video_tasks(source, probe_video(source), (0,), rungs=(rung,))[0]
    out = encode_all(source, [task], tmp_path)[0]["half"]
    before = colors(source, [(int(x * size[0]), size[1] // 4) for x in middles], size)
    after = colors(out, [(int(x * size[0] / 2), size[1] // 8) for x in middles], (size[0] // 2, size[1] // 2))
    for wanted, found in zip(before, after, strict=True):
        assert max(abs(a - b) for a, b in zip(wanted, found, strict=True)) <= 6, (before, after)


def test_full_range_becomes_video_range_without_changing_the_picture(clip: Clips, tmp_path: Path) -> None:
    source = clip("full_range")
    out = encode_all(source, [video_tasks(source, probe_video(source), (0,))[0]], tmp_path)[0]["high"]
    size = (128, 72)
    points = [(16, 9), (112, 63)]
    for wanted, found in zip(colors(source, points, size), colors(out, points, size), strict=True):
        assert max(abs(a - b) for a, b in zip(wanted, found, strict=True)) <= 4


def test_thumbnails_are_the_frames_asked_for(clip: Clips, tmp_path: Path) -> None:
    source = clip("plain")
    tasks = video_tasks(source, probe_video(source), (0, 100), thumbnail_frames=(0, 60, 120, 180, 240))
    parts = encode_all(source, tasks, tmp_path)
    assert [sorted(set(part) - {"low", "high"}) for part in parts] == [
        ["thumbnail-00001", "thumbnail-00002"],
        ["thumbnail-00001", "thumbnail-00002", "thumbnail-00003"],
    ]
    numbers = [read_frame_numbers(part[name])[0] for part in parts for name in sorted(part) if name.startswith("thumbnail")]
    assert numbers == [0, 60, 120, 180, 240]


def test_thumbnails_have_the_display_shape(clip: Clips, tmp_path: Path) -> None:
    source = clip("anamorphic")
    stream = probe_video(source, display_width=210, display_height=96)
    task = video_tasks(source, stream, (0,), thumbnail_frames=(0,))[0]
    said = video_of(encode_all(source, [task], tmp_path)[0]["thumbnail-00001"])
    assert (said["width"], said["height"], said["color_range"]) == (210, 96, "pc")


def test_rungs_of_one_size_share_one_scaling(clip: Clips, tmp_path: Path) -> None:
    source = clip("plain")
    rungs = (LOW, HIGH, Rung(name="higher", width=128, height=72, bit_rate=1_600_000, crf=16, preset="veryfast"))
    task = video_tasks(source, probe_video(source), (0,), rungs=rungs)[0]
    part = encode_all(source, [task], tmp_path)[0]
    assert {name: read_frame_numbers(path) == list(range(250)) for name, path in part.items()} == dict.fromkeys(
        ["low", "high", "higher"], True
    )


# -- damage


def damaged_tasks(clip: Clips, name: str, sound: str, starts: Sequence[int], **changes: Any) -> list[VideoTask]:
    stream: VideoStream = probe_video(clip(sound), rate=Fraction(25))
    return video_tasks(clip(sound), stream, starts, **changes)


@pytest.mark.parametrize(("name", "sound"), [("garbage", "plain"), ("truncated", "plain")])
def test_strict_refuses_damage(clip: Clips, tmp_path: Path, name: str, sound: str) -> None:
    source = clip(name)
    with pytest.raises(InvalidInputData, match="damaged in or before chunk"):
        encode_all(source, damaged_tasks(clip, name, sound, (0,)), tmp_path)


@pytest.mark.parametrize(("name", "sound"), [("garbage", "plain"), ("truncated", "plain")])
def test_salvage_keeps_what_can_be_decoded_and_the_chunks_length(clip: Clips, tmp_path: Path, name: str, sound: str) -> None:
    source = clip(name)
    task = damaged_tasks(clip, name, sound, (0,), damage_policy="salvage", thumbnail_frames=(0,))[0]
    part = encode_all(source, [task], tmp_path)[0]
    numbers = read_frame_numbers(part["low"])
    assert len(numbers) == 250
    assert numbers[:100] == list(range(100))
    assert packets(part["low"]) == packets(part["high"])
    assert len([number for number in set(numbers) if number >= 0]) > 120


def test_salvage_of_a_sound_source_changes_nothing(clip: Clips, tmp_path: Path) -> None:
    source = clip("mkv")
    tasks = video_tasks(source, probe_video(source, rate=NTSC), (0, 110, 200), damage_policy="salvage")
    parts = encode_all(source, tasks, tmp_path)
    assert read_frame_numbers(join([part["high"] for part in parts], tmp_path / "high.h264")) == list(range(300))


def test_salvage_tells_where_nothing_is_left(clip: Clips, tmp_path: Path) -> None:
    source = clip("truncated")
    task = damaged_tasks(clip, "truncated", "plain", (0, 240), damage_policy="salvage")[1]
    with pytest.raises(InvalidInputData, match="Nothing of chunk 1 can be decoded"):
        encode_all(source, [task], tmp_path)


# -- sound


def audio_task(source: Path, layouts: dict[int, str], *, duration: Fraction | None = None, **more: Any) -> AudioTask:
    """A task that encodes the streams (index → target layout) of a clip."""
    said = {stream["index"]: stream for stream in probe_json(source, "-show_streams")["streams"]}
    targets = []
    for index, layout in layouts.items():
        stream = AudioStream(
            index=index,
            codec=said[index]["codec_name"],
            channels=said[index]["channels"],
            layout=said[index].get("channel_layout"),
            sample_rate=int(said[index]["sample_rate"]),
            start_time=Fraction(said[index].get("start_time", "0")),
            duration=duration or Fraction(said[index]["duration"]),
        )
        targets.append(
            AudioTarget(
                stream=stream, channels=CHANNELS[layout], layout=layout, sample_rate=48000, bit_rate=64_000 * CHANNELS[layout]
            )
        )
    return AudioTask(targets=tuple(targets), **more)


CHANNELS = {"mono": 1, "stereo": 2, "3.0": 3, "4.0": 4, "5.0": 5, "5.1": 6, "7.1": 8}


def make(path: Path, *options: str) -> Path:
    subprocess.run([ffmpeg(), "-v", "error", "-y", *options, str(path)], check=True)
    return path


def tones(layout: str, channels: int, seconds: float = 1) -> list[str]:
    """Channel n sounds with 200 (n + 1) Hz."""
    waves = "|".join(f"0.3*sin(2*PI*{200 * (channel + 1)}*t)" for channel in range(channels))
    return ["-f", "lavfi", "-i", f"aevalsrc={waves}:s=48000:d={seconds}{f':c={layout}' if layout else ''}"]


def samples(path: Path, channels: int) -> list[tuple[float, ...]]:
    """Decoded samples, one tuple a channel."""
    argv = [ffmpeg(), "-v", "error", "-i", str(path), "-f", "f32le", "-"]
    data = subprocess.run(argv, check=True, capture_output=True).stdout
    flat = struct.unpack(f"<{len(data) // 4}f", data)
    return [flat[channel::channels] for channel in range(channels)]


def heard(channel: Sequence[float]) -> set[int]:
    """Numbers of the tones in a tenth of a second in the middle."""
    middle = channel[len(channel) // 2 :][:4800]
    found = set()
    for tone in range(9):
        turn = 2 * math.pi * 200 * (tone + 1) / 48000
        real = sum(value * math.cos(turn * n) for n, value in enumerate(middle))
        imaginary = sum(value * math.sin(turn * n) for n, value in enumerate(middle))
        if math.hypot(real, imaginary) / 2400 > 0.03:
            found.add(tone)
    return found


@pytest.mark.sampled("mono", "2.1-to-stereo", "5.1-side", "7.1-to-stereo", "6-unnamed-channels")
@pytest.mark.parametrize(
    ("layout", "channels", "codec", "target", "expected"),
    [
        pytest.param("mono", 1, "pcm_s16le", "mono", [{0}], id="mono"),
        pytest.param("stereo", 2, "aac", "stereo", [{0}, {1}], id="stereo"),
        pytest.param("2.1", 3, "pcm_s16le", "stereo", [{0}, {1}], id="2.1-to-stereo"),
        pytest.param("3.0", 3, "pcm_s16le", "3.0", [{0}, {1}, {2}], id="3.0"),
        pytest.param("4.0", 4, "pcm_s16le", "4.0", [{0}, {1}, {2}, {3}], id="4.0"),
        pytest.param("5.0", 5, "flac", "5.0", [{0}, {1}, {2}, {3}, {4}], id="5.0"),
        # The low-frequency channel of AAC ends below its tone of 800 Hz.
        pytest.param("5.1", 6, "flac", "5.1", [{0}, {1}, {2}, set(), {4}, {5}], id="5.1"),
        pytest.param("5.1(side)", 6, "flac", "5.1", [{0}, {1}, {2}, set(), {4}, {5}], id="5.1-side"),
        pytest.param("7.1", 8, "flac", "7.1", [{0}, {1}, {2}, set(), {4}, {5}, {6}, {7}], id="7.1"),
        pytest.param("7.1", 8, "flac", "stereo", [{0, 2, 4, 6}, {1, 2, 5, 7}], id="7.1-to-stereo"),
        pytest.param("quad", 4, "flac", "stereo", [{0, 2}, {1, 3}], id="quad-to-stereo"),
        pytest.param("", 6, "pcm_s16le", "5.1", [{0}, {1}, {2}, set(), {4}, {5}], id="6-unnamed-channels"),
    ],
)
def test_every_channel_comes_out_where_it_belongs(
    tmp_path: Path, tools: tuple[str, str], layout: str, channels: int, codec: str, target: str, expected: list[set[int]]
) -> None:
    suffix = {"flac": "mkv", "aac": "mp4"}.get(codec, "mov" if layout else "wav")
    source = make(tmp_path / f"source.{suffix}", *tones(layout, channels), "-c:a", codec)
    out = encode.run_audio(source, audio_task(source, {0: target}, duration=Fraction(1)), tmp_path)["audio-0"]
    said = probe_json(out, "-show_streams")["streams"][0]
    assert (said["codec_name"], said["profile"], said["channel_layout"]) == ("aac", "LC", target)
    decoded = samples(out, CHANNELS[target])
    assert [heard(channel) for channel in decoded] == expected
    assert max(abs(value) for channel in decoded for value in channel) < 1


def test_two_mono_streams_stay_two(clip: Clips, tmp_path: Path) -> None:
    source = clip("languages")
    files = encode.run_audio(source, audio_task(source, {1: "mono", 2: "stereo"}), tmp_path)
    assert list(files) == ["audio-0", "audio-1"]
    assert [probe_json(file, "-show_streams")["streams"][0]["channels"] for file in files.values()] == [1, 2]


def test_channels_that_nobody_can_mix_are_refused(tmp_path: Path, tools: tuple[str, str]) -> None:
    source = make(tmp_path / "nine.wav", *tones("", 9), "-c:a", "pcm_s16le")
    with pytest.raises(InputNotSupported, match="channel layout"):
        encode.run_audio(source, audio_task(source, {0: "stereo"}), tmp_path)


@pytest.mark.parametrize("name", ["plain", "audio_late", "mpegts", "start_offset", "mkv", "edit_list", "quicktime"])
def test_sound_keeps_its_length_and_starts_at_zero(clip: Clips, tmp_path: Path, name: str) -> None:
    source = clip(name)
    info, _ = probe(source, settings=Settings())
    targets = tuple(
        AudioTarget(stream=stream, channels=1, layout="mono", sample_rate=48000, bit_rate=64000) for stream in info.audio
    )
    out = encode.run_audio(source, AudioTask(targets=targets), tmp_path)["audio-0"]
    said = probe_json(out, "-show_streams")["streams"][0]
    assert float(said["start_time"]) == 0
    assert abs(float(said["duration"]) - float(info.audio[0].duration)) < 1024 / 48000 + 0.001


def test_a_sine_has_no_click_anywhere(clip: Clips, tmp_path: Path) -> None:
    source = clip("plain")
    out = encode.run_audio(source, audio_task(source, {1: "mono"}), tmp_path)["audio-0"]
    wave = samples(out, 1)[0][2048:470000]
    # A sine has no steeper place than its zero crossing.
    steepest = 2 * math.pi * 440 / 48000 * max(wave)
    assert max(abs(b - a) for a, b in pairwise(wave)) < 1.3 * steepest


def test_a_gap_in_the_sound_is_filled_with_silence(tmp_path: Path, tools: tuple[str, str]) -> None:
    gap = "aselect='lt(t,1)+gte(t,1.5)'"
    source = make(tmp_path / "gap.mkv", *tones("mono", 1, 3), "-af", gap, "-c:a", "pcm_s16le")
    out = encode.run_audio(source, audio_task(source, {0: "mono"}, duration=Fraction(3)), tmp_path)["audio-0"]
    wave = samples(out, 1)[0]
    assert abs(len(wave) / 48000 - 3) < 0.03
    assert max(map(abs, wave[int(1.1 * 48000) : int(1.4 * 48000)])) < 0.01
    assert max(map(abs, wave[int(1.6 * 48000) : int(1.9 * 48000)])) > 0.25


def test_sound_whose_channels_or_rate_change_midway_stays_whole_and_in_time(tmp_path: Path, tools: tuple[str, str]) -> None:
    halves = [
        make(tmp_path / f"{layout}.ts", *tones(layout, channels, 2), "-ar", rate, "-c:a", "mp2", "-f", "mpegts")
        for layout, channels, rate in (("mono", 1, "48000"), ("stereo", 2, "44100"))
    ]
    source = make(tmp_path / "both.mkv", "-i", "concat:" + "|".join(map(str, halves)), "-c", "copy")
    out = encode.run_audio(source, audio_task(source, {0: "mono"}, duration=Fraction(4)), tmp_path)["audio-0"]
    wave = samples(out, 1)[0]
    assert abs(len(wave) / 48000 - 4) < 0.06
    assert all(max(map(abs, wave[int(second * 48000) :][:9600])) > 0.1 for second in (0.5, 1.5, 2.5, 3.5))


def test_the_same_sound_gives_the_same_bytes(clip: Clips, tmp_path: Path) -> None:
    source = clip("plain")
    folders = [tmp_path / "once", tmp_path / "again"]
    for folder in folders:
        folder.mkdir()
    once, again = (encode.run_audio(source, audio_task(source, {1: "mono"}), folder)["audio-0"] for folder in folders)
    assert once.read_bytes() == again.read_bytes()


def test_damaged_sound_is_refused_unless_salvaged(clip: Clips, tmp_path: Path) -> None:
    source = clip("garbage")
    with pytest.raises(InvalidInputData, match="audio is damaged"):
        encode.run_audio(source, audio_task(source, {1: "mono"}), tmp_path)
    out = encode.run_audio(source, audio_task(source, {1: "mono"}, damage_policy="salvage"), tmp_path)["audio-0"]
    assert abs(float(probe_json(out, "-show_streams")["streams"][0]["duration"]) - 10) < 0.1


def test_sound_shorter_than_promised_is_refused(clip: Clips, tmp_path: Path) -> None:
    source = clip("plain")
    with pytest.raises(InvalidInputData, match=r"audio-0 is 10\.\d+ s long, expected 12"):
        encode.run_audio(source, audio_task(source, {1: "mono"}, duration=Fraction(12)), tmp_path)


# -- as it is planned


@pytest.mark.sampled("open_gop_265", "start_offset", "mpegps", "rotated_270", "pictures", "avi_264")
@pytest.mark.parametrize(
    "name",
    ["plain", "mkv", "vfr", "single_keyframe", "open_gop_264_ts", "open_gop_265", "mpegts", "start_offset", "fragmented", "flv",
     "avi", "avi_264", "mpegps", "vp8", "vp9", "edit_list", "video_late", "interlaced", "rotated_270", "anamorphic",
     "odd_both", "pictures", "hdr_hlg", "one_frame", "two_videos"],
)  # fmt: skip
def test_what_is_probed_and_cut_is_encoded_whole(clip: Clips, tmp_path: Path, name: str) -> None:
    source = clip(name)
    info, index = probe(source, settings=Settings())
    timing, chunks = cut(
        index, info, chunk_seconds=3, max_chunks=50, slots=1, gop_seconds=Fraction(1), segment_seconds=2, thumbnail_seconds=2
    )
    tasks = [VideoTask(stream=info.video, timing=timing, chunk=chunk, rungs=(LOW, HIGH)) for chunk in chunks]
    first = 250 - clip.frames(name) if name == "edit_list" else 0
    check_encoded(source, tasks, tmp_path, range(first, first + clip.frames(name)))
