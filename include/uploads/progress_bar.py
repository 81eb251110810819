"""How far an upload is, on a terminal."""

from __future__ import annotations

import threading
import time
from typing import TextIO

__all__ = ["ProgressBar"]

_WIDTH = 30
_EVERY = 0.2


class ProgressBar:
    """Draws one line, again and again, where ``stream`` is a terminal; may be told from several threads."""

    def __init__(self, label: str, total: int, stream: TextIO, done: int = 0) -> None:
        self._label, self._total, self._stream = label, total, stream
        self._done = self._first = done
        self._began = time.monotonic()
        self._drawn_at = 0.0
        self._lock = threading.Lock()
        self._on = stream.isatty()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._draw()
        if self._on:
            self._stream.write("\n")
            self._stream.flush()

    def add(self, count: int) -> None:
        """Count bytes, or take some back."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._drawn_at < _EVERY:
                return
            self._drawn_at = now
            self._draw()

    def _draw(self) -> None:
        if not self._on:
            return
        share = self._done / self._total if self._total else 1.0
        rate = (self._done - self._first) / max(1e-3, time.monotonic() - self._began)
        left = f", {(self._total - self._done) / rate:.0f} s left" if rate > 0 and share < 1 else ""
        bar = ("#" * int(share * _WIDTH)).ljust(_WIDTH, "-")
        self._stream.write(f"\r{self._label} [{bar}] {share:6.1%} {rate / 1e6:.1f} MB/s{left}\x1b[K")
        self._stream.flush()
