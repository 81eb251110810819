"""Chooses what is made of a source: its renditions from an encoding profile, and how its audio is encoded. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from math import floor
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from include.errors import InputNotSupported, OutputNotSupported, ParameterError
from include.ffmpeg_ops.models import AudioStream, AudioTarget, MediaInfo, Rung

__all__ = ["AudioRates", "Profile", "RungRule", "audio_targets", "load_profile", "mixed_layout", "parse_profile", "rungs_for"]

FOLDER = Path(__file__).parent / "profiles"
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]


class Strict(BaseModel):
    """Base of what a profile file holds: unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RungRule(Strict):
    """A rendition and the sources that get it."""

    name: str = Field(pattern=r"^[a-z0-9]+$")
    bit_rate: int = Field(gt=0, description="VBV cap in bit/s")
    max_short_side: int = Field(gt=0, description="the picture is scaled down to this, never up")
    crf: float = Field(ge=0, le=51)
    h264_profile: Literal["baseline", "main", "high"] = "high"
    above_short_side: int = Field(0, ge=0, description="only for sources whose short side is larger")
    up_to_short_side: int | None = Field(None, gt=0, description="only for sources whose short side is not larger")
    min_source_bit_rate: int = Field(0, ge=0, description="only for sources with at least this bit/s")

    def wanted(self, short_side: int, bit_rate: int) -> bool:
        """Tell whether a source of that size and rate gets this rendition."""
        fits = self.up_to_short_side is None or short_side <= self.up_to_short_side
        return fits and short_side > self.above_short_side and bit_rate >= self.min_source_bit_rate


class AudioRates(Strict):
    """Bit rates of AAC, bit/s."""

    mono: int = Field(64_000, gt=0)
    stereo: int = Field(128_000, gt=0)
    per_channel: int = Field(64_000, gt=0, description="of layouts with more channels")
    most: int = Field(384_000, gt=0)


class Profile(Strict):
    """An encoding profile: which renditions, how keyframes and segments lie, how audio is encoded."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    container: Literal["hls", "mp4"]
    rungs: tuple[RungRule, ...] = Field(min_length=1)
    preset: Preset
    source_rate_headroom: float = Field(gt=0, description="a rung's cap is at most this times the source's bit rate")
    least_bit_rate: int = Field(gt=0, description="… but never lowered below this, bit/s")
    gop_seconds: Annotated[Fraction, BeforeValidator(lambda value: Fraction(str(value)))] = Field(gt=0)
    segment_seconds: int = Field(gt=0)
    thumbnail_seconds: int | None = Field(gt=0)
    audio: AudioRates = AudioRates()

    @model_validator(mode="after")
    def _check(self) -> Profile:
        if (self.segment_seconds / self.gop_seconds).denominator != 1:
            raise ValueError(
                f"segment_seconds is {self.segment_seconds}, which is no multiple of gop_seconds, {self.gop_seconds}; "
                "segments must start with a keyframe"
            )
        names = [rung.name for rung in self.rungs]
        if len(set(names)) < len(names):
            raise ValueError(f"two rungs have the same name among {', '.join(names)}")
        return self


@lru_cache(maxsize=32)
def load_profile(name: str) -> Profile:
    """Load ``profiles/<name>.yaml``; raises :class:`ParameterError` where there is none or it is wrong."""
    known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if not re.fullmatch(r"[a-z0-9_]+", name) or name not in known:
        raise ParameterError(f"There is no encoding profile {name!r}; there are {', '.join(known)}.")
    return parse_profile(name, (FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def parse_profile(name: str, text: str) -> Profile:
    """Parse a profile; raises :class:`ParameterError` with one sentence that tells what to change."""
    try:
        document = yaml.safe_load(text)
        if not isinstance(document, dict):
            raise ParameterError(f"The encoding profile {name} must be a mapping of fields.")
        return Profile(name=name, **document)
    except yaml.YAMLError as error:
        raise ParameterError(f"The encoding profile {name} is no YAML: {error}.") from error
    except ValidationError as error:
        # One at a time: pydantic reports an error of a list's item once more as an error of the list.
        raise ParameterError(f"The encoding profile {name} is wrong: {_sentence(error.errors()[0])}.") from error


def _sentence(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"the field {where} is unknown"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}" if where else message


def rungs_for(
    profile: Profile,
    info: MediaInfo,
    *,
    source_bit_rate: int | None = None,
    source_height: int | None = None,
    preset: str | None = None,
) -> tuple[Rung, ...]:
    """Return the renditions of a source in ladder order.

    ``source_bit_rate`` (bit/s) and ``source_height`` are what the client says of the source and take the place of what was
    probed in choosing rungs and caps; sizes always follow the picture itself, so nothing is ever scaled up. Raises
    :class:`OutputNotSupported` where the profile has nothing for the source.
    """
    video = info.video
    short_side = 1080 if source_height == 1088 else source_height or video.short_side
    chosen = [rung for rung in profile.rungs if rung.wanted(short_side, source_bit_rate or info.bit_rate)]
    if not chosen:
        raise OutputNotSupported(
            f"The encoding profile {profile.name} has no rendition for a source with a short side of {short_side} and "
            f"{source_bit_rate or info.bit_rate} bit/s; check its rungs."
        )
    own_rate = source_bit_rate or video.bit_rate or info.bit_rate
    cap = max(profile.least_bit_rate, round(profile.source_rate_headroom * own_rate))
    rungs = []
    for rung in chosen:
        width, height = _fit(video.display_width, video.display_height, rung.max_short_side)
        rungs.append(
            Rung(
                name=rung.name,
                width=width,
                height=height,
                bit_rate=min(rung.bit_rate, cap),
                crf=rung.crf,
                preset=preset or profile.preset,
                h264_profile=rung.h264_profile,
            )
        )
    return tuple(rungs)


def _fit(width: int, height: int, max_short_side: int) -> tuple[int, int]:
    """Scale down to the short side and round to even numbers, the long side to the nearest that keeps the aspect."""
    short, long = min(width, height), max(width, height)
    fitted_short = _even_below(min(short, max_short_side))
    exact = Fraction(long * fitted_short, short) if short > max_short_side else Fraction(long)
    fitted_long = min(2 * floor(exact / 2 + Fraction(1, 2)), _even_below(long))
    return (fitted_short, fitted_long) if width <= height else (fitted_long, fitted_short)


def _even_below(value: int) -> int:
    # 4:2:0 has no odd sizes; a picture one sample high is the one case that must grow.
    return max(2, value - value % 2)


# Layouts that AAC's channel configurations hold (ISO/IEC 14496-3, table 1.19), by the names under which they come in.
_KEPT = {
    "mono": "mono",
    "stereo": "stereo",
    "downmix": "stereo",
    "3.0": "3.0",
    "4.0": "4.0",
    "5.0": "5.0",
    "5.0(side)": "5.0",
    "5.1": "5.1",
    "5.1(side)": "5.1",
    "7.1": "7.1",
}
_CHANNELS = {"mono": 1, "stereo": 2, "3.0": 3, "4.0": 4, "5.0": 5, "5.1": 6, "7.1": 8}
# What a bare number of channels is taken to be, as ffmpeg itself guesses; others are mixed down to stereo from that guess.
_GUESSED = {1: "mono", 2: "stereo", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
MOST_GUESSED = 8

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


def audio_targets(profile: Profile, info: MediaInfo) -> tuple[AudioTarget, ...]:
    """Return how each kept audio stream is encoded; raises :class:`InputNotSupported` for layouts that cannot be mixed."""
    return tuple(_audio_target(profile.audio, stream) for stream in info.audio)


def mixed_layout(stream: AudioStream) -> tuple[int, str]:
    """Return channels and layout that a stream is given; raises :class:`InputNotSupported` for what cannot be mixed."""
    if (stream.layout or "").startswith("ambisonic") or (stream.layout is None and stream.channels > MOST_GUESSED):
        raise InputNotSupported(
            f"Audio stream {stream.index} has the layout {stream.layout or f'of {stream.channels} unnamed channels'}, which "
            "cannot be mixed to a layout that AAC holds; convert it to stereo or 5.1."
        )
    layout = _KEPT.get(stream.layout, "stereo") if stream.layout else _GUESSED.get(stream.channels, "stereo")
    return _CHANNELS[layout], layout


def _audio_target(rates: AudioRates, stream: AudioStream) -> AudioTarget:
    channels, layout = mixed_layout(stream)
    sample_rate = stream.sample_rate if stream.sample_rate in _AAC_RATES else 48000
    wanted = {1: rates.mono, 2: rates.stereo}.get(channels, rates.per_channel * channels)
    # An AAC frame of 1024 samples holds at most 6144 bits a channel; low sample rates reach that soon.
    return AudioTarget(
        stream=stream,
        channels=channels,
        layout=layout,
        sample_rate=sample_rate,
        bit_rate=min(wanted, rates.most, 4 * sample_rate * channels),
    )
