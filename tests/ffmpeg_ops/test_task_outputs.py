"""What a profile becomes for a source: sizes, rungs, sounds, timelines and how near its bitrate must be."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from include.errors import OutputNotSupported
from include.ffmpeg_ops import rates
from include.ffmpeg_ops.encodings import Encoding, TaskProfile
from include.ffmpeg_ops.models import AudioStream, FrameIndex, Keyframe, MediaInfo, VideoStream
from include.ffmpeg_ops.outputs import Size, size_for, task_rungs, task_sounds
from include.ffmpeg_ops.retiming import frames_at, resampled, task_timeline

VIDEO = VideoStream(
    index=0,
    codec="h264",
    width=1920,
    height=1080,
    display_width=1920,
    display_height=1080,
    pix_fmt="yuv420p",
    bit_depth=8,
    time_base=Fraction(1, 12800),
    frame_rate=Fraction(25),
    constant_frame_rate=True,
    start_pts=0,
    frames=3000,
    duration=Fraction(120),
)
SOUND = AudioStream(
    index=1, codec="aac", channels=2, layout="stereo", sample_rate=48_000, start_time=Fraction(0), duration=Fraction(120)
)
INFO = MediaInfo(format="mov,mp4", size=1, duration=Fraction(120), bit_rate=1, video=VIDEO, audio=(SOUND,))
INDEX = FrameIndex(
    time_base=VIDEO.time_base,
    pts=tuple(512 * n for n in range(3000)),
    end_pts=512 * 3000,
    keyframes=tuple(Keyframe(frame=n, pts=512 * n, clean=True) for n in range(0, 3000, 250)),
)


def profile(*encodings: Encoding, **fields: Any) -> TaskProfile:
    return TaskProfile(profile_name="tested", encodings=encodings or (Encoding(**fields),))


def info(**video: Any) -> MediaInfo:
    return INFO.model_copy(update={"video": VIDEO.model_copy(update=video)})


def timeline(source: MediaInfo = INFO, **fields: Any) -> Any:
    return task_timeline(profile(**fields), INDEX, source, chunk_seconds=30, max_chunks=200, slots=2)


@pytest.mark.parametrize(
    ("fields", "source", "size"),
    [
        ({}, (1920, 1080), Size(1920, 1080)),
        ({}, (405, 721), Size(404, 720)),
        ({"width": 1280}, (1920, 1080), Size(1280, 720)),
        ({"height": 480}, (1920, 1080), Size(854, 480)),
        ({"height": 480}, (1080, 1920), Size(270, 480)),
        ({"width": 1280}, (640, 360), Size(640, 360)),
        ({"width": 1280, "height": 720}, (1920, 1080), Size(1280, 720)),
        ({"width": 1280, "height": 720}, (320, 180), Size(1280, 720)),
        ({"width": 854, "height": 480}, (1920, 1080), Size(854, 480)),
        ({"width": 1280, "height": 720}, (720, 540), Size(1280, 720, (960, 720))),
        ({"width": 1280, "height": 720}, (1080, 1920), Size(1280, 720, (406, 720))),
        ({"width": 720, "height": 576}, (1920, 1080), Size(720, 576, (720, 406))),
    ],
)
def test_a_size_is_what_is_named_without_distortion(fields: dict[str, int], source: tuple[int, int], size: Size) -> None:
    assert size_for(Encoding(**fields), *source) == size


def test_rungs_of_a_ladder_have_names_of_their_own() -> None:
    encodings = [
        Encoding(container="m3u8", height=height, bitrate=bitrate) for height, bitrate in ((360, 500_000), (720, 500_000))
    ]
    rungs = task_rungs(profile(*encodings), info(display_width=320, display_height=180), "m3u8", preset="ultrafast")
    assert [(rung.name, rung.width, rung.preset) for rung in rungs] == [
        ("180p500k", 320, "ultrafast"),
        ("180p500kn2", 320, "ultrafast"),
    ]


def test_a_source_whose_size_the_format_cannot_tell_is_refused() -> None:
    with pytest.raises(OutputNotSupported, match="4096"):
        task_rungs(profile(format="mpeg2"), info(display_width=4096, display_height=2160), "mpegts")


def test_an_flv_holds_one_audio_stream_and_the_others_are_reported() -> None:
    other = SOUND.model_copy(update={"index": 2, "default": True})
    targets, dropped = task_sounds(Encoding(), INFO.model_copy(update={"audio": (SOUND, other)}), "flv")
    assert [target.stream.index for target in targets] == [2]
    assert [(stream.index, stream.reason) for stream in dropped] == [(1, "an FLV holds one audio stream")]


@pytest.mark.parametrize(("container", "codec"), [("flv", "ac3"), ("mp4", "pcm_s16le"), ("m3u8", "opus"), ("mpegts", "flac")])
def test_audio_that_the_container_does_not_hold_is_not_copied(container: str, codec: str) -> None:
    strange = INFO.model_copy(update={"audio": (SOUND.model_copy(update={"codec": codec}),)})
    with pytest.raises(OutputNotSupported, match=f"A {container} output does not hold {codec} audio"):
        task_sounds(Encoding(audio_format="copy"), strange, container)


@pytest.mark.parametrize("fields", [{}, {"bitrate": 500_000}, {"gop_size": 33}, {"gop_size": 33, "bitrate": 500_000}], ids=str)
def test_chunks_of_any_grid_begin_with_keyframes_and_hold_every_frame(fields: dict[str, Any]) -> None:
    timing, chunks = timeline(**fields)
    gop = fields.get("gop_size", 50)
    assert len(chunks) > 1
    assert timing.frame_rate == 25
    keyframes = [chunk.first_frame + frame for chunk in chunks for frame in chunk.keyframes]
    assert keyframes == list(range(0, 3000, gop))
    assert all(chunk.keyframes[0] == 0 for chunk in chunks)
    assert sum(chunk.frames for chunk in chunks) == 3000
    assert all(before.end_pts == after.start_pts for before, after in pairwise(chunks))


@pytest.mark.parametrize("fields", [{"rc_mode": "cbr"}, {"rc_mode": "2passvbr"}, {"framerate": "30"}], ids=str)
def test_what_one_encoder_must_keep_is_one_chunk(fields: dict[str, Any]) -> None:
    assert len(timeline(bitrate=500_000, **fields)[1]) == 1


def test_a_rate_that_is_the_sources_own_is_no_other_rate() -> None:
    assert len(timeline(framerate="25")[1]) > 1


def test_chunks_that_keep_a_bitrate_are_long_whatever_the_settings_say() -> None:
    _, chunks = task_timeline(profile(bitrate=500_000), INDEX, INFO, chunk_seconds=2, max_chunks=200, slots=64)
    assert min(chunk.duration for chunk in chunks) >= rates.SHORTEST


@pytest.mark.parametrize(
    ("rate", "seconds", "frames"),
    [("25", "2", 50), ("30000/1001", "2", 60), ("24", "1/100", 1), ("10", "149/1000", 1), ("10", "15/100", 2), ("60", "10", 600)],
)
def test_frames_at_another_rate_last_as_long_as_the_source(rate: str, seconds: str, frames: int) -> None:
    assert frames_at(Fraction(rate), Fraction(seconds)) == frames


def test_the_last_frame_is_held_as_long_as_the_source_shows_it() -> None:
    index = FrameIndex(time_base=Fraction(1, 1000), pts=(0, 40, 80), end_pts=1080, keyframes=())
    varying = info(constant_frame_rate=False, frames=3, duration=Fraction(1080, 1000))
    timing, (chunk,) = resampled(index, varying, Fraction(25), gop_seconds=Fraction(2))
    assert (chunk.frames, chunk.held, chunk.end_pts) == (27, 24, 1080)
    assert (timing.time_base, timing.constant) == (Fraction(1, 25), True)


def test_mpeg2_of_a_varying_rate_asks_for_a_framerate() -> None:
    with pytest.raises(OutputNotSupported, match="name a framerate in the profile"):
        timeline(info(constant_frame_rate=False), format="mpeg2")


def test_a_list_of_keyframes_that_is_too_long_for_a_command_is_refused() -> None:
    frames = 30_000
    index = FrameIndex(
        time_base=Fraction(1, 1000), pts=tuple(40 * n + n % 2 for n in range(frames)), end_pts=40 * frames, keyframes=()
    )
    varying = info(constant_frame_rate=False, frames=frames, duration=Fraction(frames, 25), time_base=Fraction(1, 1000))
    with pytest.raises(OutputNotSupported, match="Keyframes lie too close together"):
        task_timeline(
            profile(bitrate=500_000, rc_mode="cbr", gop_size=2), index, varying, chunk_seconds=30, max_chunks=200, slots=2
        )


def rung(**fields: Any) -> Any:
    return task_rungs(profile(**{"bitrate": 800_000} | fields), INFO, "mp4")[0]


@pytest.mark.parametrize(
    ("fields", "size", "seconds", "expected"),
    [
        ({}, 1_000_000, 10, 0),
        ({}, 1_050_000, 10, Fraction(5, 100)),
        ({}, 900_000, 10, Fraction(-1, 10)),
        ({}, 500_000, 5, 0),
        ({"bitrate": None}, 5_000_000, 10, 0),
    ],
)
def test_what_misses_a_bitrate_is_told_as_a_share(fields: dict[str, Any], size: int, seconds: int, expected: Fraction) -> None:
    assert rates.deviation(rung(**fields), size, Fraction(seconds)) == expected


def test_only_h264_and_mpeg2_fill_a_constant_rate_up() -> None:
    assert [rates.is_filled_up(rung(rc_mode="cbr", format=format)) for format in ("h264", "mpeg2", "h265")] == [True, True, False]
    assert not rates.is_filled_up(rung())
