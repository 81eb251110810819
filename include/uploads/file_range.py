"""A range of a file on disk, read as a file of its own."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["FileRange"]

_BLOCK = 256 * 2**10


class FileRange(io.RawIOBase):
    """Bytes ``start`` to before ``end`` of a file; seekable, so that they can be sent again.

    ``on_bytes`` is told how many bytes more were read, less than none where they are read again.
    """

    def __init__(self, path: Path, start: int, end: int, on_bytes: Callable[[int], None] = lambda _: None) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._start, self._end = start, end
        self._on_bytes = on_bytes
        self._position = 0
        self._file.seek(start)

    def __len__(self) -> int:
        return self._end - self._start

    def readable(self) -> bool:
        """See :class:`io.IOBase`."""
        return True

    def seekable(self) -> bool:
        """See :class:`io.IOBase`."""
        return True

    def tell(self) -> int:
        """See :class:`io.IOBase`."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See :class:`io.IOBase`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self)}[whence]
        position = min(len(self), max(0, base + offset))
        self._on_bytes(position - self._position)
        self._position = position
        self._file.seek(self._start + position)
        return position

    def read(self, size: int = -1) -> bytes:
        """See :class:`io.RawIOBase`."""
        left = len(self) - self._position
        data = self._file.read(left if size < 0 else min(size, left))
        self._position += len(data)
        self._on_bytes(len(data))
        return data

    def blocks(self, digest: hashlib._Hash) -> Iterator[bytes]:
        """Yield all that is left in blocks, and give each to ``digest``."""
        while data := self.read(_BLOCK):
            digest.update(data)
            yield data

    def close(self) -> None:
        """See :class:`io.IOBase`."""
        self._file.close()
        super().close()
