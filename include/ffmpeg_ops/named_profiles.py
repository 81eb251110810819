"""Profiles of transcoding tasks by name: those in ``task_profiles/*.yaml``, and names that say all themselves."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from include.ffmpeg_ops.encodings import Encoding, TaskProfile

__all__ = ["named_profile", "shipped_profiles"]

FOLDER = Path(__file__).parent / "task_profiles"
_GENERIC = re.compile(r"video_(flv|mp4|m3u8|mpegts)_([0-9]{2,4})x([0-9]{2,4})_([0-9]{2,6})kbps")


def named_profile(name: str) -> TaskProfile | None:
    """Return the profile that ``name`` is known by or spells out, ``video_<container>_<width>x<height>_<n>kbps``; else None."""
    return shipped_profiles().get(name) or _spelt_out(name)


@lru_cache(maxsize=1)
def shipped_profiles() -> dict[str, TaskProfile]:
    """Return the profiles of ``task_profiles/*.yaml`` by name."""
    found = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        found[path.stem] = TaskProfile(profile_name=path.stem, **document)
    return found


def _spelt_out(name: str) -> TaskProfile | None:
    match = _GENERIC.fullmatch(name)
    if match is None:
        return None
    container, width, height, kilobits = match.groups()
    fields = {"container": container, "width": int(width), "height": int(height), "bitrate": 1000 * int(kilobits)}
    try:
        return TaskProfile(profile_name=name, encodings=(Encoding.model_validate(fields),))
    except ValidationError:
        return None
