"""What a profile's audio comes to."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import OutputNotSupported
from include.ffmpeg_ops.encodings import Encoding
from include.ffmpeg_ops.sounds import audio_options, choose_sound


def chosen(of_source: int = 2, sample_rate: int = 48_000, container: str = "mpegts", **fields: Any) -> tuple[int, int, int]:
    sound = choose_sound(Encoding(**fields), container, channels=of_source, sample_rate=sample_rate)
    return sound.channels, sound.sample_rate, sound.bit_rate


@pytest.mark.parametrize(
    ("channels", "sample_rate", "fields", "expected"),
    [
        (2, 48_000, {}, (2, 48_000, 128_000)),
        (6, 44_100, {}, (6, 44_100, 384_000)),
        (1, 8_000, {}, (1, 8_000, 32_000)),
        (7, 48_000, {}, (2, 48_000, 128_000)),
        (2, 192_000, {}, (2, 96_000, 128_000)),
        (6, 48_000, {"audio_format": "mp3"}, (2, 48_000, 128_000)),
        (1, 22_050, {"audio_format": "mp3"}, (1, 22_050, 64_000)),
        (2, 8_000, {"audio_format": "mp3"}, (2, 8_000, 64_000)),
        (6, 22_050, {"audio_format": "ac3"}, (6, 32_000, 448_000)),
        (8, 48_000, {"audio_format": "ac3"}, (6, 48_000, 448_000)),
        (2, 96_000, {"audio_format": "mp2"}, (2, 48_000, 192_000)),
        (6, 48_000, {"channels": 1, "audio_samplerate": 32_000, "audio_bitrate": 96_000}, (1, 32_000, 96_000)),
        (1, 48_000, {"channels": 6}, (6, 48_000, 384_000)),
        (1, 48_000, {"audio_format": "aache2"}, (2, 48_000, 48_000)),
    ],
)
def test_what_is_not_named_stays_as_near_to_the_source_as_the_format_can(
    channels: int, sample_rate: int, fields: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    assert chosen(channels, sample_rate, **fields) == expected


def test_mp3_in_flv_has_the_rates_that_its_tags_can_tell() -> None:
    assert chosen(container="flv", audio_format="mp3")[1] == 44_100
    assert chosen(sample_rate=12_000, container="flv", audio_format="mp3")[1] == 22_050


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"audio_format": "mp3", "channels": 6}, "mp3 has no layout of 6 channels"),
        ({"channels": 7}, "aac has no layout of 7 channels"),
        ({"audio_format": "aache2", "channels": 1}, "aache2 has 2 channels, not 1"),
        ({"audio_format": "ac3", "audio_samplerate": 22_050}, "ac3 in mpegts has no sample rate of 22050 Hz; there are 32000, "),
        ({"audio_format": "mp3", "audio_bitrate": 100_000}, "mp3 of 2 channels at 48000 Hz has no bit rate of 100000"),
        ({"audio_format": "mp2", "audio_bitrate": 48_000}, "mp2 of 2 channels at 48000 Hz has no bit rate of 48000"),
        ({"audio_format": "mp2", "audio_bitrate": 256_000, "channels": 1}, "mp2 of 1 channel at 48000 Hz has no bit rate"),
        ({"audio_bitrate": 600_000}, "at most 576000 bit/s"),
    ],
)
def test_what_is_named_and_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(OutputNotSupported, match=message):
        chosen(**fields)


def test_a_sound_comes_to_these_options() -> None:
    assert " ".join(audio_options("mp3", 128_000)) == "-c:a libmp3lame -b:a 128000 -flags:a +bitexact"
    assert audio_options("aache2", 48_000)[:4] == ("-c:a", "libfdk_aac", "-profile:a", "aac_he_v2")
