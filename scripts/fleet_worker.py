"""The worker of a simulated fleet: the real one, except that upscaling sleeps in proportion to the frames of its segment.

``make bench-fleet`` names it in ``MEDIA_WORKER_COMMAND``. Documents, markers, locks, transfers, events, signals and imports are
the real worker's, since it is the real worker with other media functions; so are probing and splitting. What it uploads are a few
bytes, which are not joined as video.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from include.errors import Cancelled
from include.sr_model.models import Seconds, Upscaled, UpscaleTask
from include.worker import __main__ as worker
from include.worker.execute import execute
from include.worker.media import MediaTools

__all__ = ["SECONDS_PER_FRAME", "fleet_tools", "main"]

SECONDS_PER_FRAME = "FLEET_SECONDS_PER_FRAME"
STEP_SECONDS = 0.25


def main() -> int:
    """Run the unit whose URI follows, as ``python -m include.worker run`` does."""
    # The command line has no place for other media functions, and users have no use for one.
    worker.execute = partial(execute, media=fleet_tools(float(os.environ[SECONDS_PER_FRAME])))  # type: ignore[assignment]
    return worker.main(["run", *sys.argv[1:]])


def fleet_tools(seconds_per_frame: float) -> MediaTools:
    """Return the media functions of a machine that upscales a frame in ``seconds_per_frame``."""
    return MediaTools(upscale=partial(_upscale, seconds_per_frame), splice=_splice, merge=_merge, verify_fidelity=_verify)


def _upscale(
    seconds_per_frame: float,
    source: Path,
    task: UpscaleTask,
    out: Path,
    *,
    on_progress: Callable[[int, float], None],
    cancelled: threading.Event,
    **run_kwargs: Any,
) -> Upscaled:
    began = time.monotonic()
    ends = began + task.frames * seconds_per_frame
    while (left := ends - time.monotonic()) > 0:
        if cancelled.wait(min(left, STEP_SECONDS)):
            raise Cancelled("The work was cancelled.")
        on_progress(min(task.frames, int((time.monotonic() - began) / seconds_per_frame)), 1 / seconds_per_frame)
    wall = time.monotonic() - began
    out.write_bytes(f"{source.stat().st_size} bytes, {task.frames} frames".encode())
    return Upscaled(
        frames=task.frames,
        reused=0,
        width=task.stream.width * task.scale,
        height=task.stream.height * task.scale,
        backend="sleep",
        precision="none",
        fps=task.frames / wall,
        seconds=Seconds(wall=wall, decode=0, network=wall, encode=0, decoder_cpu=0),
    )


def _splice(parts: Any, manifest: Any, out: Path, **kwargs: Any) -> None:
    out.write_bytes(b"".join(part.read_bytes() for part in parts))


def _merge(source: Path, info: Any, video: Path, out: Path, **kwargs: Any) -> None:
    out.write_bytes(video.read_bytes())


def _verify(source: Path, info: Any, manifest: Any, out: Path, *, scale: int, **kwargs: Any) -> dict[str, Any]:
    size = {"width": info.video.width * scale, "height": info.video.height * scale}
    return {"size": out.stat().st_size, "frames": manifest.frames, **size}


if __name__ == "__main__":
    sys.exit(main())
