"""Audio of a profile: what each format and container takes, and what a source's stream becomes. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from include.errors import OutputNotSupported
from include.ffmpeg_ops.encodings import Encoding

__all__ = ["FORMATS", "Sound", "SoundFormat", "audio_options", "check_sound", "choose_sound"]

_LSF = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


@dataclass(frozen=True)
class SoundFormat:
    """What a format can be; rates in Hz, bit rates in kbit/s by the lowest sample rate that has them, empty: any."""

    name: str
    encoder: str
    codec: str
    rates: tuple[int, ...]
    most_channels: int
    bit_rates: Mapping[int, Sequence[int]]
    default_bit_rates: tuple[int, ...]
    """kbit/s for one channel, two, and each channel of more"""
    only_channels: int | None = None
    profile: str | None = None

    def bit_rates_at(self, sample_rate: int, channels: int) -> tuple[int, ...]:
        """Return the bit rates, bit/s, rising; empty: any."""
        lowest = max((rate for rate in self.bit_rates if rate <= sample_rate), default=None)
        found = () if lowest is None else self.bit_rates[lowest]
        if self.name == "mp2" and lowest == 32_000:
            # ISO/IEC 11172-3, 2.4.2.3
            found = [rate for rate in found if (rate <= 192 if channels == 1 else rate not in {32, 48, 56, 80})]
        return tuple(1000 * rate for rate in found)


_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
FORMATS = {
    "aac": SoundFormat("aac", "aac", "aac", _AAC_RATES, 8, {}, (64, 128, 64)),
    # Parametric stereo: two channels and no others.
    "aache2": SoundFormat(
        "aache2", "libfdk_aac", "aac", (32000, 44100, 48000), 2, {}, (48, 48, 48), only_channels=2, profile="aac_he_v2"
    ),
    "mp3": SoundFormat(
        "mp3",
        "libmp3lame",
        "mp3",
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        2,
        {
            8000: (8, 16, 24, 32, 40, 48, 56, 64),
            16000: _LSF,
            32000: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
        },
        (64, 128, 64),
    ),
    "ac3": SoundFormat(
        "ac3",
        "ac3",
        "ac3",
        (32000, 44100, 48000),
        6,
        {32000: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)},
        (96, 192, 80),
    ),
    "mp2": SoundFormat(
        "mp2",
        "mp2",
        "mp2",
        (16000, 22050, 24000, 32000, 44100, 48000),
        2,
        {16000: _LSF, 32000: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)},
        (96, 192, 96),
    ),
}
# A tag of FLV has two bits for the rate of MP3; AAC tells its own.
_FLV_MP3_RATES = (11025, 22050, 44100)
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_MOST_BITS_A_SAMPLE = 6  # ISO/IEC 14496-3: an AAC frame of 1024 samples holds 6144 bits a channel


@dataclass(frozen=True)
class Sound:
    """How one stream is encoded; ``layout`` is ffmpeg's name, rates in Hz and bit/s."""

    format: SoundFormat
    channels: int
    layout: str
    sample_rate: int
    bit_rate: int


def audio_options(format: str, bit_rate: int) -> tuple[str, ...]:
    """Return ffmpeg's output options that encode one of :data:`FORMATS`; channels and sample rate are the caller's to set."""
    chosen = FORMATS[format]
    profile = ("-profile:a", chosen.profile) if chosen.profile else ()
    return ("-c:a", chosen.encoder, *profile, "-b:a", str(bit_rate), "-flags:a", "+bitexact")


def check_sound(encoding: Encoding, container: str) -> None:
    """Raise :class:`OutputNotSupported` for what the profile names and its audio format cannot be, whatever the source."""
    if encoding.audio_format == "copy":
        return
    format = FORMATS[encoding.audio_format]
    channels = encoding.channels or format.only_channels
    if encoding.channels and (encoding.channels not in _LAYOUTS or encoding.channels > format.most_channels):
        raise OutputNotSupported(f"{format.name} has no layout of {encoding.channels} channels; most are {format.most_channels}.")
    if format.only_channels and channels != format.only_channels:
        raise OutputNotSupported(f"{format.name} has {format.only_channels} channels, not {encoding.channels}.")
    rates = _rates(format, container)
    if encoding.audio_samplerate and encoding.audio_samplerate not in rates:
        raise OutputNotSupported(
            f"{format.name} in {container} has no sample rate of {encoding.audio_samplerate} Hz; "
            f"there are {', '.join(map(str, rates))}."
        )
    if encoding.audio_bitrate and channels and encoding.audio_samplerate:
        _check_bit_rate(format, encoding.audio_bitrate, encoding.audio_samplerate, channels)


def choose_sound(encoding: Encoding, container: str, *, channels: int, sample_rate: int, layout: str | None = None) -> Sound:
    """Return what a stream with ``channels`` at ``sample_rate`` becomes; the profile's audio format is not ``copy``.

    What the profile does not name stays as it is, where the format can have it: else fewer channels, the next higher sample
    rate (or the highest). ``layout`` is the source's as AAC has it. Raises :class:`OutputNotSupported`.
    """
    check_sound(encoding, container)
    format = FORMATS[encoding.audio_format]
    wanted = encoding.channels or format.only_channels
    count = wanted or min(channels, format.most_channels)
    if layout is None or (wanted and wanted != channels) or count < channels:
        count = count if count in _LAYOUTS else 2
        layout = _LAYOUTS[count]
    rates = _rates(format, container)
    rate = encoding.audio_samplerate or rates[min(bisect_left(rates, sample_rate), len(rates) - 1)]
    if encoding.audio_bitrate:
        _check_bit_rate(format, encoding.audio_bitrate, rate, count)
    return Sound(format, count, layout, rate, encoding.audio_bitrate or _default_bit_rate(format, rate, count))


def _rates(format: SoundFormat, container: str) -> tuple[int, ...]:
    return _FLV_MP3_RATES if (format.name, container) == ("mp3", "flv") else format.rates


def _check_bit_rate(format: SoundFormat, bit_rate: int, sample_rate: int, channels: int) -> None:
    allowed = format.bit_rates_at(sample_rate, channels)
    where = f"{format.name} of {channels} channel{'s' * (channels > 1)} at {sample_rate} Hz"
    if allowed and bit_rate not in allowed:
        raise OutputNotSupported(f"{where} has no bit rate of {bit_rate}; there are {', '.join(map(str, allowed))}.")
    most = _MOST_BITS_A_SAMPLE * sample_rate * channels
    if not allowed and bit_rate > most:
        raise OutputNotSupported(f"{where} has at most {most} bit/s, not {bit_rate}.")


def _default_bit_rate(format: SoundFormat, sample_rate: int, channels: int) -> int:
    mono, stereo, each = format.default_bit_rates
    wanted = 1000 * {1: mono, 2: stereo}.get(channels, each * channels)
    allowed = format.bit_rates_at(sample_rate, channels)
    if allowed:
        return max([rate for rate in allowed if rate <= wanted] or [allowed[0]])
    return min(wanted, 384_000, 4 * sample_rate * channels)
