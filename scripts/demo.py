"""The main jobs on real video, as a client would do them: `make demo [VIDEO=path] [KEEP=1] [COMPOSE=.env]`.

Starts the stack (unless it runs, or is that of docker-compose.yaml), uploads a clip to S3, posts it to ``/prod/videoTranscode``
as an HLS ladder and as an MP4, and a small one to ``/prod`` to be upscaled; watches all three, downloads what was published and
verifies it with :mod:`scripts.eyes`. Exit status 0 only if all of it is right.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from include.embedded import Stack, connect, down, up
from scripts.clips import make_clip
from scripts.compose_stack import ComposeStack
from scripts.eyes import Failed, check_hls, check_rendition, check_upscaled, expect, facts_of, say
from scripts.s3 import embedded_s3

FOLDER = "demo/"
SCALE = 2
SMALL_SECONDS = 8


def main() -> int:
    """Run the demonstration and return the exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, help="your own clip (default: one is made)")
    parser.add_argument("--seconds", type=int, default=60, help="length of the clip that is made")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    parser.add_argument("--compose", type=Path, metavar="ENV", help="use the running stack of docker-compose.yaml with this .env")
    arguments = parser.parse_args()
    if arguments.video and not arguments.video.is_file():
        say(f"demo: there is no file {arguments.video}")
        return 2

    work = Path("var/demo").absolute()
    work.mkdir(parents=True, exist_ok=True)
    numbered = arguments.video is None
    clip = arguments.video or work / "clip.mp4"
    small = work / "small.mp4"
    _remove_former(work, arguments.video)
    if numbered:
        say(f"==> making clips: {arguments.seconds} s of 1280x720 and 8 s of 320x180, numbered frames, 440 Hz tone")
    made = ThreadPoolExecutor(1).submit(_make_clips, None if numbered else clip, work, arguments.seconds)
    if not numbered and isinstance(made.exception(), subprocess.CalledProcessError):
        say(f"demo: no video can be read from {clip}; what ffmpeg says of it stands above")
        return 2
    if arguments.compose:
        made.result()
        return _run(ComposeStack.of(arguments.compose), clip, small, work, numbered)
    was_running = connect() is not None
    if up() != 0:
        return 1
    try:
        made.result()
        stack = connect()
        if stack is None:
            say("demo: the stack has gone; see its logs")
            return 1
        return _run(stack, clip, small, work, numbered)
    finally:
        if was_running or arguments.keep:
            say("==> the stack is still running; `make down` stops it")
        else:
            down()


def _remove_former(work: Path, video: Path | None) -> None:
    """Remove what a former demonstration has left, which would else be verified where this one publishes less."""
    for folder in ("m3u8", "mp4"):
        shutil.rmtree(work / folder, ignore_errors=True)
    for file in ("clip.mp4", "small.mp4", "upscaled.mp4"):
        if video is None or video.absolute() != work / file:
            (work / file).unlink(missing_ok=True)


def _make_clips(video: Path | None, work: Path, seconds: int) -> None:
    """Make ``clip.mp4`` and ``small.mp4``; of a video of the user's own the small one is a piece."""
    small = work / "small.mp4"
    if video is None:
        make_clip(small, seconds=SMALL_SECONDS, width=320, height=180)
        make_clip(work / "clip.mp4", seconds=seconds, width=1280, height=720)
        return
    piece = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-y",
        "-t",
        str(SMALL_SECONDS),
        "-i",
        str(video),
        "-map",
        "0:V:0",
        "-map",
        "0:a:0?",
    ]
    piece += ["-vf", "scale=-2:'min(180,floor(ih/2)*2)'", "-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    subprocess.run([*piece, str(small)], check=True)


def _run(stack: Stack | ComposeStack, clip: Path, small: Path, work: Path, numbered: bool) -> int:
    source = facts_of(str(clip))
    s3 = stack.s3() if isinstance(stack, ComposeStack) else embedded_s3(stack)
    key = f"{FOLDER}src/{clip.name if clip.suffix.lower() == '.mp4' else clip.stem + '.mp4'}"
    told = f"{clip.stat().st_size / 1e6:.1f} MB, {source.frames} frames, {float(source.duration):.3f} s"
    say(f"==> uploading {clip.name} ({told}) to s3://{stack.bucket}/{key}")
    s3.upload_file(str(clip), stack.bucket, key)
    stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    small_key = f"{FOLDER}upscaled/{stamp}.mp4"
    s3.upload_file(str(small), stack.bucket, small_key)
    began = time.monotonic()
    with httpx.Client(base_url=stack.airflow_url, headers={"x-api-key": stack.api_key}, timeout=60) as client:
        bodies: dict[str, tuple[str, dict[str, Any]]] = {
            kind: (
                "/prod/videoTranscode",
                {"bucket": stack.bucket, "src": key, "dst": f"{FOLDER}{kind}/", "testflag": "no", "time": stamp, "type": kind}
                | {"contentprovider": "demo"},
            )
            for kind in ("m3u8", "mp4")
        }
        bodies["upscaled"] = ("/prod", {"key": small_key, "scale": SCALE, "segment_time": 4})
        runs = {}
        for kind, (path, body) in bodies.items():
            answer = client.post(path, json=body)
            say(f"==> POST {path} {json.dumps(body)}\n    {answer.status_code} {answer.text}")
            if answer.status_code != 200:
                return 1
            runs[kind] = answer.json()["status_url"]
        finished = _watch(client, runs, began)
    if finished is None:
        return 1
    say(f"==> all done after {time.monotonic() - began:.1f} s; downloading and verifying")
    try:
        for kind in ("m3u8", "mp4"):
            folder = finished[kind]["dst"].rpartition("/")[0] + "/"
            entry = work / kind / finished[kind]["dst"].removeprefix(folder)
            count = _download(s3, stack.bucket, folder, work / kind)
            say(f"    {kind}: {count} objects in s3://{stack.bucket}/{folder}")
            if kind == "m3u8":
                check_hls(entry, source, numbered)
            else:
                check_rendition(entry.name, entry, source, numbered)
            report = entry.with_name("report.json" if kind == "m3u8" else f"{entry.stem}.report.json")
            expect(bool(json.loads(report.read_text())), f"{report.name} is empty")
        output_key = finished["upscaled"]["output_key"]
        say(f"    upscaled: s3://{stack.bucket}/{output_key}, {len(finished['upscaled']['segments'])} segments")
        upscaled = work / "upscaled.mp4"
        s3.download_file(stack.bucket, output_key, str(upscaled))
        check_upscaled(upscaled, small, facts_of(str(small)), SCALE, numbered)
    except Failed as failure:
        say(f"demo: FAILED: {failure}")
        return 1
    say(f"""==> all of it is right
    files     {work}/m3u8  {work}/mp4  {upscaled}   (s3://{stack.bucket}/{FOLDER} at {stack.aws_url})
    Airflow   {stack.airflow_url}   user {stack.admin_user}, password {stack.admin_password}
    API key   {stack.api_key}""")
    return 0


def _download(s3: Any, bucket: str, folder: str, target: Path) -> int:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    for name in keys:
        path = target / name.removeprefix(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, name, str(path))
    return len(keys)


def _watch(client: httpx.Client, runs: dict[str, str], began: float) -> dict[str, dict[str, Any]] | None:
    """Show the runs' progress until all are done; ``None`` where one has failed."""
    finished: dict[str, dict[str, Any]] = {}
    shown: list[str] = []
    while len(finished) < len(runs):
        line = []
        for kind, url in runs.items():
            answer = client.get(url).raise_for_status().json()
            video = answer["videos"][0] if "videos" in answer else answer
            line.append(f"{kind} {video['status']} {video.get('progress', 0):3d} %")
            if video["status"] == "failed":
                say(f"\ndemo: {kind} failed: {video['error']}")
                return None
            if video["status"] == "done":
                finished[kind] = video
        text = f"    {time.monotonic() - began:6.1f} s   " + "   ".join(line)
        if sys.stdout.isatty():
            print("\r" + text, end="", flush=True)
        elif line != shown:
            say(text)
        shown = line
        time.sleep(1)
    if sys.stdout.isatty():
        print()
    return finished


if __name__ == "__main__":
    sys.exit(main())
