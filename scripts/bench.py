"""`make bench`: the whole workflow beside what a user would run instead, side by side in one run.

For each preset the same 1080p clip becomes the same HLS ladder three times:

(a) one ffmpeg command that decodes once and encodes all rungs, with the encoder settings of our profile;
(b) one ffmpeg command per rung, as most people do;
(ours) through S3, the HTTP API and every task of the DAG, verification and quality measurement included.

Prints seconds, ratios, where our time went, and how many bytes moved through S3 per byte of the source.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from include.embedded import connect, down, up
from include.ffmpeg_ops import ladder, probe
from include.ffmpeg_ops.models import MediaInfo, Rung
from include.settings import Settings
from scripts.clips import make_clip
from scripts.s3 import embedded_s3

WORK = Path("var/bench").absolute()


def plain_ffmpeg(clip: Path, rungs: tuple[Rung, ...], info: MediaInfo, out: Path) -> list[str]:
    """Return one ffmpeg command that makes HLS renditions of ``rungs``: one decode, one output per rung."""
    split = f"[0:v]split={len(rungs)}" + "".join(f"[s{n}]" for n in range(len(rungs)))
    scales = [f"[s{n}]scale={rung.width}:{rung.height}[v{n}]" for n, rung in enumerate(rungs)]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(clip), "-filter_complex", ";".join([split, *scales])]
    for n, rung in enumerate(rungs):
        folder = out / rung.name
        folder.mkdir(parents=True)
        command += ["-map", f"[v{n}]", "-c:v", "libx264", "-preset", rung.preset, "-profile:v", rung.h264_profile]
        command += ["-crf", f"{rung.crf:g}", "-maxrate", str(rung.bit_rate), "-bufsize", str(2 * rung.bit_rate)]
        command += ["-pix_fmt", "yuv420p", "-sc_threshold", "0", "-force_key_frames", "expr:gte(t,n_forced*2)"]
        if info.audio:
            command += ["-map", "0:a:0", "-c:a", "aac", "-b:a", "128k"]
        command += ["-f", "hls", "-hls_time", "6", "-hls_playlist_type", "vod", str(folder / "clip.m3u8")]
    return command


def timed(commands: list[list[str]]) -> float:
    """Run the commands one after the other and return the seconds they took together."""
    began = time.monotonic()
    for command in commands:
        subprocess.run(command, check=True)
    return time.monotonic() - began


@dataclass(frozen=True)
class Run:
    """What a run through the stack took and moved; seconds and bytes."""

    seconds: float
    tasks: dict[str, float]
    """Span of each task, over all its mapped instances."""
    costs: dict[str, Any]
    """``report.json``'s account of the units: phases with wall and processor seconds, bytes moved through S3."""


def through_the_stack(clip: Path) -> Run:
    """Upload (not timed), post, wait for ``done`` (timed)."""
    stack = connect()
    if stack is None:
        raise SystemExit("bench: the stack is gone; see var/logs")
    s3 = embedded_s3(stack)
    s3.upload_file(str(clip), stack.bucket, "bench/clip.mp4")
    body = {"bucket": stack.bucket, "src": "bench/clip.mp4", "dst": "bench/out/", "testflag": "no", "type": "m3u8"}
    body["time"] = str(time.time_ns())
    began = time.monotonic()
    with httpx.Client(base_url=stack.airflow_url, headers={"x-api-key": stack.api_key}, timeout=60) as client:
        answer = client.post("/prod/videoTranscode", json=body).raise_for_status().json()
        while True:
            video = client.get(answer["status_url"]).raise_for_status().json()["videos"][0]
            if video["status"] == "failed":
                raise SystemExit(f"bench: the run failed: {video['error']}")
            if video["status"] == "done":
                break
            # Every answer costs the API server some work, which the encoders would miss.
            time.sleep(2)
        seconds = time.monotonic() - began
        login = {"username": stack.admin_user, "password": stack.admin_password}
        token = client.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        instances = client.get(
            f"/api/v2/dags/transcode/dagRuns/{answer['run_id']}/taskInstances",
            headers={"Authorization": f"Bearer {token}"},
            params={"limit": 100},
        ).json()["task_instances"]
    spans: dict[str, list[datetime]] = {}
    for instance in instances:
        if instance["end_date"]:
            times = [datetime.fromisoformat(instance[name]) for name in ("start_date", "end_date")]
            spans.setdefault(instance["task_id"], []).extend(times)
    tasks = {task: (max(times) - min(times)).total_seconds() for task, times in spans.items()}
    folder = video["dst"].rpartition("/")[0]
    report = json.loads(s3.get_object(Bucket=stack.bucket, Key=f"{folder}/report.json")["Body"].read())
    return Run(seconds, tasks, report["costs"])


def main() -> int:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="length of the clip that is made (default 300)")
    parser.add_argument("--presets", nargs="+", default=["medium", "veryfast"])
    parser.add_argument("--video", type=Path, help="a clip of your own")
    arguments = parser.parse_args()
    if connect() is not None:
        print("bench: a stack is running and would share the processors; stop it first: make down")
        return 1
    WORK.mkdir(parents=True, exist_ok=True)
    clip = arguments.video or WORK / f"clip-{arguments.seconds:g}.mp4"
    if not clip.exists():
        print(f"==> making {clip.name}: 1920x1080, {arguments.seconds:g} s", flush=True)
        make_clip(clip.with_suffix(".part.mp4"), seconds=arguments.seconds, width=1920, height=1080, bit_rate="8M")
        clip.with_suffix(".part.mp4").rename(clip)
    info, _ = probe.probe(clip, settings=Settings())
    picture = f"{info.video.display_width}x{info.video.display_height}"
    print(
        f"clip: {picture}, {info.video.frames} frames, {float(info.duration):.1f} s, {info.bit_rate / 1e6:.1f} Mbit/s; "
        f"{os.cpu_count()} processors",
        flush=True,
    )
    rows = []
    for preset in arguments.presets:
        rungs = ladder.rungs_for(ladder.load_profile("hls_ladder"), info, preset=preset)
        out = WORK / "plain"
        shutil.rmtree(out, ignore_errors=True)
        one = timed([plain_ffmpeg(clip, rungs, info, out / "one")])
        print(f"{preset}: (a) one command for {len(rungs)} rungs: {one:.1f} s", flush=True)
        each = timed([plain_ffmpeg(clip, (rung,), info, out / "each") for rung in rungs])
        print(f"{preset}: (b) one command per rung: {each:.1f} s", flush=True)
        os.environ["MEDIA_X264_PRESET"] = preset
        if up() != 0:
            return 1
        try:
            run = through_the_stack(clip)
        finally:
            down()
        print(f"{preset}: (ours) through the whole DAG: {run.seconds:.1f} s", flush=True)
        print("    tasks, s:  " + "  ".join(f"{task} {seconds:.1f}" for task, seconds in run.tasks.items()))
        for name, spent in run.costs["phases"].items():
            print(f"    {name:<8} {spent['wall_seconds']:8.1f} s over all units, {spent['cpu_seconds']:8.1f} s of processor time")
        rows.append((preset, one, each, run))
    columns = ["preset", "(a) one command, s", "(b) per rung, s", "ours, s", "(a)/ours", "(b)/ours"]
    columns += ["outside encoding, s", "S3 bytes per source byte"]
    print("\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for preset, one, each, run in rows:
        moved = (run.costs["bytes_read"] + run.costs["bytes_written"]) / clip.stat().st_size
        figures = [one, each, run.seconds, one / run.seconds, each / run.seconds, run.seconds - run.tasks["encode"], moved]
        print(f"| {preset} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
