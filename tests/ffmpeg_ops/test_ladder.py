"""Which renditions a source gets: the whole table of contract 1, and how profiles say what is wrong with them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from include.errors import InputNotSupported, OutputNotSupported, ParameterError
from include.ffmpeg_ops.ladder import audio_targets, load_profile, parse_profile, rungs_for
from include.ffmpeg_ops.models import AudioStream, MediaInfo, VideoStream


def media(width: int = 1920, height: int = 1080, bit_rate: int = 8_000_000, audio: tuple[AudioStream, ...] = ()) -> MediaInfo:
    video = VideoStream(
        index=0, codec="h264", width=width, height=height, display_width=width, display_height=height, pix_fmt="yuv420p",
        bit_depth=8, time_base=Fraction(1, 25), frame_rate=Fraction(25), constant_frame_rate=True, start_pts=0, frames=250,
        duration=Fraction(10), bit_rate=bit_rate,
    )  # fmt: skip
    return MediaInfo(format="mov", size=1, duration=Fraction(10), bit_rate=bit_rate, video=video, audio=audio)


def sound(**fields: Any) -> AudioStream:
    known: dict[str, Any] = {"index": 1, "codec": "aac", "channels": 2, "layout": "stereo", "sample_rate": 48000}
    return AudioStream(**(known | {"start_time": Fraction(0), "duration": Fraction(10)} | fields))


HLS, MP4 = load_profile("hls_ladder"), load_profile("mp4_single")
ONE, TWO = ["hls0800k"], ["hls0800k", "hls1600k"]
THREE, FOUR = [*TWO, "hls2500k"], [*TWO, "hls2500k", "hls4000k"]
RATES = [300_000, 1_199_999, 1_200_000, 1_999_999, 2_000_000, 3_999_999, 4_000_000, 20_000_000]
TABLE = {
    240: [ONE] * 8,
    480: [ONE] * 8,
    481: [ONE] * 2 + [TWO] * 6,
    720: [ONE] * 2 + [TWO] * 6,
    1080: [ONE] * 2 + [TWO] * 2 + [THREE] * 2 + [FOUR] * 2,
    1088: [ONE] * 2 + [TWO] * 2 + [THREE] * 2 + [FOUR] * 2,
    2160: [ONE] * 2 + [TWO] * 2 + [THREE] * 2 + [FOUR] * 2,
}
CASES = [(side, rate, rungs) for side, row in TABLE.items() for rate, rungs in zip(RATES, row, strict=True)]


@pytest.mark.parametrize(("side", "rate", "expected"), CASES, ids=[f"{side}p {rate}" for side, rate, _ in CASES])
def test_the_ladder_follows_short_side_and_bit_rate(side: int, rate: int, expected: list[str]) -> None:
    for width, height in ((side * 16 // 9, side), (side, side * 16 // 9), (side, side)):
        assert [rung.name for rung in rungs_for(HLS, media(width, height, rate))] == expected


@pytest.mark.parametrize(("side", "rate", "expected"), CASES, ids=[f"{side}p {rate}" for side, rate, _ in CASES])
def test_what_the_client_says_chooses_the_ladder(side: int, rate: int, expected: list[str]) -> None:
    chosen = rungs_for(HLS, media(640, 360, 500_000), source_bit_rate=rate, source_height=side)
    assert [rung.name for rung in chosen] == expected
    assert {(rung.width, rung.height) for rung in chosen} == {(640, 360)}, "the client's word never scales a picture up"


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((1920, 1080), [(854, 480), (1280, 720), (1920, 1080), (1920, 1080)]),
        ((1080, 1920), [(480, 854), (720, 1280), (1080, 1920), (1080, 1920)]),
        ((3840, 2160), [(854, 480), (1280, 720), (1920, 1080), (1920, 1080)]),
        ((1920, 1088), [(848, 480), (1270, 720), (1906, 1080), (1906, 1080)]),
        ((2048, 858), [(1146, 480), (1718, 720), (2048, 858), (2048, 858)]),
        ((1440, 1080), [(640, 480), (960, 720), (1440, 1080), (1440, 1080)]),
        ((1000, 1000), [(480, 480), (720, 720), (1000, 1000), (1000, 1000)]),
        ((1280, 720), [(854, 480), (1280, 720)]),
        ((721, 1283), [(480, 854), (720, 1282), (720, 1282), (720, 1282)]),
        ((405, 720), [(404, 720)]),
        ((720, 576), [(600, 480), (720, 576)]),
        ((1024, 576), [(854, 480), (1024, 576)]),
        ((64, 36), [(64, 36)]),
        ((135, 97), [(134, 96)]),
        ((5000, 100), [(5000, 100)]),
        ((1, 1), [(2, 2)]),
    ],
    ids=lambda value: "x".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_pictures_are_scaled_down_to_even_sizes_that_keep_the_aspect(size: tuple[int, int], sizes: list[tuple[int, int]]) -> None:
    rungs = rungs_for(HLS, media(*size, 10_000_000))
    assert [(rung.width, rung.height) for rung in rungs] == sizes


@pytest.mark.parametrize("width", range(160, 2000, 97))
@pytest.mark.parametrize("height", [90, 405, 479, 719, 1081, 2161])
def test_no_picture_is_ever_scaled_up_or_bent(width: int, height: int) -> None:
    for rung in rungs_for(HLS, media(width, height, 10_000_000)):
        assert rung.width <= width
        assert rung.height <= height
        exact = rung.height * width / height if width > height else rung.width * height / width
        assert abs(max(rung.width, rung.height) - exact) <= max(2, max(width, height) / min(width, height) * 2)


@pytest.mark.parametrize(
    ("size", "rate", "more", "expected"),
    [
        ((640, 360), 900_000, {}, ("mp42000k", 900_000, 640, 360)),
        ((1280, 720), 5_000_000, {}, ("mp42000k", 2_000_000, 1280, 720)),
        ((1920, 1080), 8_000_000, {}, ("mp44000k", 4_000_000, 1920, 1080)),
        ((3840, 2160), 30_000_000, {}, ("mp44000k", 4_000_000, 1920, 1080)),
        ((1920, 1080), 3_100_000, {}, ("mp44000k", 3_100_000, 1920, 1080)),
        ((1920, 1080), 8_000_000, {"source_bit_rate": 2_700_000}, ("mp44000k", 2_700_000, 1920, 1080)),
        ((1920, 1080), 8_000_000, {"source_height": 720}, ("mp42000k", 2_000_000, 1280, 720)),
        ((1280, 720), 8_000_000, {"source_height": 1088}, ("mp44000k", 4_000_000, 1280, 720)),
        ((64, 36), 8_000, {}, ("mp42000k", 100_000, 64, 36)),
    ],
    ids=["small", "720p", "1080p", "2160p", "capped", "client's rate", "client's height", "1088", "tiny rate"],
)
def test_the_mp4_follows_the_short_side_and_the_sources_rate(
    size: tuple[int, int], rate: int, more: dict[str, int], expected: tuple[str, int, int, int]
) -> None:
    (rung,) = rungs_for(MP4, media(*size, rate), **more)
    assert (rung.name, rung.bit_rate, rung.width, rung.height) == expected


def test_caps_of_a_ladder_follow_a_source_of_far_lower_rate() -> None:
    info = media(1920, 1080, 8_000_000)
    poor = info.model_copy(update={"video": info.video.model_copy(update={"bit_rate": 900_000})})
    assert [rung.bit_rate for rung in rungs_for(HLS, info)] == [800_000, 1_600_000, 2_500_000, 4_000_000]
    assert [rung.bit_rate for rung in rungs_for(HLS, poor)] == [800_000, 1_600_000, 1_800_000, 1_800_000]


def test_a_preset_can_be_overridden() -> None:
    assert {rung.preset for rung in rungs_for(HLS, media(), preset="ultrafast")} == {"ultrafast"}
    assert {rung.preset for rung in rungs_for(HLS, media())} == {HLS.preset}


def test_a_profile_with_nothing_for_a_source_says_so() -> None:
    profile = HLS.model_copy(update={"rungs": HLS.rungs[2:]})
    with pytest.raises(OutputNotSupported, match="no rendition for a source with a short side of 360"):
        rungs_for(profile, media(640, 360))


@pytest.mark.parametrize(
    "name", ["none", "../hls_ladder", "/etc/passwd", "hls_ladder.yaml", "HLS_LADDER", "", "hls_ladder\n", "profiles/hls_ladder"]
)
def test_only_profiles_of_the_folder_are_loaded(name: str) -> None:
    with pytest.raises(ParameterError, match=r"There is no encoding profile .*; there are hls_ladder, mp4_single"):
        load_profile(name)


GOOD = """
container: hls
rungs: [{name: a, bit_rate: 100000, max_short_side: 480, crf: 23}]
preset: fast
source_rate_headroom: 2
least_bit_rate: 1000
gop_seconds: 2
segment_seconds: 6
thumbnail_seconds: 10
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("preset: fast", "preset: fast\ncolour: red", "The encoding profile x is wrong: the field colour is unknown."),
        ("crf: 23", "crf: 23, crv: 1", "The encoding profile x is wrong: the field rungs.0.crv is unknown."),
        ("crf: 23", "crf: 99", "The encoding profile x is wrong: rungs.0.crf: input should be less than or equal to 51."),
        ("segment_seconds: 6", "segment_seconds: 5", "segment_seconds is 5, which is no multiple of gop_seconds, 2"),
        ("preset: fast", "preset: quick", "preset: input should be 'ultrafast'"),
        ("max_short_side: 480, ", "", "rungs.0.max_short_side: field required"),
        ("}]", "}, {name: a, bit_rate: 1, max_short_side: 2, crf: 3}]", "two rungs have the same name"),
        ("container: hls", "container: [", "is no YAML"),
        (GOOD, "[]", "must be a mapping of fields"),
    ],
    ids=["unknown field", "unknown rung field", "bound", "grid", "preset", "missing", "twice", "yaml", "list"],
)
def test_a_wrong_profile_is_refused_with_a_sentence(old: str, new: str, sentence: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_profile("x", GOOD.replace(old, new))
    assert sentence in caught.value.message


def test_a_gop_may_be_a_fraction_of_a_second() -> None:
    assert parse_profile("x", GOOD.replace("gop_seconds: 2", "gop_seconds: 1.5")).gop_seconds == Fraction(3, 2)


@pytest.mark.parametrize(
    ("channels", "layout", "expected"),
    [
        (1, "mono", (1, "mono", 64_000)),
        (2, "stereo", (2, "stereo", 128_000)),
        (2, "downmix", (2, "stereo", 128_000)),
        (3, "3.0", (3, "3.0", 192_000)),
        (3, "2.1", (2, "stereo", 128_000)),
        (4, "4.0", (4, "4.0", 256_000)),
        (4, "quad", (2, "stereo", 128_000)),
        (5, "5.0(side)", (5, "5.0", 320_000)),
        (6, "5.1", (6, "5.1", 384_000)),
        (6, "5.1(side)", (6, "5.1", 384_000)),
        (7, "6.1", (2, "stereo", 128_000)),
        (8, "7.1", (8, "7.1", 384_000)),
        (24, "22.2", (2, "stereo", 128_000)),
        (1, None, (1, "mono", 64_000)),
        (2, None, (2, "stereo", 128_000)),
        (3, None, (2, "stereo", 128_000)),
        (6, None, (6, "5.1", 384_000)),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_layouts_that_aac_holds_are_kept_and_others_mixed_to_stereo(
    channels: int, layout: str | None, expected: tuple[int, str, int]
) -> None:
    (target,) = audio_targets(HLS, media(audio=(sound(channels=channels, layout=layout),)))
    assert (target.channels, target.layout, target.bit_rate) == expected


@pytest.mark.parametrize(("channels", "layout"), [(4, "ambisonic 1"), (16, "ambisonic 3"), (12, None)])
def test_layouts_that_cannot_be_mixed_are_refused_at_once(channels: int, layout: str | None) -> None:
    with pytest.raises(InputNotSupported, match="Audio stream 1 has the layout"):
        audio_targets(HLS, media(audio=(sound(channels=channels, layout=layout),)))


@pytest.mark.parametrize(
    ("rate", "expected"), [(48000, 48000), (44100, 44100), (96000, 96000), (8000, 8000), (192000, 48000), (37800, 48000)]
)
def test_sample_rates_that_aac_holds_are_kept(rate: int, expected: int) -> None:
    (target,) = audio_targets(HLS, media(audio=(sound(sample_rate=rate),)))
    assert target.sample_rate == expected


def test_a_low_sample_rate_gets_no_more_bits_than_a_frame_holds() -> None:
    (target,) = audio_targets(HLS, media(audio=(sound(sample_rate=8000, channels=1, layout="mono"),)))
    assert target.bit_rate == 32_000


def test_every_kept_stream_is_encoded_in_its_order() -> None:
    info = media(audio=(sound(index=1, language="eng"), sound(index=2, language="deu")))
    assert [target.stream.language for target in audio_targets(HLS, info)] == ["eng", "deu"]
