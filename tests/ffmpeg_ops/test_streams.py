"""What recorded ffprobe documents of two ffmpeg versions are read as."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from include.errors import InputNotSupported, InvalidInputData
from include.ffmpeg_ops import streams
from include.ffmpeg_ops.models import Color

PROBES = Path(__file__).parent.parent / "probes"
VERSIONS = ["5.1", "8.1"]


def recorded(name: str, version: str) -> list[dict[str, Any]]:
    return json.loads((PROBES / f"{name}-{version}.json").read_text())["streams"]


def video(**fields: Any) -> dict[str, Any]:
    return {"index": 0, "codec_type": "video", "codec_name": "h264", "width": 640, "height": 360, **fields}


def audio(**fields: Any) -> dict[str, Any]:
    return {"index": 1, "codec_type": "audio", "codec_name": "aac", "channels": 2, "sample_rate": "48000", **fields}


def matrix(a: float, b: float, c: float, d: float) -> dict[str, Any]:
    rows = [[a, b, 0], [c, d, 0], [0, 0, 1 << 14]]
    text = "".join(f"\n{n:08}: " + "".join(f"{round(value * 65536):12d}" for value in row) for n, row in enumerate(rows))
    return {"side_data_list": [{"side_data_type": "Display Matrix", "displaymatrix": text + "\n"}]}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_quarter_turn_swaps_the_sides_that_viewers_see(version: str) -> None:
    shown = streams.picture(streams.select(recorded("rotated_90", version)).video)
    assert (shown.width, shown.height, shown.rotation, shown.flipped) == (72, 128, 90, False)
    assert (shown.display_width, shown.display_height) == (128, 72)


def test_sound_that_cannot_be_decoded_is_left_out_where_there_is_other_sound() -> None:
    def why_not(stream: Any) -> str | None:
        return f"it is {stream['codec_name']}, for which there is no decoder" if stream["codec_name"] == "ac4" else None

    both = streams.select([video(), audio(codec_name="ac4"), audio(index=2)], why_not)
    assert [stream["index"] for stream in both.audio] == [2]
    assert [(stream.index, stream.reason) for stream in both.dropped] == [(1, "it is ac4, for which there is no decoder")]
    with pytest.raises(InputNotSupported, match=r"audio \(stream 1\) cannot be read: it is ac4, for which"):
        streams.select([video(), audio(codec_name="ac4")], why_not)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_mirrored_turn_is_told_as_mirror_then_turn(version: str) -> None:
    assert streams.orientation(streams.select(recorded("rotated_90_flipped", version)).video) == (270, True)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((1, 0, 0, 1), (0, False)),
        ((0, 1, -1, 0), (90, False)),
        ((-1, 0, 0, -1), (180, False)),
        ((0, -1, 1, 0), (270, False)),
        ((-1, 0, 0, 1), (0, True)),
        ((1, 0, 0, -1), (180, True)),
        ((2, 0, 0, 2), (0, False)),
        ((0.999, 0.03, -0.03, 0.999), (0, False)),
        ((0, 0, 0, 0), (0, False)),
    ],
    ids=["none", "90", "180", "270", "mirrored", "upside down mirror", "scaled", "almost straight", "nonsense"],
)
def test_display_matrices_are_read(numbers: tuple[float, float, float, float], expected: tuple[int, bool]) -> None:
    assert streams.orientation(video(**matrix(*numbers))) == expected


def test_a_slanted_picture_is_refused() -> None:
    with pytest.raises(InputNotSupported, match="turned by 30 degrees"):
        streams.orientation(video(**matrix(0.866, 0.5, -0.5, 0.866)))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sample_aspect_ratio_widens_the_picture(version: str) -> None:
    shown = streams.picture(streams.select(recorded("anamorphic", version)).video)
    assert (shown.sar, shown.display_width, shown.display_height) == (Fraction(16, 11), 209, 96)


@pytest.mark.parametrize("sar", ["0:1", "N/A", "1:1", None], ids=str)
def test_a_missing_sample_aspect_ratio_means_square_pixels(sar: str | None) -> None:
    assert streams.picture(video(sample_aspect_ratio=sar)).display_width == 640


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("clip", "expected", "hdr"),
    [
        ("hdr_pq", Color(range="tv", matrix="bt2020nc", primaries="bt2020", transfer="smpte2084"), "pq"),
        ("hdr_hlg", Color(range="tv", matrix="bt2020nc", primaries="bt2020", transfer="arib-std-b67"), "hlg"),
        ("full_range", Color(range="pc", matrix="bt709", primaries="bt709", transfer="bt709"), None),
        ("rotated_90", Color(), None),
    ],
    ids=["pq", "hlg", "full range", "untagged"],
)
def test_colour_tags_are_read(clip: str, expected: Color, hdr: str | None, version: str) -> None:
    found = streams.color(streams.select(recorded(clip, version)).video)
    assert found == expected
    assert found.hdr == hdr


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"pix_fmt": "gray10le"}, "pc"),
        ({"pix_fmt": "gray", "color_range": "tv"}, "tv"),
        ({"pix_fmt": "yuvj420p"}, "pc"),
        ({"pix_fmt": "yuv420p"}, None),
    ],
    ids=["grey", "grey that says otherwise", "jpeg", "yuv"],
)
def test_a_range_that_is_not_told_follows_the_pixel_format(fields: dict[str, str], expected: str | None) -> None:
    assert streams.color(video(**fields)).range == expected


@pytest.mark.parametrize(
    ("pix_fmt", "bits"),
    [
        ("yuv420p", 8),
        ("yuvj422p", 8),
        ("nv12", 8),
        ("nv16", 8),
        ("nv20le", 10),
        ("pal8", 8),
        ("rgb24", 8),
        ("bgr0", 8),
        ("gray", 8),
        ("yuv420p10le", 10),
        ("yuv422p12be", 12),
        ("yuv444p9le", 9),
        ("yuva444p16le", 16),
        ("p010le", 10),
        ("p216le", 16),
        ("y210le", 10),
        ("gbrp14le", 14),
        ("gray12le", 12),
        ("xyz12le", 12),
        ("x2rgb10le", 10),
        ("rgb48le", 16),
        ("rgba64le", 16),
        ("ya16le", 16),
        ("xv30le", 10),
        ("ayuv64le", 16),
    ],
)
def test_bit_depth_follows_the_pixel_format(pix_fmt: str, bits: int) -> None:
    assert streams.bit_depth(video(pix_fmt=pix_fmt)) == bits


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cover_is_no_video_and_is_reported(version: str) -> None:
    chosen = streams.select(recorded("cover_art", version))
    assert chosen.video["codec_name"] == "h264"
    assert [(stream.codec, stream.reason) for stream in chosen.dropped] == [("mjpeg", "an attached picture, not video")]


@pytest.mark.parametrize("version", VERSIONS)
def test_subtitles_and_timecode_are_dropped_and_reported(version: str) -> None:
    chosen = streams.select(recorded("subtitles", version))
    assert [stream.kind for stream in chosen.dropped] == ["subtitle", "data"]
    assert len(chosen.audio) == 1


def test_the_default_video_wins_over_a_larger_one() -> None:
    small, large = video(disposition={"default": 1}), video(index=1, width=1920, height=1080)
    assert streams.select([small, large]).video is small
    assert streams.select([video(), large]).video is large


def test_the_first_of_equal_videos_wins() -> None:
    first, second = video(), video(index=1)
    chosen = streams.select([first, second])
    assert chosen.video is first
    assert [stream.index for stream in chosen.dropped] == [1]


def test_a_source_without_video_says_what_it_has() -> None:
    with pytest.raises(InvalidInputData, match=r"no video stream\. Found: stream 1 is audio"):
        streams.select([audio()])


def test_unreadable_audio_is_dropped_where_other_audio_can_be_read() -> None:
    chosen = streams.select([video(), audio(codec_name="unknown", codec_tag_string="zz0a"), audio(index=2)])
    assert [stream["index"] for stream in chosen.audio] == [2]
    assert [(stream.index, stream.reason) for stream in chosen.dropped] == [(1, "its codec (zz0a) is unknown")]


@pytest.mark.parametrize(
    "stream",
    [audio(codec_name="none"), {**audio(), "codec_name": None}, audio(channels=0), audio(sample_rate="0")],
    ids=["none", "missing", "no channels", "no sample rate"],
)
def test_a_source_whose_only_audio_is_unreadable_is_refused(stream: dict[str, Any]) -> None:
    with pytest.raises(InputNotSupported, match=r"audio \(stream 1\) cannot be read"):
        streams.select([video(), stream])


def test_pictures_are_a_video_where_there_are_several_and_no_other_video() -> None:
    pictures, one = video(codec_name="jpeg2000"), video(index=1, codec_name="png", nb_frames="1")
    chosen = streams.select([one, pictures])
    assert chosen.video is pictures
    assert [(stream.index, stream.reason) for stream in chosen.dropped] == [(1, "a still picture, not video")]
    small = video(index=2, width=64, height=36)
    assert streams.select([pictures, small]).video is small
    with pytest.raises(InvalidInputData, match="a still picture"):
        streams.select([one])
