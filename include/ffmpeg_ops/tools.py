"""The ffmpeg and ffprobe in use, and what this ffmpeg can do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from include.errors import InternalError, OutputNotSupported
from include.ffmpeg_ops.process import Child
from include.settings import Settings, get_settings

__all__ = ["Tools", "encoders", "has_decoder", "has_filter", "has_protocol", "tools"]

OLDEST = 5


@dataclass(frozen=True)
class Tools:
    """Programs as configured, and ffmpeg's version as it tells it (5.1.9-0+deb12u1) and as a number (5)."""

    ffmpeg: str
    ffprobe: str
    version: str
    major: int


def tools(settings: Settings | None = None) -> Tools:
    """Look at the configured programs, once; raises :class:`OutputNotSupported` for an ffmpeg older than 5.0."""
    settings = settings or get_settings()
    return _tools(settings.ffmpeg, settings.ffprobe)


def has_filter(name: str, settings: Settings | None = None) -> bool:
    """Tell whether the configured ffmpeg has the filter."""
    return name in _filters((settings or get_settings()).ffmpeg)


def has_decoder(codec: str, settings: Settings | None = None) -> bool:
    """Tell whether the configured ffmpeg can decode ``codec`` (ffprobe's codec_name) without special hardware."""
    return codec in _decodable((settings or get_settings()).ffmpeg)


def encoders(settings: Settings | None = None) -> frozenset[str]:
    """Return the names of the configured ffmpeg's encoders: libx264, aac, …"""
    return _encoders((settings or get_settings()).ffmpeg)


def has_protocol(name: str, direction: Literal["input", "output"], settings: Settings | None = None) -> bool:
    """Tell whether the configured ffmpeg speaks the protocol."""
    return name in _protocols((settings or get_settings()).ffmpeg)[direction]


# FFmpeg's own decoder of AV1 is but a door to the hardware's.
_HARDWARE = re.compile(r"av1|\w+_(amf|crystalhd|cuvid|d3d12va|mediacodec|mmal|qsv|rkmpp|v4l2m2m|vaapi|videotoolbox)")


@lru_cache(maxsize=8)
def _decodable(ffmpeg: str) -> frozenset[str]:
    found = set()
    # "DEV.L. av1   Alliance for Open Media AV1 (decoders: libdav1d av1 )"; no list: there is one, of the codec's own name.
    for codec, rest in re.findall(r"^ D[E.][VASDT.][I.][L.][S.] (\w+)(.*)$", _say(ffmpeg, "-codecs"), re.MULTILINE):
        listed = re.search(r"\(decoders: ([^)]*)\)", rest)
        if any(not _HARDWARE.fullmatch(name) for name in (listed[1].split() if listed else [codec])):
            found.add(codec)
    return frozenset(found)


@lru_cache(maxsize=8)
def _filters(ffmpeg: str) -> frozenset[str]:
    return frozenset(re.findall(r"^ [T.][S.][C.]? *(\w+) +\S+->", _say(ffmpeg, "-filters"), re.MULTILINE))


@lru_cache(maxsize=8)
def _encoders(ffmpeg: str) -> frozenset[str]:
    return frozenset(re.findall(r"^ [VAS][F.][S.][X.][B.][D.] (\w+) ", _say(ffmpeg, "-encoders"), re.MULTILINE))


@lru_cache(maxsize=8)
def _protocols(ffmpeg: str) -> Mapping[str, frozenset[str]]:
    read, written = _say(ffmpeg, "-protocols").split("Output:")
    return {"input": frozenset(read.split("Input:")[-1].split()), "output": frozenset(written.split())}


@lru_cache(maxsize=8)
def _tools(ffmpeg: str, ffprobe: str) -> Tools:
    versions = {}
    for program in (ffmpeg, ffprobe):
        text = _say(program, "-version")
        name = re.search(r"version (\S+)", text)
        # Git builds have no version number, but libavutil's is always told: 57 came with ffmpeg 5, 58 with 6, …
        library = re.search(r"libavutil\s+(\d+)\.", text)
        if name is None or library is None or int(library[1]) - 52 < OLDEST:
            raise OutputNotSupported(
                f"{Path(program).name} is {name[1] if name else 'unknown'}; version {OLDEST}.0 or newer is needed."
            )
        versions[program] = name[1], int(library[1]) - 52
    return Tools(ffmpeg, ffprobe, *versions[ffmpeg])


def _say(program: str, *arguments: str) -> str:
    child = Child([program, "-hide_banner", *arguments], None, progress=False)
    try:
        status = child.wait(60, None)
    finally:
        child.end()
    if status != 0:
        raise InternalError(f"{Path(program).name} {' '.join(arguments)} failed with exit status {status}.")
    return child.stdout.decode(errors="replace")
