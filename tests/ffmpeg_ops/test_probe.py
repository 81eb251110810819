"""What is said of real files: every clip is made by the ffmpeg in use and probed by its ffprobe."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from include.errors import InputNotSupported, InvalidInputData, LimitExceeded
from include.ffmpeg_ops.models import FrameIndex, MediaInfo
from include.ffmpeg_ops.probe import probe
from include.ffmpeg_ops.tools import has_decoder
from include.settings import Settings
from tests.conftest import Clips
from tests.media import CLIPS, ffmpeg, has_encoder, read_frame_numbers

SETTINGS = Settings()
SOUND = [
    name
    for name, recipe in CLIPS.items()
    if recipe.frames and not name.startswith(("truncated", "garbage")) and name != "unknown_audio"
]


def probed(path: Path) -> tuple[MediaInfo, FrameIndex]:
    return probe(path, settings=SETTINGS)


@pytest.mark.sampled(
    "vfr", "edit_list", "mpegts", "fragmented", "interlaced", "video_late", "open_gop_265", "flv", "still_first", "vp9"
)
@pytest.mark.parametrize("name", SOUND)
def test_every_frame_of_a_sound_clip_is_counted_and_timed(clip: Clips, name: str) -> None:
    info, index = probed(clip(name))
    assert info.video.frames == len(index.pts) == clip.frames(name)
    assert all(before < after for before, after in zip(index.pts, index.pts[1:], strict=False))
    assert index.pts[0] == info.video.start_pts
    assert index.end_pts > index.pts[-1]
    assert info.damage == ()
    assert info.epoch <= info.video.start_time
    assert MediaInfo.model_validate_json(info.model_dump_json()) == info


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("plain", Fraction(25)),
        ("film", Fraction(24000, 1001)),
        ("ntsc", Fraction(30000, 1001)),
        ("mkv", Fraction(30000, 1001)),
        ("mkv60", Fraction(60000, 1001)),
        ("mpegts", Fraction(25)),
        ("flv", Fraction(25)),
        ("avi", Fraction(25)),
        ("mpegps", Fraction(25)),
        ("vp8", Fraction(25)),
        ("vp9", Fraction(25)),
        ("edit_list", Fraction(25)),
        ("one_frame", Fraction(25)),
        ("two_frames", Fraction(25)),
        ("interlaced", Fraction(25)),
        ("fields", Fraction(25)),
    ],
)
def test_constant_rates_are_exact(clip: Clips, name: str, rate: Fraction) -> None:
    info, _ = probed(clip(name))
    assert info.video.constant_frame_rate
    assert info.video.frame_rate == rate
    assert info.video.duration == clip.frames(name) / rate


def test_a_phone_clip_has_a_variable_rate(clip: Clips) -> None:
    info, index = probed(clip("vfr"))
    gaps = [after - before for before, after in zip(index.pts, index.pts[1:], strict=False)]
    assert not info.video.constant_frame_rate
    assert index.time_base == Fraction(1, 90000)
    assert 60 < 90000 / min(gaps) < 62
    assert 10 <= 90000 / max(gaps) < 11
    assert info.video.duration == (index.end_pts - index.pts[0]) * index.time_base


def test_what_an_edit_list_hides_is_not_counted(clip: Clips) -> None:
    path = clip("edit_list")
    info, index = probed(path)
    assert read_frame_numbers(path)[0] == 250 - info.video.frames
    assert info.video.start_time == 0
    assert index.keyframes[0].frame > 0


@pytest.mark.parametrize(
    ("name", "video", "audio"),
    [
        ("plain", 0, 0),
        ("audio_late", 0, 0.5),
        ("video_late", 0.5, 0),
        ("start_offset", 21.4, 21.4),
        ("vp9", 0, 0),
        ("edit_list", 0, 0),
    ],
)
def test_start_times_tell_what_is_late(clip: Clips, name: str, video: float, audio: float) -> None:
    info, _ = probed(clip(name))
    # An AAC encoder's priming counts as sound where the container does not hide it: up to 1024 samples.
    assert float(info.video.start_time) == pytest.approx(video, abs=0.03)
    assert float(info.audio[0].start_time) == pytest.approx(audio, abs=0.03)
    assert info.epoch == min(info.video.start_time, info.audio[0].start_time)


def test_the_pixels_of_a_video_that_starts_late_are_known(clip: Clips) -> None:
    info, _ = probed(clip("video_much_later"))
    assert (info.video.pix_fmt, info.video.bit_depth) == ("yuv420p10le", 10)


def test_samples_that_a_codec_needs_to_start_are_not_heard(clip: Clips) -> None:
    info, _ = probed(clip("vp9"))
    assert info.audio[0].codec == "opus"
    assert info.audio[0].start_time == 0


@pytest.mark.parametrize(
    ("name", "unclean"),
    [("plain", False), ("open_gop_264", True), ("open_gop_264_ts", True), ("open_gop_265", True), ("fields", True)],
)
def test_open_gops_are_known_by_their_leading_pictures(clip: Clips, name: str, unclean: bool) -> None:
    _, index = probed(clip(name))
    assert index.keyframes[0].clean
    assert any(not keyframe.clean for keyframe in index.keyframes) == unclean


@pytest.mark.parametrize(
    ("name", "frames"), [("plain", [0, 50, 100, 150, 200]), ("single_keyframe", [0]), ("long_gop", [0, 300, 600])]
)
def test_keyframes_are_where_the_encoder_put_them(clip: Clips, name: str, frames: list[int]) -> None:
    _, index = probed(clip(name))
    assert [keyframe.frame for keyframe in index.keyframes] == frames


@pytest.mark.parametrize(
    ("name", "seekable"), [("plain", True), ("mkv", True), ("mpegts", True), ("avi", False), ("mpegps", False)]
)
def test_containers_that_seek_exactly_are_known(clip: Clips, name: str, seekable: bool) -> None:
    assert probed(clip(name))[0].seekable is seekable


@pytest.mark.parametrize(
    ("name", "rotation", "flipped"),
    [
        ("rotated_90", 90, False),
        ("rotated_180", 180, False),
        ("rotated_270", 270, False),
        ("flipped", 0, True),
        ("rotated_90_flipped", 270, True),
    ],
)
def test_turned_pictures_are_seen_upright(clip: Clips, name: str, rotation: int, flipped: bool) -> None:
    video = probed(clip(name))[0].video
    assert (video.rotation, video.flipped) == (rotation, flipped)
    assert (video.display_width, video.display_height) == (128, 72)


@pytest.mark.parametrize(
    ("name", "size"),
    [("anamorphic", (209, 96)), ("narrow_pixels", (128, 96)), ("odd_size", (405, 720)), ("odd_both", (135, 97))],
)
def test_the_display_size_is_in_square_pixels(clip: Clips, name: str, size: tuple[int, int]) -> None:
    video = probed(clip(name))[0].video
    assert (video.display_width, video.display_height) == size


@pytest.mark.parametrize(("name", "top"), [("interlaced", True), ("fields", False)])
def test_interlaced_video_is_known_with_its_field_order(clip: Clips, name: str, top: bool) -> None:
    video = probed(clip(name))[0].video
    assert video.interlaced
    assert video.top_field_first is top


@pytest.mark.parametrize(
    ("name", "depth", "hdr", "range_"),
    [("plain", 8, None, None), ("ten_bit", 10, None, None), ("hdr_pq", 10, "pq", "tv"), ("hdr_hlg", 10, "hlg", "tv"),
     ("full_range", 8, None, "pc")],
)  # fmt: skip
def test_depth_and_colour_are_read(clip: Clips, name: str, depth: int, hdr: str | None, range_: str | None) -> None:
    video = probed(clip(name))[0].video
    assert (video.bit_depth, video.color.hdr) == (depth, hdr)
    assert range_ is None or video.color.range == range_


def test_every_audio_stream_is_kept_with_its_language(clip: Clips) -> None:
    info, _ = probed(clip("languages"))
    assert [(stream.language, stream.layout, stream.default) for stream in info.audio] == [
        ("eng", "mono", False),
        ("deu", "stereo", True),
    ]


@pytest.mark.parametrize(("name", "layout"), [("surround", "5.1"), ("layout_2.1", "2.1"), ("plain", "mono")])
def test_channel_layouts_have_ffmpegs_names(clip: Clips, name: str, layout: str) -> None:
    assert probed(clip(name))[0].audio[0].layout == layout


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("cover_art", ["video"]),
        ("still_first", ["video"]),
        ("two_videos", ["video"]),
        ("subtitles", ["subtitle", "data"]),
        ("unknown_audio_of_two", ["audio"]),
    ],
)
def test_streams_that_no_output_carries_are_reported(clip: Clips, name: str, kinds: list[str]) -> None:
    info, _ = probed(clip(name))
    assert [stream.kind for stream in info.dropped] == kinds
    assert (info.video.width, info.video.height) == (128, 72)


@pytest.mark.parametrize(
    "name",
    ["truncated", "truncated_moov", "truncated_fragmented", "truncated_mkv", "truncated_ts", "truncated_wmv", "truncated_ogg",
     "garbage_mkv", "garbage_ts"],
)  # fmt: skip
def test_a_damaged_source_fails_at_once(clip: Clips, name: str) -> None:
    with pytest.raises(InvalidInputData) as caught:
        probed(clip(name))
    assert str(clip.folder) not in caught.value.message


@pytest.mark.parametrize("name", ["truncated", "truncated_mkv", "truncated_ts", "garbage_ts", "truncated_fragmented"])
def test_salvage_keeps_what_there_is_and_says_what_is_wrong(clip: Clips, name: str) -> None:
    info, index = probe(clip(name), settings=SETTINGS, damage_policy="salvage")
    assert info.damage
    assert 50 < len(index.pts) <= 250


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("audio_only", InvalidInputData),
        ("picture", InputNotSupported),
        ("still", InputNotSupported),
        ("unknown_audio", InputNotSupported),
    ],
)
def test_what_cannot_be_transcoded_is_refused(clip: Clips, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        probed(clip(name))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", InvalidInputData),
        (b"Hello, this is no video.\n" * 100, InputNotSupported),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n", InputNotSupported),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", InputNotSupported),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41" + b"\x00" * 64, InvalidInputData),
        (bytes(range(256)) * 64, InputNotSupported),
    ],
    ids=["empty", "text", "playlist", "concat", "header only", "noise"],
)
def test_files_that_are_no_media_are_refused(tools: object, tmp_path: Path, content: bytes, error: type[Exception]) -> None:
    path = tmp_path / "upload.mp4"
    path.write_bytes(content)
    with pytest.raises(error) as caught:
        probed(path)
    assert "/etc" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("limit", "value", "variable"),
    [
        ("max_source_seconds", 9, "MEDIA_MAX_SOURCE_SECONDS"),
        ("max_source_pixels", 128 * 72 - 1, "MEDIA_MAX_SOURCE_PIXELS"),
        ("max_source_streams", 1, "MEDIA_MAX_SOURCE_STREAMS"),
    ],
)
def test_limits_name_the_setting_that_raises_them(clip: Clips, limit: str, value: int, variable: str) -> None:
    with pytest.raises(LimitExceeded, match=variable):
        probe(clip("plain"), settings=SETTINGS.model_copy(update={limit: value}))


def test_any_file_name_will_do(clip: Clips, tmp_path: Path) -> None:
    path = tmp_path / "-i %03d 'x' [a];:\n é.mp4"
    shutil.copy(clip("short"), path)
    assert probed(path)[0].video.frames == 50


def test_a_stream_that_starts_between_keyframes_has_the_frames_that_can_be_decoded(clip: Clips, tmp_path: Path) -> None:
    whole = clip("open_gop_264_ts").read_bytes()
    path = tmp_path / "joined_late.ts"
    tables = whole[: 188 * 3]
    path.write_bytes(tables + whole[len(whole) // 188 // 3 * 188 :])
    info, index = probe(path, settings=SETTINGS, damage_policy="salvage")
    assert info.video.frames == len(read_frame_numbers(path)) < 250
    assert index.keyframes[0].frame <= 3


@pytest.mark.parametrize("second", ["mpegts", "open_gop_264_ts"], ids=["the same again", "other frames"])
def test_time_that_jumps_back_is_refused_even_to_salvage(clip: Clips, tmp_path: Path, second: str) -> None:
    path = tmp_path / "joined.ts"
    path.write_bytes(clip("start_offset").read_bytes() + clip(second).read_bytes())
    with pytest.raises(InvalidInputData, match="go back"):
        probe(path, settings=SETTINGS, damage_policy="salvage")


def without(codec: str, tmp_path: Path) -> Settings:
    """Settings of an ffmpeg that says that it has no decoder for ``codec``."""
    path, real = tmp_path / "ffmpeg", shutil.which(SETTINGS.ffmpeg)
    listing = f"{real} \"$@\" | sed 's/^ D\\(.....\\) {codec} / .\\1 {codec} /'"
    path.write_text(f'#!/bin/sh\ncase "$*" in *-codecs*) {listing};; *) exec {real} "$@";; esac\n')
    path.chmod(0o755)
    return Settings(ffmpeg=str(path))


@pytest.mark.parametrize(
    ("name", "codec", "kind"), [("plain", "h264", "video"), ("vp9", "vp9", "video"), ("plain", "aac", "audio")]
)
def test_what_this_ffmpeg_cannot_decode_is_refused_before_any_work(
    clip: Clips, tmp_path: Path, name: str, codec: str, kind: str
) -> None:
    settings = without(codec, tmp_path)
    with pytest.raises(InputNotSupported, match=rf"{kind} .*it is {codec}, for which .* no decoder; install .*MEDIA_FFMPEG"):
        probe(clip(name), settings=settings)


def test_sound_that_is_only_copied_needs_no_decoder(clip: Clips, tmp_path: Path) -> None:
    info, _ = probe(clip("plain"), settings=without("aac", tmp_path), copies_audio=True)
    assert len(info.audio) == 1


def test_a_source_in_av1_is_probed_or_refused_with_what_to_do(tmp_path: Path, clip: Clips) -> None:
    encoder = next((name for name in ("libsvtav1", "libaom-av1") if has_encoder(name)), None)
    if encoder is None:
        pytest.skip("this ffmpeg has no encoder for AV1")
    source = tmp_path / "a.mp4"
    options = ["-frames:v", "5", "-c:v", encoder, "-preset" if encoder == "libsvtav1" else "-cpu-used", "8"]
    subprocess.run([ffmpeg(), "-v", "error", "-i", str(clip("no_audio")), *options, str(source)], check=True, capture_output=True)
    if has_decoder("av1", SETTINGS):
        assert probed(source)[0].video.frames == 5
    with pytest.raises(InputNotSupported, match=r"it is av1, .* built with libdav1d or libaom"):
        probe(source, settings=without("av1", tmp_path))


def test_the_sound_is_that_of_the_videos_own_program(clip: Clips) -> None:
    info, _ = probed(clip("two_programs"))
    assert (info.video.index, [stream.index for stream in info.audio]) == (2, [3])
    reasons = ["another video stream is the main one", "it belongs to another program than the video"]
    assert [stream.reason for stream in info.dropped] == reasons


def test_sound_that_starts_late_is_heard_from_its_first_sample(clip: Clips) -> None:
    info, _ = probed(clip("second_sound_late"))
    # Opus begins with 6.5 ms that are not meant to be heard, which lie before zero in the stream that starts at once.
    early, late = (stream.start_time for stream in info.audio)
    assert (early, late) == (0, Fraction(3001, 1000))


def test_a_source_whose_times_begin_late_is_only_as_long_as_it_is(clip: Clips, tmp_path: Path) -> None:
    source = tmp_path / "late.mkv"
    argv = [ffmpeg(), "-v", "error", "-i", str(clip("short")), "-c", "copy", "-output_ts_offset", "90000", str(source)]
    subprocess.run(argv, check=True)
    info, _ = probed(source)
    assert abs(info.duration - 2) < Fraction(1, 10)
