"""``python -m scripts.load`` (or ``make bench-api``): many clients create and poll tasks of the running stack at the same time.

Each client creates a task, looks at it every second for a while, and begins again; all of it signed. The sources are real, so the
tasks run, too. Prints a table of the answers' times and ends with 1 where an answer was 5xx or none, or slower than the limit for
more than one in a hundred. The tasks that still wait are deleted afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import httpx

from include.client import Client, Key, SignedRequests
from include.embedded import Stack, connect

TASKS = "/api/v1/task/transcoding"
SOURCE = "load/source.mp4"
NO_ANSWER = 599


@dataclass
class Tally:
    """Times and statuses of answers by kind of call."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)

    async def call(self, client: httpx.AsyncClient, name: str, method: str, path: str, **arguments: object) -> httpx.Response:
        """Make a call and note how long it took."""
        began = time.perf_counter()
        try:
            answer = await client.request(method, path, **arguments)  # type: ignore[arg-type]
        except httpx.TransportError:
            answer = httpx.Response(NO_ANSWER)
        self.seconds[name].append(time.perf_counter() - began)
        self.statuses[name, answer.status_code] += 1
        return answer

    @property
    def server_errors(self) -> int:
        """Answers that were our fault."""
        return sum(count for (_, status), count in self.statuses.items() if status >= 500)

    def worst(self) -> float:
        """Return the 99th percentile of all answers, seconds."""
        return percentile([second for seconds in self.seconds.values() for second in seconds], 99)

    def table(self) -> str:
        """Return a line for each kind of call, seconds."""
        rows = [f"{'call':8} {'count':>6} {'p50':>7} {'p95':>7} {'p99':>7} {'max':>7}  statuses"]
        for name, seconds in sorted(self.seconds.items()):
            statuses = ", ".join(f"{status}: {count}" for (call, status), count in sorted(self.statuses.items()) if call == name)
            shares = " ".join(f"{percentile(seconds, share):7.3f}" for share in (50, 95, 99, 100))
            rows.append(f"{name:8} {len(seconds):6} {shares}  {statuses}")
        return "\n".join(rows)


def percentile(values: list[float], share: int) -> float:
    """Return the value that ``share`` per cent of the values do not exceed."""
    if len(values) < 2:
        return max(values, default=0.0)
    return max(values) if share == 100 else statistics.quantiles(values, n=100, method="inclusive")[share - 1]


async def one_client(number: int, stack: Stack, tally: Tally, *, pause: float, until: float, looks: int) -> list[str]:
    """After a pause, create and look until the time is over; return the ids of the tasks."""
    key = Key(*stack.signing_key)
    run = f"{time.time_ns():x}"
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(
        base_url=stack.airflow_url, auth=SignedRequests(key), timeout=60, trust_env=False, limits=limits
    ) as client:
        # Fifty people do not press a button in the same second.
        await asyncio.sleep(pause)
        turn, ids = 0, []
        while time.monotonic() < until:
            turn += 1
            target = f"s3://{stack.bucket}/load/{run}/{number}-{turn}.mp4"
            body = {
                "source": {"source_url": f"s3://{stack.bucket}/{SOURCE}"},
                "profile_name": "video_mp4_128x72_100kbps",
                "targets": [{"target_url": target}],
            }
            created = await tally.call(client, "create", "POST", TASKS, json=body)
            if not created.is_success:
                continue
            ids.append(created.json()["task_id"])
            for _ in range(looks):
                await asyncio.sleep(1)
                if time.monotonic() >= until:
                    break
                await tally.call(client, "query", "GET", f"{TASKS}/{ids[-1]}")
        return ids


async def load(stack: Stack, *, clients: int, seconds: float, looks: int) -> Tally:
    """Return what ``clients`` measured; they begin one after the other in the first ten seconds."""
    tally, until = Tally(), time.monotonic() + seconds
    ids = await asyncio.gather(
        *(one_client(number, stack, tally, pause=10 * number / clients, until=until, looks=looks) for number in range(clients))
    )
    await asyncio.to_thread(clean_up, stack, [task_id for found in ids for task_id in found])
    return tally


def clean_up(stack: Stack, ids: list[str]) -> None:
    """Delete the tasks that wait, those that were created last first."""
    with Client(stack.airflow_url, Key(*stack.signing_key)) as client:
        for task_id in reversed(ids):
            if client.query(task_id)["task_status"] == "PENDING":
                client.delete(task_id)


def upload_source(stack: Stack) -> None:
    """Put a second of video where the tasks read it."""
    s3 = boto3.client(
        "s3", endpoint_url=stack.aws_url, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source.mp4"
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=128x72:r=25:d=1",
            "-c:v",
            "libx264",
            "-g",
            "25",
            str(path),
        ]
        subprocess.run(command, check=True)
        s3.upload_file(str(path), stack.bucket, SOURCE)


def main(arguments: list[str] | None = None) -> int:
    """Load the running stack and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--looks", type=int, default=20, help="at a task before the next one is created, a second apart")
    parser.add_argument("--limit", type=float, default=1.0, help="seconds that 99 of 100 answers may take")
    options = parser.parse_args(arguments)
    stack = connect()
    if stack is None:
        print("No stack is running; start one with: make up", file=sys.stderr)
        return 2
    upload_source(stack)
    tally = asyncio.run(load(stack, clients=options.clients, seconds=options.seconds, looks=options.looks))
    print(f"{options.clients} clients, {options.seconds:g} s")
    print(tally.table())
    print(f"all: p99 {tally.worst():.3f} s, 5xx {tally.server_errors}")
    return 1 if tally.server_errors or tally.worst() >= options.limit else 0


if __name__ == "__main__":
    sys.exit(main())
