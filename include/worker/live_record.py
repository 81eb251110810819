"""Records a live stream in the object store: segments appear while it is live."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, TypeVar

from include.errors import MediaError, NotFound
from include.ffmpeg_ops.live.backoff import Backoff
from include.ffmpeg_ops.live.outlet import Outlet
from include.ffmpeg_ops.live.recording import SEGMENT_SECONDS, Entry, read, render
from include.ffmpeg_ops.live.target import Target
from include.ffmpeg_ops.live.transport import CLOCK, Piece

if TYPE_CHECKING:
    from include.media_store.objects import ObjectStore

__all__ = ["Recorder"]

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_LOOK_SECONDS = 0.25
# Where one picture says nothing of how long it is shown.
_PICTURE_TICKS = CLOCK // 25


class Recorder(Target):
    """A recording as HLS: MPEG-TS segments beside the playlist, whose bucket and key are ``where``; it is closed at the end.

    What a recording has when it ``resumes`` stays in it. Segments wait in ``folder`` until they are stored; where one could not
    be stored for ``patience`` seconds, the recording ends before it. So long the store may be away at the beginning, too.
    """

    def __init__(
        self,
        url: str,
        outlet: Outlet,
        store: ObjectStore,
        where: tuple[str, str],
        folder: Path,
        *,
        resumes: bool,
        patience: float,
    ) -> None:
        super().__init__(url, outlet)
        self.connections = 1
        self.bucket, self.key = where
        self._store = store
        self._folder = folder
        self._patience = patience
        self._resumes = resumes
        self._entries: list[Entry] = []
        self._segment: _Segment | None = None
        self._format: Piece | None = None
        self._pictures = self._number = 0
        self._broken = False
        self._uploads: deque[Future[None]] = deque()

    @property
    def frames(self) -> int:
        """Pictures that are in the recording, or on their way there."""
        return self._pictures

    @property
    def segments(self) -> list[str]:
        """Keys of the segments that are stored, in order."""
        return [self._beside(entry.name) for entry in self._entries]

    def work(self) -> None:
        """Record until there is nothing more to record."""
        self._begin()
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="upload") as pool:
                self._record(pool)
                self._close(pool, None)
            self._check_uploads()
        finally:
            if self._segment is not None:
                self._segment.file.close()
            if self._entries:
                self._write_playlist(ended=True)

    def _begin(self) -> None:
        if self._resumes:
            try:
                playlist = self._patiently(lambda: self._store.get_bytes(self.bucket, self.key))
                self._entries = read(playlist.decode())
                if self._entries:
                    self._number = 1 + int(PurePosixPath(self._entries[-1].name).stem.rpartition("-")[2])
                return
            except NotFound:
                pass
        # A playlist that is there would tell of segments that are about to be replaced.
        self._patiently(lambda: self._store.delete(self.bucket, self.key))

    def _record(self, pool: ThreadPoolExecutor) -> None:
        while not self.outlet.drained:
            self._check_uploads()
            if (piece := self.outlet.get(_LOOK_SECONDS)) is None:
                continue
            piece = self._marked(piece)
            if piece.key and (self._segment is None or piece.joint or self._segment.seconds_until(piece) >= SEGMENT_SECONDS):
                self._close(pool, piece)
                self._segment = self._open(piece)
            if self._segment is not None:
                data = piece.opening if piece is self._segment.first else piece.data
                self._segment.add(piece, data)
                self._pictures += piece.picture
                self._sent.add(len(data))
                self.state = "sending"

    def _marked(self, piece: Piece) -> Piece:
        """Return the piece, a joint where streams or picture format change with it: a source that is copied may do so at will."""
        if not piece.key:
            return piece
        is_another = self._format is not None and piece.differs_from(self._format)
        if piece.sequence or is_another or self._format is None:
            self._format = piece
        return replace(piece, joint=True) if is_another else piece

    def _open(self, first: Piece) -> _Segment:
        path = self._folder / f"{self._number:05d}.ts"
        self._number += 1
        return _Segment(first, path, path.open("wb"))

    def _close(self, pool: ThreadPoolExecutor, following: Piece | None) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        segment.file.close()
        seconds = segment.seconds if following is None or following.joint else segment.seconds_until(following)
        stem = self.key.rpartition("/")[2].rpartition(".")[0]
        entry = Entry(f"{stem}-{segment.path.name}", seconds, segment.first.joint)
        self._uploads.append(pool.submit(self._upload, segment.path, entry))

    def _upload(self, path: Path, entry: Entry) -> None:
        if self._broken:
            # Behind the one that is missing it would be shown as if nothing were.
            return
        try:
            self._patiently(lambda: self._store.upload(path, self.bucket, self._beside(entry.name)))
            self._entries.append(entry)
            self._write_playlist(ended=False)
        except BaseException:
            self._broken = True
            raise
        path.unlink()

    def _write_playlist(self, *, ended: bool) -> None:
        text = render(self._entries, ended=ended).encode()
        self._patiently(lambda: self._store.put_bytes(self.bucket, self.key, text, content_type="application/vnd.apple.mpegurl"))

    def _patiently(self, action: Callable[[], Answer]) -> Answer:
        backoff = Backoff(self._patience)
        while True:
            try:
                return action()
            except MediaError as error:
                pause = backoff.wait() if error.retryable else None
                if pause is None:
                    raise
                logger.warning("%s: %s Trying again in %.1f s.", self.url, error, pause)
                time.sleep(pause)

    def _check_uploads(self) -> None:
        while self._uploads and self._uploads[0].done():
            self._uploads.popleft().result()

    def _beside(self, name: str) -> str:
        folder, slash, _ = self.key.rpartition("/")
        return f"{folder}{slash}{name}"


class _Segment:
    """A segment that is being written."""

    def __init__(self, first: Piece, path: Path, file: IO[bytes]) -> None:
        assert first.time is not None  # noqa: S101 - a keyframe has one
        self.first = first
        self.path = path
        self.file = file
        self._begins = self._last = first.time
        self._pictures = 0

    @property
    def seconds(self) -> float:
        """How long it is, where nothing follows: the last picture lasts as long as those before it do in the mean."""
        picture = (self._last - self._begins) / (self._pictures - 1) if self._pictures > 1 else _PICTURE_TICKS
        return (self._last - self._begins + picture) / CLOCK

    def seconds_until(self, following: Piece) -> float:
        assert following.time is not None  # noqa: S101 - a keyframe has one
        return (following.time - self._begins) / CLOCK

    def add(self, piece: Piece, data: bytes) -> None:
        self.file.write(data)
        if piece.picture and piece.time is not None:
            self._pictures += 1
            self._last = max(self._last, piece.time)
