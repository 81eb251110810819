"""Local folders: private to this user, and scratch space that is swept when its owner has died.

Whatever is temporary has a lock, held by the process that works with it and freed by the system when that process ends, however
it ends. What nobody holds is rubbish: the next process that wants scratch space removes it.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from include.errors import InternalError

__all__ = ["folder_beside", "private_folder", "scratch_folder", "sweep"]

logger = logging.getLogger(__name__)

_LOCK = ".lock"
# Names of our own making: among other people's files nothing else is touched.
_BESIDE = re.compile(r"\.reelflow-[0-9a-f]{32}")
_OWN = re.compile(r"[0-9a-f]{32}")
_LOCK_FOLDERS = ("locks", "objects")


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
    with _owned(parent / uuid.uuid4().hex) as folder:
        yield folder


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Give an empty, hidden folder beside ``path``, from which a file can be renamed to it; those of the dead are removed."""
    _sweep(path.parent, _BESIDE)
    with _owned(path.parent / f".reelflow-{uuid.uuid4().hex}") as folder:
        yield folder


def sweep(cache_dir: Path) -> int:
    """Remove the scratch folders and the locks of processes that are gone; return how many folders.

    What is in use is left alone, and nothing is waited for.
    """
    for name in _LOCK_FOLDERS:
        if (cache_dir / name).is_dir():
            _remove_locks(cache_dir / name)
    return _sweep(cache_dir / "scratch", _OWN)


@contextmanager
def _owned(folder: Path) -> Iterator[Path]:
    # The lock is held before the folder exists: a folder without it has no owner.
    with FileLock(_lock(folder)):
        try:
            folder.mkdir()
            yield folder
        finally:
            _remove(folder)


def _sweep(parent: Path, ours: re.Pattern[str]) -> int:
    # A process may die between making its lock and its folder, or the other way round: either is enough to go by.
    names = {entry.name.removesuffix(_LOCK) for entry in parent.iterdir()}
    removed = 0
    for folder in (parent / name for name in sorted(names) if ours.fullmatch(name)):
        try:
            with FileLock(_lock(folder), timeout=0):
                removed += folder.is_dir()
                _remove(folder)
        except (Timeout, OSError):
            # It is in use, or another user's.
            continue
        logger.info("removed scratch folder %s, whose process is gone", folder.name)
    return removed


def _remove_locks(parent: Path) -> None:
    for lock in parent.glob(f"*{_LOCK}"):
        try:
            with FileLock(lock, timeout=0):
                # Whoever waits for it notices that it is gone, and makes another.
                lock.unlink(missing_ok=True)
        except Timeout:
            continue


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _lock(folder).unlink(missing_ok=True)


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{_LOCK}")
