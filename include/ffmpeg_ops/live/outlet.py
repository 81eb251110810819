"""What lies between the stream and one of its targets: a bounded queue that loses whole groups of pictures, not parts of one."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

from include.ffmpeg_ops.live.transport import CLOCK, Piece

__all__ = ["QUEUE_BYTES", "QUEUE_SECONDS", "Outlet"]

QUEUE_SECONDS = 10.0
QUEUE_BYTES = 64 << 20


class Outlet:
    """The queue of one target: never blocks who fills it.

    When more than ``seconds`` or ``size`` bytes wait, the oldest go, up to the next keyframe; ``dropped`` counts their pictures.
    """

    def __init__(self, seconds: float = QUEUE_SECONDS, size: int = QUEUE_BYTES) -> None:
        self.dropped = 0
        self._ticks = round(seconds * CLOCK)
        self._limit = size
        self._changed = threading.Condition()
        self._pieces: deque[Piece] = deque()
        self._size = self._newest = 0
        self._gap = True
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._closed

    def put(self, piece: Piece) -> None:
        """Add a piece; what waits too long makes room."""
        with self._changed:
            if self._closed:
                return
            self._pieces.append(piece)
            self._size += len(piece.data)
            self._newest = piece.time if piece.time is not None else self._newest
            while self._full():
                self._skip()
            self._to_keyframe()
            self._changed.notify()

    def get(self, timeout: float) -> Piece | None:
        """Return the next piece, a ``joint`` after a loss, or ``None`` where none came in time or none will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._closed, timeout)
            if not self._pieces:
                return None
            piece = self._pop()
            gap, self._gap = self._gap, False
            return replace(piece, joint=True) if gap else piece

    def rejoin(self) -> None:
        """Go on with the newest keyframe that waits: a new connection starts there."""
        with self._changed:
            while any(piece.key for piece in list(self._pieces)[1:]):
                self._skip()
            self._gap = True
            self._to_keyframe()

    @property
    def drained(self) -> bool:
        """Whether everything was taken, and nothing more will come."""
        with self._changed:
            return self._closed and not self._pieces

    def wait(self, seconds: float) -> bool:
        """Wait until nothing more will come, but no longer than told; tell whether it is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)

    def close(self) -> None:
        """Say that nothing more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _full(self) -> bool:
        if self._size > self._limit:
            return True
        # The oldest is a keyframe after a loss; tables have no time.
        first = next((piece.time for piece in self._pieces if piece.time is not None), None)
        return first is not None and self._newest - first > self._ticks

    def _skip(self) -> None:
        """Lose the oldest piece, and what cannot be shown without it."""
        self._lose()
        self._gap = True
        self._to_keyframe()

    def _to_keyframe(self) -> None:
        while self._gap and self._pieces and not self._pieces[0].key:
            self._lose()

    def _lose(self) -> None:
        self.dropped += self._pop().picture

    def _pop(self) -> Piece:
        piece = self._pieces.popleft()
        self._size -= len(piece.data)
        return piece
