from __future__ import annotations

from fractions import Fraction
from urllib.parse import urljoin

import m3u8
import pytest

from include.ffmpeg_ops.playlist import (
    AudioRendition,
    BitRates,
    Segment,
    Variant,
    bit_rates,
    codec_string,
    language_tag,
    master_playlist,
    media_playlist,
    read_media_playlist,
    rename_segments,
    safe_language,
    uri,
    uri_path,
)

MEDIA = """#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:7
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-INDEPENDENT-SEGMENTS
#EXTINF:6.006000,
00000.ts
#EXTINF:6.006000,
00001.ts
#EXTINF:1.234567,
00002.ts
#EXT-X-ENDLIST
"""

NAMES = [
    "plain",
    "two words",
    "a#b",
    "100%",
    "a+b",
    "中文",
    "🎬",
    "-dash",
    "a:b",
    "a?b=c&d",
    'quo"te',
    "it's",
    "new\nline",
    "..",
    "%20",
]


def variant(path: str = "low/clip.m3u8", *, has_audio: bool = True, rate: Fraction = Fraction(25)) -> Variant:
    return Variant(path, BitRates(900_000, 500_000), 854, 480, rate, "avc1.64001F", "mp4a.40.2" if has_audio else None)


def audio(
    path: str, language: str | None, title: str | None = None, *, channels: int = 2, default: bool = False
) -> AudioRendition:
    return AudioRendition(path, BitRates(130_000, 128_000), language, title, channels, default)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_comes_back_from_its_uri(name: str) -> None:
    reference = uri(f"hls0800k/{name}.m3u8")
    assert uri_path(reference) == f"hls0800k/{name}.m3u8"
    assert reference.isascii()
    assert not set(reference) & set(' #?:"\n')


@pytest.mark.parametrize("name", NAMES)
def test_a_uri_resolves_to_a_file_beside_its_playlist(name: str) -> None:
    assert urljoin("https://cdn.example/dst/clip/m.m3u8", uri(f"{name}00000.ts")).startswith("https://cdn.example/dst/clip/")


@pytest.mark.parametrize("name", NAMES)
def test_playlists_with_any_name_are_read_back_the_same(name: str) -> None:
    master = m3u8.loads(master_playlist([variant(f"low/{name}.m3u8")], [audio(f"audio_eng/{name}.m3u8", "eng")]))
    assert uri_path(master.playlists[0].uri) == f"low/{name}.m3u8"
    assert uri_path(master.media[0].uri) == f"audio_eng/{name}.m3u8"
    renamed = read_media_playlist(rename_segments(MEDIA, lambda old: f"{name}{old}"))
    assert [segment.path for segment in renamed.segments] == [f"{name}{number:05d}.ts" for number in range(3)]
    fragmented = read_media_playlist(media_playlist([Segment(f"{name}00000.m4s", 6.0)], f"{name}_init.mp4"))
    assert (fragmented.segments[0].path, fragmented.initialization) == (f"{name}00000.m4s", f"{name}_init.mp4")


def test_the_target_duration_is_the_longest_segment_rounded_to_the_nearest_second() -> None:
    assert read_media_playlist(rename_segments(MEDIA, str)).target_duration == 6
    assert read_media_playlist(rename_segments(MEDIA.replace("1.234567", "6.500000"), str)).target_duration == 7
    assert read_media_playlist(media_playlist([Segment("a", 0.04)], "i")).target_duration == 1


def test_a_media_playlist_keeps_microseconds_and_says_that_it_is_finished_and_independent() -> None:
    made = read_media_playlist(rename_segments(MEDIA.replace("#EXT-X-INDEPENDENT-SEGMENTS\n", ""), str))
    assert [segment.duration for segment in made.segments] == [6.006, 6.006, 1.234567]
    assert made.ended
    assert made.independent
    assert m3u8.loads(media_playlist([Segment("a", 6.0)], "i")).playlist_type == "vod"


@pytest.mark.parametrize(
    ("segments", "target", "peak", "average"),
    [
        pytest.param([(6, 600), (6, 1200), (6, 600)], 6, 1600, 1067, id="largest-segment"),
        pytest.param([(6, 600), (2, 800)], 6, 1400, 1400, id="short-tail-counts-only-with-its-neighbour"),
        pytest.param([(6, 600), (3, 900)], 6, 2400, 1334, id="half-a-target-duration-counts"),
        pytest.param([(3, 300), (3, 900), (3, 900)], 6, 2400, 1867, id="three-short-ones"),
        pytest.param([(0.4, 100)], 1, 2000, 2000, id="all-shorter-than-any-run"),
        pytest.param([], 6, 0, 0, id="empty"),
    ],
)
def test_bit_rates_follow_the_definition_of_rfc_8216(
    segments: list[tuple[float, int]], target: int, peak: int, average: int
) -> None:
    assert bit_rates([Segment("s", duration, size) for duration, size in segments], target) == BitRates(peak, average)


def test_the_codec_is_named_from_the_avc_configuration() -> None:
    assert codec_string(bytes.fromhex("0164001fffe1")) == "avc1.64001F"
    assert codec_string(bytes.fromhex("0142c01effe1")) == "avc1.42C01E"


@pytest.mark.parametrize(
    ("code", "tag"),
    [("eng", "en"), ("deu", "de"), ("ger", "de"), ("chi", "zh"), ("ENG", "en"), ("fil", "fil"), ("en", "en"), ("und", None),
     (None, None), ("", None), ('e"g', None)],
)  # fmt: skip
def test_languages_become_rfc_5646_tags(code: str | None, tag: str | None) -> None:
    assert language_tag(code) == tag


@pytest.mark.parametrize(("code", "safe"), [("eng", "eng"), (None, "und"), ("../x", "und"), ("ENG", "eng"), ("a b", "und")])
def test_languages_in_file_names_are_harmless(code: str | None, safe: str) -> None:
    assert safe_language(code) == safe


def test_the_master_playlist_lists_variants_in_order_with_all_attributes() -> None:
    text = master_playlist([variant("low/c.m3u8"), variant("high/c.m3u8", rate=Fraction(30_000, 1001))])
    master = m3u8.loads(text)
    assert [item.uri for item in master.playlists] == ["low/c.m3u8", "high/c.m3u8"]
    assert master.is_independent_segments
    information = master.playlists[0].stream_info
    assert (information.bandwidth, information.average_bandwidth) == (900_000, 500_000)
    assert information.resolution == (854, 480)
    assert information.codecs == "avc1.64001F,mp4a.40.2"
    assert "FRAME-RATE=25.000," in text
    assert "FRAME-RATE=29.970," in text


def test_a_silent_video_names_no_audio_codec() -> None:
    master = m3u8.loads(master_playlist([variant(has_audio=False)]))
    assert master.playlists[0].stream_info.codecs == "avc1.64001F"


def test_audio_playlists_form_a_group_whose_largest_rate_counts_in_every_variant() -> None:
    loud = AudioRendition("audio_deu/c.m3u8", BitRates(400_000, 390_000), "deu", None, 6, True)
    master = m3u8.loads(master_playlist([variant(has_audio=False)], [audio("audio_eng/c.m3u8", "eng"), loud]))
    information = master.playlists[0].stream_info
    assert (information.bandwidth, information.average_bandwidth) == (1_300_000, 890_000)
    assert (information.audio, information.codecs) == ("audio", "avc1.64001F,mp4a.40.2")
    english, german = master.media
    assert (english.language, english.default, english.autoselect, english.channels) == ("en", "NO", "YES", "2")
    assert (german.language, german.default, german.autoselect, german.channels) == ("de", "YES", "YES", "6")


def test_names_in_the_group_are_unique_and_free_of_quotes() -> None:
    items = [
        audio("a/c.m3u8", "eng", 'Director "Bob"\nSmith'),
        audio("b/c.m3u8", "eng"),
        audio("c/c.m3u8", "eng"),
        audio("d/c.m3u8", None),
    ]
    media = m3u8.loads(master_playlist([variant()], items)).media
    assert [item.name for item in media] == ["Director Bob Smith", "en", "en 2", "Audio 4"]
    assert [item.default for item in media] == ["YES", "NO", "NO", "NO"]
    # Of several streams in a language, players choose by themselves only among one (RFC 8216, 4.3.4.1).
    assert [item.autoselect for item in media] == ["YES", "NO", "NO", "YES"]
    assert media[3].language is None
