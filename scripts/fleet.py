"""`make bench-fleet`: what scheduling costs, in a fleet whose workers sleep in proportion to their segments.

Starts the stack with 1, 2 and 4 worker slots and runs the DAG ``super_resolution`` on a clip of ten minutes. Workers are
:mod:`scripts.fleet_worker`: everything but the computing is real, and sleeping takes no processor, so that two cores can stand
for four machines. Then a run of 200 units, and in its middle a second run, whose waiting is measured.

For each: the seconds from the end of the split to the end of the last unit, what these would be if units came out of nowhere, and
the difference per unit: (span - ideal) * slots / units, the time that a slot loses between one unit's work and the next one's.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from include.embedded import Stack, connect, down, up
from include.settings import Settings
from scripts.fleet_worker import SECONDS_PER_FRAME
from scripts.s3 import embedded_s3

__all__ = ["Fleet", "Measured", "Unit", "ideal_seconds", "measure", "waited"]

WORK = Path(os.environ.get("REELFLOW_STATE") or "var").absolute() / "fleet"
CLIP_SECONDS = 600
RATE = 5
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Unit:
    """One mapped task: when it was queued, began and ended (epoch seconds), what its worker slept, and how long it waited to."""

    queued: float
    began: float
    ended: float
    slept: float
    waited: float = 0.0


@dataclass(frozen=True)
class Measured:
    """What a run of the fleet took; seconds, of one unit where the name says so."""

    units: int
    slots: int
    span: float
    ideal: float
    start_of_unit: float
    """From queued to begun, on average: the executor and the start of the task's process."""
    rest_of_unit: float
    """From begun to ended, less the sleep and the wait for a slot, on average: the task, the start of the worker, its documents
    and files. What of it falls into the time in which another unit sleeps costs nothing."""

    @property
    def overhead(self) -> float:
        """Seconds that a slot loses per unit."""
        return (self.span - self.ideal) * self.slots / self.units


def ideal_seconds(slept: Sequence[float], slots: int) -> float:
    """Return how long ``slots`` would take for work of these lengths, in this order, if nothing else took time."""
    free = [0.0] * slots
    for seconds in slept:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


def measure(units: Sequence[Unit], slots: int, split_ended: float) -> Measured:
    """Return the account of a run from its units, in their order."""
    count = len(units)
    return Measured(
        units=count,
        slots=slots,
        span=max(unit.ended for unit in units) - split_ended,
        ideal=ideal_seconds([unit.slept for unit in units], slots),
        start_of_unit=sum(unit.began - unit.queued for unit in units) / count,
        rest_of_unit=sum(unit.ended - unit.began - unit.slept - unit.waited for unit in units) / count,
    )


def waited(first: Sequence[Unit], second: Sequence[Unit], since: float) -> tuple[float, int]:
    """Return how long a second run's first unit waited, from ``since``, and how many units of the first run began meanwhile."""
    began = min(unit.began for unit in second)
    return began - since, sum(since < unit.began < began for unit in first)


class Fleet:
    """A running stack whose workers sleep."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._s3 = embedded_s3(stack)
        self._settings = Settings()
        self._http = httpx.Client(base_url=stack.airflow_url, timeout=60, trust_env=False)
        login = {"username": stack.admin_user, "password": stack.admin_password}
        token = self._http.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        self._airflow = {"Authorization": f"Bearer {token}"}

    def post(self, clip: Path, key: str, segment_time: float) -> str:
        """Upload ``clip`` and post it to be upscaled; return the run id."""
        self._s3.upload_file(str(clip), self._stack.bucket, key)
        body = {"key": key, "scale": 2, "segment_time": segment_time}
        answer = self._http.post("/prod", json=body, headers={"x-api-key": self._stack.api_key}).raise_for_status().json()
        return str(answer["run_id"])

    def wait(self, run_id: str) -> None:
        """Wait until the run has succeeded."""
        # Every answer costs the API server some work, which the tasks' own calls would miss.
        while (state := self._get(f"/dagRuns/{run_id}")["state"]) != "success":
            if state == "failed":
                raise SystemExit(f"fleet: the run {run_id} failed; see {self._stack.logs} and the task logs")
            time.sleep(POLL_SECONDS)

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._get(f"/dagRuns/{run_id}/taskInstances", limit=100, offset=len(found))
            found += page["task_instances"]
            if len(found) >= page["total_entries"]:
                return found

    def units(self, run_id: str) -> list[Unit]:
        """Return the units of a run that has ended, in their order, with the sleeps that their workers reported."""
        mapped = sorted((task for task in self.tasks(run_id) if task["task_id"] == "upscale"), key=lambda task: task["map_index"])
        folder = f"{self._settings.work_prefix}jobs/{run_id.partition('__')[2]}/results"
        units = []
        for number, task in enumerate(mapped):
            key = f"{folder}/result-segment-{number:05d}.json"
            metrics = json.loads(self._s3.get_object(Bucket=self._stack.bucket, Key=key)["Body"].read())["metrics"]
            times = [_time(task[name]) for name in ("queued_when", "start_date", "end_date")]
            units.append(Unit(*times, metrics["stages"]["wall"], metrics["phases"]["wait"]["wall_seconds"]))
        return units

    def split_ended(self, run_id: str) -> float:
        """Return when the units were known, epoch seconds."""
        return next(_time(task["end_date"]) for task in self.tasks(run_id) if task["task_id"] == "split")

    def done(self, run_id: str) -> int:
        """Return how many units are done."""
        return sum(task["task_id"] == "upscale" and task["state"] == "success" for task in self.tasks(run_id))

    def _get(self, path: str, **params: Any) -> dict[str, Any]:
        url = f"/api/v2/dags/super_resolution{path}"
        document: dict[str, Any] = self._http.get(url, params=params, headers=self._airflow).raise_for_status().json()
        return document


@contextmanager
def fleet(slots: int, seconds_per_frame: float) -> Iterator[Fleet]:
    """Run a stack with ``slots`` places for upscaling."""
    os.environ |= {
        "MEDIA_WORKER_COMMAND": f"{sys.executable} -m scripts.fleet_worker",
        SECONDS_PER_FRAME: str(seconds_per_frame),
        # Slots are locks in this folder, which other stacks of this machine would share.
        "MEDIA_CACHE_DIR": str(WORK / "cache"),
        # Room for twice as many segments as there are slots: half of them start and wait.
        "MEDIA_UNIT_SLOTS": str(2 * slots),
        "MEDIA_SR_SLOTS": str(slots),
    }
    if up() != 0:
        raise SystemExit("fleet: the stack did not start")
    try:
        stack = connect()
        assert stack is not None
        yield Fleet(stack)
    finally:
        down()


def make_clip(path: Path) -> Path:
    """Write ten minutes of very small video with a keyframe each second, unless it is there; return ``path``."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.mp4")
        source = f"testsrc2=size=64x36:rate={RATE}"
        encode = ["-c:v", "libx264", "-preset", "ultrafast", "-g", str(RATE), "-sc_threshold", "0", "-pix_fmt", "yuv420p"]
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", source, "-t", str(CLIP_SECONDS)]
        subprocess.run([*command, *encode, str(part)], check=True)
        part.rename(path)
    return path


def scaling(clip: Path, slots: int, segment_time: float, seconds_per_frame: float) -> Measured:
    """Run the clip on a fleet of ``slots``."""
    with fleet(slots, seconds_per_frame) as running:
        # The first run after a start also waits for what only a first run waits for.
        running.wait(running.post(clip, "fleet/warm-up.mp4", CLIP_SECONDS / 2))
        run_id = running.post(clip, "fleet/clip.mp4", segment_time)
        running.wait(run_id)
        return measure(running.units(run_id), slots, running.split_ended(run_id))


def sharing(clip: Path, slots: int, seconds_per_frame: float) -> tuple[Measured, Measured, float, int]:
    """Run 200 units, and when a third of them is done, a second run; return both, and the second one's waiting."""
    units = 200
    with fleet(slots, seconds_per_frame) as running:
        first = running.post(clip, "fleet/long.mp4", CLIP_SECONDS / units)
        while running.done(first) < units // 3:
            time.sleep(POLL_SECONDS)
        posted = time.time()
        second = running.post(clip, "fleet/short.mp4", CLIP_SECONDS / 20)
        for run_id in (first, second):
            running.wait(run_id)
        long, short = running.units(first), running.units(second)
        waiting, meanwhile = waited(long, short, posted)
        return (
            measure(long, slots, running.split_ended(first)),
            measure(short, slots, running.split_ended(second)),
            waiting,
            meanwhile,
        )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench-fleet", description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--segment-time", type=float, default=30.0, help="seconds of the clip per unit (default 30: 20 units)")
    parser.add_argument("--speed", type=float, default=10.0, help="seconds of the clip per second of a worker (default 10)")
    parser.add_argument("--no-sharing", action="store_true", help="without the two runs at once")
    arguments = parser.parse_args()
    if connect() is not None:
        print("fleet: a stack is running; stop it first: make down (or give this one REELFLOW_STATE and ports of its own)")
        return 1
    clip = make_clip(WORK / "clip.mp4")
    seconds_per_frame = 1 / (arguments.speed * RATE)
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before the start", flush=True)
    rows = []
    for slots in arguments.slots:
        rows.append(scaling(clip, slots, arguments.segment_time, seconds_per_frame))
        print(f"==> {slots} slots: {rows[-1].overhead:.2f} s per unit beside its work", flush=True)
    print("\n| slots | units | span, s | ideal, s | overhead per unit, s | queued to begun, s | start and end of a unit, s |")
    print("|---" * 7 + "|")
    for row in rows:
        figures = (row.span, row.ideal, row.overhead, row.start_of_unit, row.rest_of_unit)
        print(f"| {row.slots} | {row.units} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |", flush=True)
    if not arguments.no_sharing:
        long, short, waiting, meanwhile = sharing(clip, max(arguments.slots), seconds_per_frame)
        print(
            f"\n{long.units} units on {long.slots} slots, a second run in their middle: {long.span:.1f} s "
            f"(work alone {long.ideal:.1f})"
        )
        print(
            f"the second run, {short.units} units: its first unit began {waiting:.1f} s after the post, while {meanwhile} units "
            f"of the first run began; its units took {short.span:.1f} s (work alone {short.ideal:.1f})"
        )
    return 0


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    sys.exit(main())
