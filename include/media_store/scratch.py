"""Local folders: private to this user, and scratch space that is swept when its owner has died."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from include.errors import InternalError

__all__ = ["private_folder", "scratch_folder", "sweep"]

logger = logging.getLogger(__name__)


def private_folder(path: Path) -> Path:
    """Make ``path`` (mode 0700) and return it; ``InternalError`` where somebody else owns it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = path.lstat()
    # The default lies under the system's temporary folder, where anyone may have made it before us.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise InternalError("The folder that MEDIA_CACHE_DIR names belongs to somebody else; name another one.")
    return path


@contextmanager
def scratch_folder(cache_dir: Path) -> Iterator[Path]:
    """Give an empty folder for as long as the block runs; one of a killed process is removed by :func:`sweep`."""
    parent = private_folder(cache_dir) / "scratch"
    parent.mkdir(exist_ok=True)
    sweep(cache_dir)
    folder = parent / uuid.uuid4().hex
    # The lock, which dies with its process, is held before the folder exists: a folder without it has no owner.
    with FileLock(_lock(folder)):
        folder.mkdir()
        try:
            yield folder
        finally:
            _remove(folder)


def sweep(cache_dir: Path) -> int:
    """Remove the scratch folders of processes that are gone; return how many."""
    removed = 0
    for folder in (cache_dir / "scratch").iterdir():
        if not folder.is_dir():
            continue
        try:
            with FileLock(_lock(folder), timeout=0):
                _remove(folder)
        except Timeout:
            continue
        removed += 1
        logger.info("removed scratch folder %s, whose process is gone", folder.name)
    return removed


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _lock(folder).unlink(missing_ok=True)


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
