"""``python -m scripts.pages`` (or ``make bench-pages``): what a poll of the media pages takes beside years of work.

Starts a stack of its own, writes 5,000 past runs and one with 200 units at work into its database, and lets a real film be
encoded the while, so that the processors are busy. Then polls as open pages do, every two seconds each: the list, a search, a
filter and the page of the large run. Prints a table, and ends with 1 where more than one poll of twenty took longer than the
limit.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from include.embedded import Stack, connect, down, up
from include.embedded.environment import environment
from include.settings import get_settings
from scripts.clips import make_clip
from scripts.load import percentile
from scripts.s3 import embedded_s3
from tests.media_pages.history import BIG

POLL_SECONDS = 2.0
PAGES = {
    "list": "data/jobs",
    "search": "data/jobs?q=film-001",
    "filter": "data/jobs?state=failed&kind=transcode",
    "job": f"data/jobs/transcode/{BIG.run_id}",
}
FILM = "bench-pages/film.mp4"


def write_history(stack: Stack, runs: int, units: int) -> None:
    """Write years of work into the database of a running stack."""
    # Units that nobody works on would be taken for killed ones; those that wait for Batch are not.
    history = ["tests.media_pages.history", "--runs", str(runs), "--units", str(units), "--state", "deferred"]
    variables = environment(stack, get_settings())
    subprocess.run([sys.executable, "-m", *history], env=variables, check=True, stdout=subprocess.DEVNULL)


def encode(stack: Stack, seconds: float) -> str:
    """Let a film of so many seconds be encoded; return the id of its run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        make_clip(path, seconds=seconds, width=1280, height=720)
        embedded_s3(stack).upload_file(str(path), stack.bucket, FILM)
    body = {"bucket": stack.bucket, "src": FILM, "dst": "bench-pages/out/", "type": "m3u8", "time": "1", "testflag": "no"}
    answer = httpx.post(
        f"{stack.airflow_url}/prod/videoTranscode", json=body, headers={"x-api-key": stack.api_key}, timeout=60, trust_env=False
    )
    return str(answer.raise_for_status().json()["run_id"])


async def poll(stack: Stack, token: str, viewers: int, seconds: float) -> dict[str, list[float]]:
    """Return the seconds of each answer by page, of ``viewers`` who look at each page."""
    took: dict[str, list[float]] = {name: [] for name in PAGES}
    until = time.monotonic() + seconds
    headers = {"cookie": f"_token={token}", "sec-fetch-site": "same-origin"}
    async with httpx.AsyncClient(base_url=f"{stack.airflow_url}/media/", headers=headers, timeout=60, trust_env=False) as client:

        async def look(name: str, delay: float) -> None:
            await asyncio.sleep(delay)
            while time.monotonic() < until:
                began = time.perf_counter()
                (await client.get(PAGES[name])).raise_for_status()
                took[name].append(time.perf_counter() - began)
                await asyncio.sleep(POLL_SECONDS)

        looks = [(name, viewer) for viewer in range(viewers) for name in PAGES]
        await asyncio.gather(*(look(name, POLL_SECONDS * at / len(looks)) for at, (name, _) in enumerate(looks)))
    return took


def main(arguments: list[str] | None = None) -> int:
    """Start a stack, measure, stop it, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--viewers", type=int, default=1, help="of each of the four pages")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--limit", type=float, default=0.3, help="seconds that 19 of 20 polls may take")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="reelflow-pages-") as folder:
        state_dir = Path(folder) / "state"
        try:
            if up(state_dir) != 0:
                return 2
            stack = connect(state_dir)
            assert stack is not None
            return measure(stack, options)
        finally:
            down(state_dir)


def measure(stack: Stack, options: argparse.Namespace) -> int:
    """Fill the stack, poll it, and print what it took."""
    write_history(stack, options.runs, options.units)
    login = {"username": stack.admin_user, "password": stack.admin_password}
    answer = httpx.post(f"{stack.airflow_url}/auth/token", json=login, timeout=60, trust_env=False)
    token = answer.raise_for_status().json()["access_token"]
    run_id = encode(stack, options.seconds)
    took = asyncio.run(poll(stack, token, options.viewers, options.seconds))
    state = httpx.get(
        f"{stack.airflow_url}/api/v2/dags/transcode/dagRuns/{run_id}", headers={"Authorization": f"Bearer {token}"}, timeout=60
    ).json()["state"]
    print(f"{options.runs} past runs, one of {options.units} units, {options.viewers} viewers of each page;")
    print(f"a film was encoded meanwhile, whose run was {state} at the end")
    print(f"{'page':8} {'polls':>6} {'p50':>7} {'p95':>7} {'max':>7}")
    for name, seconds in took.items():
        print(f"{name:8} {len(seconds):6} " + " ".join(f"{percentile(seconds, share):7.3f}" for share in (50, 95, 100)))
    return 1 if any(percentile(seconds, 95) >= options.limit for seconds in took.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
