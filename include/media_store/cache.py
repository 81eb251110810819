"""Objects kept on the local disk, shared by all processes of this user."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from include.media_store.locks import file_lock
from include.media_store.models import ObjectRef
from include.media_store.scratch import private_folder, scratch_folder
from include.settings import Settings

if TYPE_CHECKING:
    from include.media_store.objects import ObjectStore

__all__ = ["ObjectCache"]

logger = logging.getLogger(__name__)


class ObjectCache:
    """A bounded cache of object versions: ``<cache_dir>/objects/<digest of bucket, key and ETag>``.

    What a caller uses it holds by a hard link of its own (``into``), so trimming never takes a file away from anyone.
    """

    def __init__(self, settings: Settings) -> None:
        self._root = settings.cache_dir
        self._max_bytes = settings.cache_max_bytes
        self._folder = self._root / "objects"

    def fetch(
        self, store: ObjectStore, ref: ObjectRef, into: Path | None = None, on_bytes: Callable[[int], None] | None = None
    ) -> Path:
        """Return a local file with exactly the version ``ref``, downloading it unless it is here.

        With ``into`` the answer is that path, a hard link in the caller's scratch folder that no trimming can touch; without,
        it is the cache's own file, which may go at any time. ``on_bytes`` is as in ``ObjectStore.download``, whose errors
        are raised here; it is told 0 now and then while another process downloads the same object.
        """
        cached = self._path(ref)
        private_folder(self._root)
        self._folder.mkdir(exist_ok=True)
        with file_lock(cached.with_suffix(".lock"), (lambda: on_bytes(0)) if on_bytes else None):
            if not _has(cached, ref.size):
                self.trim(room_for=ref.size)
                with scratch_folder(self._root) as scratch:
                    store.download(ref, scratch / "object", on_bytes)
                    (scratch / "object").replace(cached)
            os.utime(cached)
            if into is None:
                return cached
            into.parent.mkdir(parents=True, exist_ok=True)
            os.link(cached, into)
            return into

    def add(self, path: Path, ref: ObjectRef) -> None:
        """Keep a file that was just written to S3 as ``ref``, by a hard link: do not change the file any more."""
        private_folder(self._root)
        self._folder.mkdir(exist_ok=True)
        cached = self._path(ref)
        # A cache may miss: a file on another file system, or one that is here already, is no reason to fail.
        with suppress(OSError):
            os.link(path, cached)
            os.utime(cached)
        self.trim()

    def trim(self, room_for: int = 0) -> None:
        """Remove what was used longest ago until ``room_for`` more bytes fit; what somebody holds stays."""
        with suppress(Timeout), FileLock(self._folder / "trim.lock", timeout=0):
            # Removing what has a second link would free nothing.
            entries = sorted(_entries(self._folder))
            total = sum(size for _, size, _, _ in entries)
            for _, size, links, path in entries:
                if total + room_for <= self._max_bytes:
                    break
                if links == 1:
                    path.unlink(missing_ok=True)
                    total -= size
                    logger.info("trimmed %s (%d bytes) from the cache", path.name, size)

    def _path(self, ref: ObjectRef) -> Path:
        return self._folder / hashlib.sha256(f"{ref.bucket}\n{ref.key}\n{ref.etag}".encode()).hexdigest()


def _has(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _entries(folder: Path) -> list[tuple[int, int, int, Path]]:
    found = []
    for path in folder.iterdir():
        if path.suffix != ".lock":
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, status.st_nlink, path))
    return found
