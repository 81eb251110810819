"""HLS playlists (RFC 8216): bit rates, codecs, languages, and the text itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import quote, unquote

import m3u8

__all__ = [
    "AudioRendition",
    "BitRates",
    "MediaPlaylist",
    "Segment",
    "Variant",
    "audio_codec_string",
    "bit_rates",
    "codec_string",
    "hevc_codec_string",
    "language_tag",
    "master_playlist",
    "media_playlist",
    "read_media_playlist",
    "rename_segments",
    "safe_language",
    "uri",
    "uri_path",
]

AAC_LC = "mp4a.40.2"
_AUDIO_CODECS = {"aac": AAC_LC, "mp3": "mp4a.40.34", "ac3": "ac-3", "eac3": "ec-3"}
AUDIO_GROUP = "audio"


@dataclass(frozen=True)
class Segment:
    """A media segment as its playlist and its file say."""

    path: str
    duration: float
    size: int = 0


@dataclass(frozen=True)
class MediaPlaylist:
    """A media playlist; paths are relative to the playlist and not URL-encoded."""

    segments: tuple[Segment, ...]
    initialization: str | None
    target_duration: int
    ended: bool
    independent: bool


@dataclass(frozen=True)
class BitRates:
    """Peak and average segment bit rate (RFC 8216, 4.1) in bit/s."""

    peak: int
    average: int

    def __add__(self, other: BitRates) -> BitRates:
        return BitRates(self.peak + other.peak, self.average + other.average)


@dataclass(frozen=True)
class Variant:
    """A line of the master playlist; ``path`` is relative to it."""

    path: str
    rates: BitRates
    width: int
    height: int
    frame_rate: Fraction
    video_codec: str
    audio_codec: str | None


@dataclass(frozen=True)
class AudioRendition:
    """An audio playlist of its own; ``language`` is ISO 639-2 as containers keep it."""

    path: str
    rates: BitRates
    language: str | None
    title: str | None
    channels: int
    default: bool
    codec: str = AAC_LC


def uri(path: str) -> str:
    """Return ``path`` as a relative URI reference (RFC 3986): everything but unreserved characters and slashes is encoded."""
    return "/".join(quote(part, safe="") for part in path.split("/"))


def uri_path(reference: str) -> str:
    """Return the path that :func:`uri` encoded."""
    return unquote(reference)


def bit_rates(segments: Iterable[Segment], target_duration: int) -> BitRates:
    """Return the segment bit rates of a media playlist.

    The peak is that of any run of segments that lasts between 0.5 and 1.5 target durations (RFC 8216, 4.1); where no run
    does, because the whole is shorter, it is the average.
    """
    sizes = [(segment.size * 8, segment.duration) for segment in segments]
    seconds = sum(duration for _, duration in sizes)
    average = sum(bits for bits, _ in sizes) / seconds if seconds > 0 else 0.0
    peak = average
    for first in range(len(sizes)):
        bits = 0
        length = 0.0
        for size, duration in sizes[first:]:
            bits += size
            length += duration
            if length > 1.5 * target_duration:
                break
            if length >= 0.5 * target_duration:
                peak = max(peak, bits / length)
    return BitRates(math.ceil(peak), math.ceil(average))


def codec_string(configuration: bytes) -> str:
    """Return RFC 6381's name of an H.264 stream, ``avc1.PPCCLL``, from its AVCDecoderConfigurationRecord."""
    return f"avc1.{configuration[1:4].hex().upper()}"


def hevc_codec_string(configuration: bytes) -> str:
    """Return the name of an H.265 stream, ``hvc1.…`` (ISO/IEC 14496-15, E.3), from its HEVCDecoderConfigurationRecord."""
    profile = configuration[1]
    space = ("", "A", "B", "C")[profile >> 6]
    compatible = int(f"{int.from_bytes(configuration[2:6], 'big'):032b}"[::-1], 2)
    constraints = configuration[6:12].rstrip(b"\0")
    parts = [f"hvc1.{space}{profile & 31}", f"{compatible:X}", f"{'H' if profile & 32 else 'L'}{configuration[12]}"]
    return ".".join([*parts, *(f"{byte:X}" for byte in constraints)])


def audio_codec_string(codec: str) -> str:
    """Return RFC 6381's name of an audio codec by ffprobe's."""
    return _AUDIO_CODECS[codec]


# ISO 639-2 codes (bibliographic ones too) whose RFC 5646 tag is the two-letter code of ISO 639-1; others stay as they are.
_TWO_LETTERS: dict[str, str] = dict(
    re.findall(
        r"(\w+):(\w+)",
        """
        afr:af alb:sq amh:am ara:ar arm:hy aze:az baq:eu bel:be ben:bn bos:bs bul:bg bur:my cat:ca ces:cs chi:zh cym:cy cze:cs
        dan:da deu:de dut:nl ell:el eng:en est:et eus:eu fas:fa fin:fi fra:fr fre:fr geo:ka ger:de gle:ga glg:gl gre:el guj:gu
        heb:he hin:hi hrv:hr hun:hu hye:hy ice:is ind:id isl:is ita:it jpn:ja kan:kn kat:ka kaz:kk khm:km kor:ko lao:lo lat:la
        lav:lv lit:lt ltz:lb mac:mk mal:ml mar:mr may:ms mkd:mk mlt:mt mon:mn msa:ms mya:my nep:ne nld:nl nno:nn nob:nb nor:no
        pan:pa per:fa pol:pl por:pt pus:ps ron:ro rum:ro rus:ru sin:si slk:sk slo:sk slv:sl som:so spa:es sqi:sq srp:sr swa:sw
        swe:sv tam:ta tat:tt tel:te tgl:tl tha:th tib:bo tur:tr ukr:uk urd:ur uzb:uz vie:vi wel:cy yid:yi yue:yue zho:zh
        zul:zu
        """,
    )
)


def language_tag(language: str | None) -> str | None:
    """Return the RFC 5646 tag of an ISO 639-2 code, the code itself where it has no shorter one, ``None`` for no language."""
    code = (language or "").lower()
    if not re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]{2,8})*", code) or code in ("und", "mul", "zxx", "mis"):
        return None
    return _TWO_LETTERS.get(code, code)


def safe_language(language: str | None) -> str:
    """Return an ISO 639 code that may stand in a file name; ``und`` for what is none."""
    code = (language or "").lower()
    return code if re.fullmatch(r"[a-z]{2,3}", code) else "und"


def master_playlist(variants: Sequence[Variant], audio: Sequence[AudioRendition] = ()) -> str:
    """Return the master playlist: variants in the given order, beside them the audio renditions as one group."""
    master = m3u8.M3U8()
    master.version = "6"
    master.is_independent_segments = True
    master.is_variant = True
    for media in _audio_media(audio):
        master.add_media(m3u8.Media(**media))
    # RFC 8216, 4.3.4.2: the largest sum that any playable combination of renditions reaches.
    most = BitRates(max((item.rates.peak for item in audio), default=0), max((item.rates.average for item in audio), default=0))
    for variant in variants:
        rates = variant.rates + most
        heard = dict.fromkeys([*([variant.audio_codec] if variant.audio_codec else []), *(item.codec for item in audio)])
        information: dict[str, Any] = {
            "bandwidth": rates.peak,
            "average_bandwidth": rates.average,
            "resolution": f"{variant.width}x{variant.height}",
            "frame_rate": f"{float(variant.frame_rate):.3f}",
            "codecs": ",".join([variant.video_codec, *heard]),
        }
        if audio:
            information["audio"] = AUDIO_GROUP
        master.add_playlist(m3u8.Playlist(uri(variant.path), information, master.media, None))
    # The library drops trailing zeros; the attribute is customarily written with three decimals.
    return re.sub(r"(?<=,FRAME-RATE=)[\d.]+", lambda match: f"{float(match[0]):.3f}", str(master.dumps()))


def _audio_media(audio: Sequence[AudioRendition]) -> list[dict[str, str | None]]:
    default = next((index for index, item in enumerate(audio) if item.default), 0)
    names: set[str] = set()
    tags: set[str | None] = set()
    media: dict[int, dict[str, str | None]] = {}
    # The default goes first: of several streams of a language, players choose by themselves only among one.
    for index in sorted(range(len(audio)), key=lambda index: index != default):
        item = audio[index]
        tag = language_tag(item.language)
        # A quoted-string holds no quotes and no line breaks (RFC 8216, 4.2).
        title = " ".join(re.sub(r"[\x00-\x1f\x7f\"\u2028\u2029]", " ", item.title or "").split())
        media[index] = {
            "uri": uri(item.path),
            "type": "AUDIO",
            "group_id": AUDIO_GROUP,
            "language": tag,
            "name": _unique(title or tag or f"Audio {index + 1}", names),
            "default": "YES" if index == default else "NO",
            "autoselect": "YES" if tag not in tags else "NO",
            "channels": str(item.channels),
        }
        tags.add(tag)
    return [media[index] for index in range(len(audio))]


def _unique(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name} {number}"
    taken.add(found)
    return found


def read_media_playlist(text: str, size_of: Callable[[str], int] = lambda path: 0) -> MediaPlaylist:
    """Read a media playlist; ``size_of`` tells the bytes of a segment by its path."""
    parsed = m3u8.loads(text)
    starts = {segment.init_section.uri for segment in parsed.segments if segment.init_section}
    paths = [uri_path(segment.uri) for segment in parsed.segments]
    return MediaPlaylist(
        tuple(
            Segment(path, float(segment.duration), size_of(path)) for path, segment in zip(paths, parsed.segments, strict=True)
        ),
        uri_path(starts.pop()) if len(starts) == 1 else None,
        int(parsed.target_duration or 0),
        bool(parsed.is_endlist),
        bool(parsed.is_independent_segments),
    )


def rename_segments(text: str, rename: Callable[[str], str]) -> str:
    """Return a media playlist with every file renamed (and URL-encoded), and the least allowed target duration."""
    parsed = m3u8.loads(text)
    for segment in parsed.segments:
        segment.uri = uri(rename(segment.uri))
        if segment.init_section:
            segment.init_section.uri = uri(rename(segment.init_section.uri))
    parsed.target_duration = _target_duration([float(segment.duration) for segment in parsed.segments])
    # ffmpeg does not say so of sound, where every segment is.
    parsed.is_independent_segments = True
    return str(parsed.dumps(infspec="microsecond"))


def media_playlist(segments: Sequence[Segment], initialization: str) -> str:
    """Return the playlist of fMP4 segments; paths are relative to it."""
    parsed = m3u8.M3U8()
    parsed.version = "7"
    parsed.is_independent_segments = parsed.is_endlist = True
    parsed.playlist_type = "vod"
    parsed.target_duration = _target_duration([segment.duration for segment in segments])
    start = {"uri": uri(initialization)}
    for segment in segments:
        parsed.add_segment(m3u8.Segment(uri(segment.path), duration=segment.duration, init_section=start))
    return str(parsed.dumps(infspec="microsecond"))


def _target_duration(durations: Sequence[float]) -> int:
    # RFC 8216, 4.3.3.1: EXTINF, rounded to the nearest integer, is at most this.
    return max([1, *(math.floor(duration + 0.5) for duration in durations)])
