"""Which profiles there can be."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from include.errors import MediaError, OutputNotSupported, ParameterError
from include.ffmpeg_ops.compatibility import check_profile, check_targets, container_of
from include.ffmpeg_ops.encodings import Encoding, TaskProfile
from include.ffmpeg_ops.named_profiles import named_profile, shipped_profiles
from include.ffmpeg_ops.tools import encoders

ALL = frozenset(("libx264", "libx265", "mpeg2video", "aac", "libfdk_aac", "libmp3lame", "ac3", "mp2"))
CONTAINERS, FORMATS = ("flv", "mp4", "m3u8", "mpegts", "copy"), ("mpeg2", "h264", "h265", "copy")
SOUNDS = ("aac", "aache2", "mp3", "ac3", "mp2", "copy")


def of(*encodings: Encoding, **fields: Any) -> TaskProfile:
    return TaskProfile(profile_name="tested", encodings=encodings or (Encoding(**fields),))


def ladder(**second: Any) -> TaskProfile:
    common = {"container": "m3u8", "bitrate": 500_000}
    return of(Encoding(**common, height=360), Encoding(**common | {"height": 720} | second))


def test_every_container_has_its_formats_and_every_other_combination_is_refused_with_the_reason() -> None:
    refused, reasons = set(), set()
    for container, format, sound in product(CONTAINERS, FORMATS, SOUNDS):
        try:
            check_profile(of(container=container, format=format, audio_format=sound), ALL)
        except OutputNotSupported as error:
            refused.add((container, format, sound))
            reasons.add(error.message.partition(";")[0])
    flv = {
        ("flv", format, sound)
        for format, sound in product(FORMATS, SOUNDS)
        if format in {"mpeg2", "h265"} or sound in {"ac3", "mp2"}
    }
    hls = {("m3u8", format, sound) for format, sound in product(FORMATS, SOUNDS) if format == "mpeg2" or sound == "mp2"}
    assert refused == flv | hls | {("mp4", format, "mp2") for format in FORMATS}
    assert all(" output does not hold " in reason for reason in reasons)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 853}, "width 853 is odd"),
        ({"format": "mpeg2", "container": "mpegts", "framerate": "10"}, "no frame rate of 10"),
        ({"format": "mpeg2", "container": "mpegts", "gop_size": 601}, "at most 600 frames"),
        ({"format": "mpeg2", "container": "mpegts", "width": 4096, "height": 64}, "width or a height of 4096"),
        ({"audio_format": "mp3", "channels": 3}, "mp3 has no layout of 3 channels"),
    ],
)
def test_what_a_format_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(OutputNotSupported, match=message):
        check_profile(of(**fields), ALL)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (of(rc_mode="cbr"), "rc_mode cbr needs a bitrate"),
        (of(rc_mode="2passvbr"), "rc_mode 2passvbr needs a bitrate"),
        (of(format="copy", bitrate=100_000), "format copy does not encode again, so it has no bitrate"),
        (of(audio_format="copy", channels=2), "audio_format copy does not encode again, so it has no channels"),
        (of(Encoding(), Encoding(height=360)), "Only an m3u8 output holds several encodings"),
        (ladder(format="h265"), "must have the same format"),
        (ladder(gop_size=25), "must have the same gop_size"),
        (ladder(audio_bitrate=96_000), "must have the same audio_bitrate"),
        (of(*[Encoding(container="m3u8", format="copy")] * 2), "A ladder of copies"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(profile: TaskProfile, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        check_profile(profile, ALL)


def test_an_encoder_that_this_ffmpeg_lacks_is_named() -> None:
    with pytest.raises(OutputNotSupported, match=r"without an encoder for aache2 \(libfdk_aac\)"):
        check_profile(of(audio_format="aache2"), ALL - {"libfdk_aac"})
    with pytest.raises(OutputNotSupported, match=r"encoding 2 of the profile tested: .* for h265 \(libx265\)"):
        check_profile(of(Encoding(container="m3u8"), Encoding(container="m3u8", format="h265")), ALL - {"libx265"})


def test_the_shipped_profiles_are_what_this_ffmpeg_can_do() -> None:
    found = shipped_profiles()
    assert {"hls_ladder_h264", "archive_h265", "broadcast_mpeg2", "remux_mp4", "film_2pass_720p"} == set(found)
    for profile in found.values():
        check_profile(profile, encoders())
        assert named_profile(profile.profile_name) == profile


def test_a_name_that_says_all_itself_is_a_profile() -> None:
    profile = named_profile("video_mp4_1280x720_1728kbps")
    assert profile is not None
    (encoding,) = profile.encodings
    assert encoding == Encoding(container="mp4", width=1280, height=720, bitrate=1_728_000)
    assert named_profile("video_m3u8_640x360_600kbps") is not None


@pytest.mark.parametrize("name", ["video_avi_640x360_600kbps", "video_mp4_64x32_600kbps", "video_mp4_640x360_1kbps", "other", ""])
def test_other_names_are_none(name: str) -> None:
    assert named_profile(name) is None


@pytest.mark.parametrize(
    ("container", "keys", "message"),
    [
        ("m3u8", ["a/b.mp4"], "ends with .m3u8"),
        ("mp4", ["a/b.m3u8"], "does not end with .m3u8"),
        ("m3u8", ["a/.m3u8"], "1 to 240 bytes"),
        ("m3u8", [f"a/{'n' * 241}.m3u8"], "1 to 240 bytes"),
        ("mp4", ["a/b.mp4", "a/b.mp4"], "named twice"),
    ],
)
def test_targets_and_containers_that_cannot_go_together_are_refused(container: str, keys: list[str], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        check_targets(of(container=container), keys)


def test_targets_go_with_their_container() -> None:
    check_targets(of(container="m3u8"), ["a/b.m3u8", "a/c.m3u8", f"a/{'n' * 240}.m3u8"])
    check_targets(of(container="mp4"), ["a/b.mp4", "a/b"])


@pytest.mark.parametrize(("format", "container"), [("mov,mp4,m4a,3gp,3g2,mj2", "mp4"), ("flv", "flv"), ("mpegts", "mpegts")])
def test_the_container_copy_is_the_sources(format: str, container: str) -> None:
    assert container_of(Encoding(container="copy"), format) == container
    assert container_of(Encoding(container="m3u8"), format) == "m3u8"


def test_a_source_in_a_container_that_is_not_written_cannot_keep_it() -> None:
    with pytest.raises(MediaError, match="not written as the source is, matroska,webm"):
        container_of(Encoding(container="copy"), "matroska,webm")
