"""Command lines of live tasks, whole, and what can go together."""

from __future__ import annotations

from fractions import Fraction

import pytest

from include.errors import MediaError, ParameterError
from include.ffmpeg_ops.encodings import Encoding, TaskProfile
from include.ffmpeg_ops.live import commands
from include.ffmpeg_ops.live.check import check_live, container_for
from include.ffmpeg_ops.live.commands import Opened
from include.settings import Settings

SOURCE = Opened("rtmp://192.0.2.1/live/in", "rtmp", ("-rtmp_tcurl", "rtmp://host/live"), "rtmp,tcp")
ENCODING = Encoding(format="h264", bitrate=1_000_000, width=1280, height=720, gop_size=50, framerate=Fraction(25))
COPY = Encoding(container="copy", format="copy", audio_format="copy")


def ingest(encoding: Encoding, source: Opened = SOURCE, *, flv: bool = True, seek: float = 0) -> str:
    command = commands.ingest(source, encoding, flv=flv, offset=12.5, seek=seek, silence=30, pixels=1000, streams=8)
    return " ".join(command.argv)


def test_a_live_source_is_read_with_one_protocol_and_one_container_and_has_limits() -> None:
    assert ingest(COPY) == (
        "ffmpeg -protocol_whitelist rtmp,tcp -format_whitelist live_flv -f live_flv "
        "-rw_timeout 15000000 -rtmp_tcurl rtmp://host/live "
        "-max_pixels 1000 -max_streams 8 -probesize 10000000 -analyzeduration 5000000 -i rtmp://192.0.2.1/live/in "
        "-map 0:V:0 -map 0:a:0? -map_metadata -1 -sn -dn -c:v copy -c:a copy "
        "-max_interleave_delta 1000000 -max_muxing_queue_size 4096 "
        "-f mpegts -muxdelay 0 -muxpreload 0 -flush_packets 1 -output_ts_offset 12.500000 pipe:1"
    )


def test_pictures_are_put_into_the_size_and_rate_that_the_profile_names() -> None:
    argv = ingest(ENCODING)
    assert (
        "-vf bwdif=mode=send_frame:deint=interlaced,fps=25/1,scale='trunc(iw*sar/2)*2':'trunc(ih/2)*2',"
        "scale=1280:720:force_original_aspect_ratio=decrease:force_divisible_by=2,pad=1280:720:(ow-iw)/2:(oh-ih)/2,"
        "setsar=1,format=yuv420p -c:v libx264 "
    ) in argv
    assert " -g 50 -keyint_min 50 " in argv
    assert "passthrough" not in argv


def test_an_encoder_tells_what_its_input_is() -> None:
    assert ingest(ENCODING).startswith("ffmpeg -loglevel level+info -nostats -protocol_whitelist rtmp,tcp ")


def test_where_it_names_none_pictures_keep_their_times_and_keyframes_go_by_seconds() -> None:
    argv = ingest(Encoding(format="h264"))
    assert "-force_key_frames expr:gte(t,n_forced*2) -fps_mode passthrough -enc_time_base 1:90000" in argv
    assert "iw,1280" not in argv
    assert "scale='min(iw,640)':-2" in ingest(Encoding(format="h264", width=640)), "never larger"


def test_sound_becomes_the_same_whatever_the_source_sends() -> None:
    assert "-ac 2 -ar 48000 -c:a aac -b:a 128000" in ingest(ENCODING)
    mp3 = Encoding(format="h264", audio_format="mp3")
    assert "-ar 44100" in ingest(mp3), "FLV has no MP3 of 48 kHz"
    assert "-ar 48000" in ingest(mp3, flv=False)


def test_a_file_is_read_at_its_own_speed_from_where_an_attempt_goes_on() -> None:
    argv = ingest(COPY, Opened("file:/scratch/source", "file"), seek=7.5)
    assert argv.startswith("ffmpeg -protocol_whitelist file,pipe -format_whitelist mov,")
    assert " -re -ss 7.500000 -max_pixels" in argv


@pytest.mark.parametrize(
    ("scheme", "muxer"),
    [
        ("rtmp", "-f flv -flvflags no_duration_filesize"),
        ("srt", "-f mpegts -muxdelay 0 -muxpreload 0 -flush_packets 1 -linger 5"),
        ("udp", "-f mpegts -muxdelay 0 -muxpreload 0 -flush_packets 1"),
    ],
)
def test_a_target_gets_its_protocols_container(scheme: str, muxer: str) -> None:
    target = Opened(f"{scheme}://192.0.2.1:9", scheme, ("-option", "1"), scheme)
    assert " ".join(commands.relay(target).argv) == (
        f"ffmpeg -protocol_whitelist pipe,{scheme} -format_whitelist mpegts -f mpegts "
        f"-probesize 5000000 -analyzeduration 1000000 "
        f"-fpsprobesize 0 -copyts -start_at_zero -i pipe:0 -map 0:v -map 0:a? -c copy {muxer} -option 1 {scheme}://192.0.2.1:9"
    )


@pytest.mark.parametrize(
    ("encodings", "targets", "word"),
    [
        ([{"container": "m3u8"}, {"container": "m3u8", "height": 360}], [("udp", "")], "one encoding"),
        ([{"format": "h265"}], [("udp", ""), ("rtmp", "")], "hevc"),
        ([{"format": "mpeg2"}], [("s3", "a.m3u8")], "mpeg2video"),
        ([{"audio_format": "ac3"}], [("rtmp", "")], "ac3"),
        ([{"audio_format": "mp3", "audio_samplerate": 48_000}], [("s3", "b/a.mp4"), ("rtmp", "")], "48000 Hz"),
        ([{"audio_format": "aac", "audio_bitrate": 640_000}], [("srt", "")], "at most 576000"),
        ([{"container": "copy"}], [("s3", "a.bin")], "named"),
        ([{"container": "m3u8"}], [("s3", "b/live/a")], "ends with .m3u8"),
        ([{}], [("s3", "b/a.m3u8"), ("s3", "b/a.M3U8")], "same segments"),
    ],
    ids=[
        "ladder",
        "hevc to rtmp",
        "mpeg2 as hls",
        "ac3 to rtmp",
        "mp3 of 48 kHz to rtmp",
        "more than stereo sound holds",
        "copy without a name",
        "playlist without a suffix",
        "segments twice",
    ],
)
def test_what_cannot_go_together_is_a_parameter_error(encodings: list[dict], targets: list[tuple[str, str]], word: str) -> None:
    profile = TaskProfile(profile_name="p", encodings=tuple(Encoding(**{"format": "h264", **one}) for one in encodings))
    with pytest.raises(ParameterError, match=word):
        check_live(profile, "udp", targets, Settings())


def test_recordings_may_have_one_name_in_several_folders_and_buckets() -> None:
    profile = TaskProfile(profile_name="p", encodings=(Encoding(format="h264"),))
    targets = [("s3", key) for key in ("b/a.m3u8", "b/live/a.m3u8", "other/a.m3u8", "b/a.mp4")]
    check_live(profile, "rtsp", targets, Settings())


def test_a_protocol_that_ffmpeg_lacks_is_told(tmp_path) -> None:
    ffmpeg = tmp_path / "ffmpeg"
    ffmpeg.write_text("#!/bin/sh\nprintf 'Supported file protocols:\\nInput:\\n  udp\\nOutput:\\n  udp\\n'\n")
    ffmpeg.chmod(0o755)
    settings, profile = Settings(ffmpeg=str(ffmpeg)), TaskProfile(profile_name="p", encodings=(ENCODING,))
    check_live(profile, "udp", [("udp", "")], settings)
    for source, target, code in (("srt", "udp", "InputNotSupported"), ("udp", "srt", "OutputNotSupported")):
        with pytest.raises(MediaError) as raised:
            check_live(profile, source, [(target, "")], settings)
        assert raised.value.code == code


@pytest.mark.parametrize(
    ("container", "scheme", "key", "found"),
    [
        ("mp4", "rtmp", "", "flv"),
        ("flv", "srt", "", "mpegts"),
        ("mp4", "s3", "a/b.mp4", "mp4"),
        ("mp4", "s3", "a/b.m3u8", "m3u8"),
        ("m3u8", "s3", "a/b", "m3u8"),
        ("copy", "s3", "a/b.ts", "mpegts"),
    ],
)
def test_the_scheme_decides_the_container_and_for_objects_the_profile_or_the_name(
    container: str, scheme: str, key: str, found: str
) -> None:
    assert container_for(Encoding(container=container, format="h264"), scheme, key) == found
