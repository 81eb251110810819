"""The ffmpeg and ffprobe in use, and what this ffmpeg can do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from include.errors import InternalError, OutputNotSupported
from include.ffmpeg_ops.process import Child
from include.settings import Settings, get_settings

__all__ = ["Tools", "tools"]

OLDEST = 5


@dataclass(frozen=True)
class Tools:
    """Programs as configured, ffmpeg's version as it tells it (5.1.9-0+deb12u1), filters and encoders by name."""

    ffmpeg: str
    ffprobe: str
    version: str
    major: int
    filters: frozenset[str]
    encoders: frozenset[str]

    def has_filter(self, name: str) -> bool:
        """Tell whether this ffmpeg has the filter."""
        return name in self.filters

    def has_encoder(self, name: str) -> bool:
        """Tell whether this ffmpeg has the encoder."""
        return name in self.encoders


def tools(settings: Settings | None = None) -> Tools:
    """Look at the configured programs, once; raises :class:`OutputNotSupported` for an ffmpeg older than 5.0."""
    settings = settings or get_settings()
    return _tools(settings.ffmpeg, settings.ffprobe)


@lru_cache(maxsize=8)
def _tools(ffmpeg: str, ffprobe: str) -> Tools:
    def say(program: str, *arguments: str) -> str:
        child = Child([program, "-hide_banner", *arguments], None, progress=False)
        try:
            status = child.wait(60, None)
        finally:
            child.end()
        if status != 0:
            raise InternalError(f"{Path(program).name} {' '.join(arguments)} failed with exit status {status}.")
        return child.stdout.decode(errors="replace")

    versions = {}
    for program in (ffmpeg, ffprobe):
        text = say(program, "-version")
        name = re.search(r"version (\S+)", text)
        # Git builds have no version number, but libavutil's is always told: 57 came with ffmpeg 5, 58 with 6, …
        library = re.search(r"libavutil\s+(\d+)\.", text)
        if name is None or library is None or int(library[1]) - 52 < OLDEST:
            raise OutputNotSupported(
                f"{Path(program).name} is {name[1] if name else 'unknown'}; version {OLDEST}.0 or newer is needed."
            )
        versions[program] = name[1], int(library[1]) - 52
    version, major = versions[ffmpeg]
    return Tools(
        ffmpeg,
        ffprobe,
        version,
        major,
        frozenset(re.findall(r"^ [T.][S.][C.]? *(\w+) +\S+->", say(ffmpeg, "-filters"), re.MULTILINE)),
        frozenset(re.findall(r"^ [VAS][F.][S.][X.][B.][D.] (\S+)", say(ffmpeg, "-encoders"), re.MULTILINE)),
    )
