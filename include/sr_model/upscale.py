"""Upscales a video: decoder process → network → encoder, all at work at the same time on a few pictures in fixed buffers.

A thread reads decoded pictures into free slots and starts the network on them; the caller's thread takes them in order,
waits for the network and encodes. A picture identical to the one before is not upscaled again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from include.errors import Cancelled, TimedOut
from include.settings import Settings, get_settings
from include.sr_model import zoo
from include.sr_model.backends.base import Slot, Work
from include.sr_model.backends.select import open_session
from include.sr_model.channel import Channel, Closed
from include.sr_model.decode import Decoder, decode, geometry_of
from include.sr_model.description import describe
from include.sr_model.encode import Encoder
from include.sr_model.models import Seconds, Upscaled, UpscaleTask

__all__ = ["upscale"]

logger = logging.getLogger(__name__)

Progress = Callable[[int, float | None], None]

# Pictures on their way: one that is read, two in the network, one in the encoder, and some slack between them.
SLOTS = 6
CONCURRENT = 2
POLL_SECONDS = 0.1
PROGRESS_SECONDS = 0.5


def upscale(
    source: Path,
    task: UpscaleTask,
    out: Path,
    *,
    backend: str | None = None,
    variant: str = "video",
    precision: str | None = None,
    on_progress: Progress | None = None,
    cancelled: threading.Event | None = None,
    timeout: float | None = None,
    settings: Settings | None = None,
) -> Upscaled:
    """Upscale ``source`` to ``out`` (mp4, mov, mkv, webm or nut by its suffix), which appears when it is complete and verified.

    ``variant`` names the network's training; ``on_progress`` is told frames and frames a second. Raises
    :class:`InvalidInputData` for a source that is damaged or holds another number of frames than the task,
    :class:`TimedOut`, :class:`Cancelled`, and what the parts raise; nothing is left behind then.
    """
    settings = settings or get_settings()
    started = time.monotonic()
    network = zoo.find(task.scale, task.model, variant)
    with contextlib.closing(_Run(source, task, settings)) as run:
        # The decoder comes to its first pictures meanwhile.
        description = describe(source, task, settings)
        work = Work(network, geometry_of(task.stream), description.siting, precision, CONCURRENT)
        with (
            contextlib.closing(open_session(backend or settings.sr_backend, work, settings.sr_compiled_dir)) as session,
            Encoder(out, task, work.output, description) as encoder,
        ):
            slots = session.slots(SLOTS)
            ready = time.monotonic()
            run.go(slots, encoder, _Watch(on_progress, cancelled, started, timeout))
            encoder.finish()
    wall = time.monotonic() - started
    return Upscaled(
        frames=encoder.frames,
        reused=run.reused,
        width=work.output.width,
        height=work.output.height,
        backend=session.name,
        precision=session.precision,
        fps=encoder.frames / wall,
        seconds=Seconds(
            wall=wall,
            start=ready - started,
            decode=run.decode_seconds,
            network=run.network_seconds,
            encode=encoder.seconds,
            decoder_cpu=run.decoder_cpu,
            verify=encoder.verify_seconds,
        ),
        damage=run.damage,
    )


class _Watch:
    """Looks after deadline and cancellation, and tells of progress."""

    def __init__(
        self, on_progress: Progress | None, cancelled: threading.Event | None, started: float, timeout: float | None
    ) -> None:
        self._on_progress = on_progress
        self._cancelled = cancelled
        self._timeout = timeout
        self._deadline = None if timeout is None else started + timeout
        self._started = self._told = time.monotonic()

    def check(self) -> None:
        if self._cancelled is not None and self._cancelled.is_set():
            raise Cancelled("The work was cancelled.")
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise TimedOut(f"The upscaling ran past its {self._timeout:g} seconds.")

    def tell(self, frames: int, *, last: bool = False) -> None:
        now = time.monotonic()
        if self._on_progress is None or (now - self._told < PROGRESS_SECONDS and not last):
            return
        self._told = now
        self._on_progress(frames, frames / (now - self._started) if now > self._started else None)


class _Run:
    """One upscaling: the thread that decodes, which begins at once and waits for slots, and what was counted."""

    def __init__(self, source: Path, task: UpscaleTask, settings: Settings) -> None:
        self.reused = 0
        self.network_seconds = self.decode_seconds = self.decoder_cpu = 0.0
        self.damage: tuple[str, ...] = ()
        self._source = source
        self._task = task
        self._settings = settings
        self._stop = threading.Event()
        self._free: Channel[Slot] = Channel(SLOTS)
        # In the order of frames; None: the same as the one before; an exception: the end, good (EOFError) or bad.
        self._ready: Channel[Slot | BaseException | None] = Channel(4 * SLOTS)
        self._reader = threading.Thread(target=self._read, name="sr-decode")
        self._reader.start()

    def go(self, slots: Sequence[Slot], encoder: Encoder, watch: _Watch) -> None:
        """Run to the end; when this returns or raises, all is closed, and none of ``slots``, at most :data:`SLOTS`, in use."""
        for slot in slots:
            self._free.put(slot)
        try:
            self._encode(encoder, watch)
        finally:
            self.close()
            # A slot's buffers must outlive the network's work on them. What went wrong with pictures that are encoded was raised.
            for slot in slots:
                with contextlib.suppress(Exception):
                    slot.wait()

    def close(self) -> None:
        """End the thread and the decoder's process, where they have not ended yet."""
        self._stop.set()
        self._free.close()
        self._ready.close()
        self._reader.join()

    def _read(self) -> None:
        try:
            with decode(self._source, self._task, cancelled=self._stop, settings=self._settings) as decoder:
                self._start_all(decoder)
                self.decode_seconds, self.decoder_cpu, self.damage = decoder.seconds, decoder.cpu_seconds, decoder.damage
            self._ready.put(EOFError())
        except Closed:
            pass
        except BaseException as error:  # raised again in the caller's thread
            with contextlib.suppress(Closed):
                self._ready.put(error)

    def _start_all(self, decoder: Decoder) -> None:
        last: Slot | None = None
        slot = self._free.get()
        while decoder.read(slot.source):
            if last is not None and slot.source.same_as(last.source):
                self._ready.put(None)
                continue
            slot.start()
            self._ready.put(slot)
            # The encoder keeps it until the next one comes, so what it was made from is still there to compare with.
            last = slot
            slot = self._free.get()

    def _encode(self, encoder: Encoder, watch: _Watch) -> None:
        current: Slot | None = None
        while True:
            item = self._next(watch)
            if isinstance(item, EOFError):
                break
            if isinstance(item, BaseException):
                raise item
            if item is None:
                self.reused += 1
            else:
                if current is not None:
                    self._free.put(current)
                current = item
                waiting = time.monotonic()
                current.wait()
                self.network_seconds += time.monotonic() - waiting
            assert current is not None  # noqa: S101 - the first frame is never a repetition
            encoder.write(current.result)
            watch.tell(encoder.frames)
        watch.tell(encoder.frames, last=True)

    def _next(self, watch: _Watch) -> Slot | BaseException | None:
        while True:
            watch.check()
            with contextlib.suppress(TimeoutError):
                return self._ready.get(POLL_SECONDS)
