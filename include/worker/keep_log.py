"""Keeps what a unit logs in a file, for those who asked for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["keep_log"]


@contextmanager
def keep_log(path: Path) -> Iterator[Path]:
    """Write everything that is logged inside, commands of ffmpeg among it, to ``path`` as well."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    ours = logging.getLogger("include")
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield path
    finally:
        ours.setLevel(level)
        ours.removeHandler(handler)
        handler.close()
