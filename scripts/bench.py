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


def through_the_stack(clip: Path) -> tuple[float, dict[str, Any]]:
    """Upload (not timed), post, wait for ``done`` (timed); return seconds and the run's report."""
    stack = connect()
    if stack is None:
        raise SystemExit("bench: the stack is gone; see var/logs")
    s3 = boto3.client(
        "s3", endpoint_url=stack.aws_url, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    s3.upload_file(str(clip), stack.bucket, "bench/clip.mp4")
    body = {"bucket": stack.bucket, "src": "bench/clip.mp4", "dst": "bench/out/", "testflag": "no", "type": "m3u8"}
    body["time"] = str(time.time_ns())
    began = time.monotonic()
    with httpx.Client(base_url=stack.airflow_url, headers={"x-api-key": stack.api_key}, timeout=60) as client:
        answer = client.post("/prod/videoTranscode", json=body)
        answer.raise_for_status()
        while True:
            video = client.get(answer.json()["status_url"]).raise_for_status().json()["videos"][0]
            if video["status"] == "failed":
                raise SystemExit(f"bench: the run failed: {video['error']}")
            if video["status"] == "done":
                break
            time.sleep(0.25)
    seconds = time.monotonic() - began
    report = s3.get_object(Bucket=stack.bucket, Key=video["dst"].rpartition("/")[0] + "/report.json")["Body"].read()
    return seconds, json.loads(report)


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
    print(
        f"clip: {info.video.display_width}x{info.video.display_height}, {info.video.frames} frames, {float(info.duration):.1f} s, "
        f"{info.bit_rate / 1e6:.1f} Mbit/s; {os.cpu_count()} processors",
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
            ours, report = through_the_stack(clip)
        finally:
            down()
        print(f"{preset}: (ours) through the whole DAG: {ours:.1f} s", flush=True)
        print(json.dumps(report.get("timings", {}), indent=2), flush=True)
        rows.append((preset, one, each, ours, report))
    print(
        "\n| preset | (a) one command, s | (b) per rung, s | ours, s | (a)/ours | (b)/ours | outside encoding, s | S3 bytes per source byte |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for preset, one, each, ours, report in rows:
        timings = report["timings"]
        moved = (report["bytes_moved"]["read"] + report["bytes_moved"]["written"]) / clip.stat().st_size
        print(
            f"| {preset} | {one:.1f} | {each:.1f} | {ours:.1f} | {one / ours:.2f} | {each / ours:.2f} "
            f"| {ours - timings['encode_span_seconds']:.1f} | {moved:.2f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
