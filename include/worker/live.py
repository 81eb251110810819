"""The live unit: a source that is a stream, or targets that are, for as long as it lasts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from include.errors import Cancelled, InputError, InvalidInputData, LimitExceeded, ParameterError, TargetFailed, TimedOut
from include.ffmpeg_ops.live.broadcast import Source
from include.ffmpeg_ops.live.check import check_live, container_for
from include.ffmpeg_ops.live.commands import Opened
from include.ffmpeg_ops.live.outlet import Outlet
from include.ffmpeg_ops.live.relay import Relay
from include.ffmpeg_ops.live.target import Target
from include.media_store.models import ObjectRef
from include.net.urls import MediaUrl, parse_source, parse_target
from include.worker.live_record import Recorder
from include.worker.live_remux import remuxed
from include.worker.live_session import LiveSession
from include.worker.models import LiveTask, Output, UnitResult, WorkUnit
from include.worker.work import Made
from include.worker.workbench import Workbench

__all__ = ["LiveWork"]

logger = logging.getLogger(__name__)

_PLAYLIST = "recording.m3u8"
# The ways in which a stream ends: what was recorded is whole then, as far as it goes.
_ENDINGS = (TargetFailed, Cancelled, TimedOut)
# A live source may come back as something that is not taken; what it sent before cannot be had again.
_LIVE_ENDINGS = (*_ENDINGS, InputError, LimitExceeded, ParameterError)


class LiveWork:
    """Brings a live task to its end; another attempt goes on with its recordings and its deadline."""

    def __init__(self, workbench: Workbench, unit: WorkUnit) -> None:
        assert isinstance(unit.task, LiveTask)  # noqa: S101 - chosen by this very type
        self._workbench = workbench
        self._unit = unit
        self.fingerprint = unit.fingerprint
        workbench.seconds = workbench.settings.seconds_for("live")

    def finished(self) -> UnitResult | None:
        """Return the marker where the stream has ended well."""
        return self._workbench.job.finished(self._unit)

    def run(self) -> Made:
        """Bring source and targets together; the outputs are the recordings, each by the number of its target."""
        workbench, settings = self._workbench, self._workbench.settings
        task = workbench.job.read_task()
        url, targets = parse_source(task.source_url), [parse_target(target) for target in task.targets]
        check_live(task.profile, url.scheme, [(target.scheme, f"{target.bucket}/{target.key}") for target in targets], settings)
        encoding = task.profile.encodings[0]
        before = workbench.job.read_live()
        if before is None and workbench.store.head(workbench.job.bucket, workbench.job.cancelled_key) is not None:
            raise Cancelled("A client has stopped the task.")
        source = self._source(url, before.seconds if before else 0)
        abort = threading.Event()
        containers = [container_for(encoding, target.scheme, target.key) for target in targets]
        threads = [
            self._target(number, target, container, resumes=before is not None, abort=abort)
            for number, (target, container) in enumerate(zip(targets, containers, strict=True))
        ]
        session = LiveSession(workbench, source, encoding, threads, before, flv="flv" in containers, abort=abort)
        endings = _LIVE_ENDINGS if url.kind == "live" else _ENDINGS
        with workbench.phase("live", settings.live_seconds, "seconds"):
            try:
                session.run()
            except endings:
                self._publish(targets, containers, threads)
                raise
            return Made(self._publish(targets, containers, threads))

    def clean_up(self) -> None:
        """Remove segments whose recording is published as a file."""
        if not self._workbench.settings.keep_work_files:
            self._workbench.store.delete_prefix(self._workbench.job.bucket, self._workbench.job.live_prefix)

    # -- the source

    def _source(self, url: MediaUrl, seconds: float) -> Source:
        if url.kind == "live":
            return Source(url.redacted, lambda: self._guarded(self._workbench.media.guarded_source, url))
        opened = Opened(f"file:{self._fetch(url)}", "file")
        # Another attempt goes on about where the last one ended.
        return Source(url.redacted, lambda: nullcontext(opened), is_file=True, seek=seconds)

    def _fetch(self, url: MediaUrl) -> Path:
        workbench, path = self._workbench, self._workbench.scratch / "source"
        if url.kind == "http":
            with workbench.phase("fetch", 0, "bytes"):
                workbench.media.download(
                    url, path, settings=workbench.settings, check=workbench.check, on_bytes=workbench.progress.advance
                )
            return path
        ref = self._object(url)
        with workbench.phase("fetch", ref.size, "bytes"):
            return workbench.fetch(ref, path.name)

    def _object(self, url: MediaUrl) -> ObjectRef:
        self._check_bucket(url)
        ref = self._workbench.store.head(url.bucket, url.key)
        if ref is None:
            raise InvalidInputData(f"There is no source {url.redacted}.")
        if ref.size > (limit := self._workbench.settings.max_source_bytes):
            raise LimitExceeded(f"{url.redacted} has {ref.size} bytes; the limit is {limit} (MEDIA_MAX_SOURCE_BYTES).")
        return ref

    def _check_bucket(self, url: MediaUrl) -> None:
        if not self._workbench.settings.allows_bucket(url.bucket):
            raise ParameterError(f"The bucket {url.bucket!r} is none that tasks may name (MEDIA_BUCKET, MEDIA_BUCKETS).")

    @contextmanager
    def _guarded(self, guard: Callable[..., AbstractContextManager[Any]], url: MediaUrl) -> Iterator[Opened]:
        with guard(url, self._workbench.settings) as guarded:
            yield Opened(guarded.url, url.scheme, guarded.options, guarded.protocols)

    # -- the targets

    def _target(self, number: int, url: MediaUrl, container: str, *, resumes: bool, abort: threading.Event) -> Target:
        workbench, settings = self._workbench, self._workbench.settings
        if url.kind == "live":
            opened = lambda: self._guarded(workbench.media.guarded_target, url)  # noqa: E731
            return Relay(url.redacted, opened, Outlet(), abort=abort, settings=settings)
        self._check_bucket(url)
        folder = workbench.scratch / f"target-{number}"
        folder.mkdir()
        bucket, key = url.bucket, url.key
        if container != "m3u8":
            # A file is made of it at the end.
            bucket, key = workbench.job.bucket, f"{workbench.job.live_prefix}{number}/{_PLAYLIST}"
        return Recorder(
            url.redacted,
            Outlet(),
            workbench.store,
            (bucket, key),
            folder,
            resumes=resumes,
            patience=settings.live_reconnect_seconds,
        )

    def _publish(self, targets: list[MediaUrl], containers: list[str], threads: list[Target]) -> tuple[Output, ...]:
        """Put recordings together that are to be files; return every recording's object."""
        outputs = []
        for number, (url, container, thread) in enumerate(zip(targets, containers, threads, strict=True)):
            if not isinstance(thread, Recorder) or not thread.segments:
                continue
            if container == "m3u8":
                ref = self._workbench.store.head(url.bucket, url.key)
            else:
                ref = remuxed(self._workbench, thread.bucket, thread.segments, container, url)
            if ref is not None:
                outputs.append(Output(name=f"target-{number}", ref=ref))
        return tuple(outputs)
