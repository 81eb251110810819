"""The main job on real video, as a client would do it: `make demo [VIDEO=path] [KEEP=1]`.

Starts the stack (unless it runs), uploads a clip to S3, posts it to ``/prod/videoTranscode`` as an HLS ladder and as an MP4,
watches both, downloads what was published and verifies it with its own eyes: ffprobe, ffmpeg and the m3u8 library, none of
Reelflow's checks. Exit status 0 only if all of it is right.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import httpx
import m3u8

from include.embedded import connect, down, up
from scripts.clips import make_clip, read_frame_numbers
from scripts.s3 import embedded_s3

FOLDER = "demo/"


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


@dataclass(frozen=True)
class Facts:
    """What ffprobe says of one file or playlist."""

    frames: int
    duration: Fraction
    width: int
    height: int
    keyframes: tuple[float, ...]
    audio_tracks: int
    audio_seconds: float
    times: tuple[float, ...]


def facts_of(media: str) -> Facts:
    """Read the packets of the first video stream, and whether there is audio, with ffprobe."""

    def ffprobe(*arguments: str) -> dict:
        command = ["ffprobe", "-v", "error", "-of", "json", *arguments, media]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    streams = ffprobe("-show_streams")["streams"]
    videos = [s for s in streams if s["codec_type"] == "video" and not s.get("disposition", {}).get("attached_pic")]
    video = videos[0]
    packets = ffprobe("-select_streams", str(video["index"]), "-show_entries", "packet=pts,duration,flags")["packets"]
    shown = [packet for packet in packets if "pts" in packet and "D" not in packet["flags"]]
    base = Fraction(video["time_base"])
    start = min(packet["pts"] for packet in shown)
    times = sorted((packet["pts"] - start) * base for packet in shown)
    step = times[-1] - times[-2] if len(times) > 1 else Fraction(0)
    audio = [s for s in streams if s["codec_type"] == "audio"]
    audio_seconds = 0.0
    if audio:
        samples = ffprobe("-select_streams", str(audio[0]["index"]), "-show_entries", "packet=pts_time,duration_time")["packets"]
        ends = [float(p["pts_time"]) + float(p.get("duration_time", 0)) for p in samples]
        audio_seconds = max(ends) - max(0.0, min(float(p["pts_time"]) for p in samples))
    return Facts(
        frames=len(shown),
        duration=times[-1] + step,
        width=video["width"],
        height=video["height"],
        keyframes=tuple(float((p["pts"] - start) * base) for p in shown if "K" in p["flags"]),
        audio_tracks=len(audio),
        audio_seconds=audio_seconds,
        times=tuple(map(float, times)),
    )


class Failed(Exception):
    """Something that was published is not right."""


def expect(condition: bool, message: str) -> None:
    """Raise :class:`Failed` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise Failed(message)


def check_rendition(name: str, media: Path, source: Facts, numbered: bool) -> Facts:
    """Compare one rendition with the source: frames, their times, picture size, audio, and each frame's own number."""
    facts = facts_of(str(media))
    expect(facts.frames == source.frames, f"{name} has {facts.frames} frames, the source {source.frames}")
    # 90 kHz and rational grids round differently, and sources such as Matroska round to milliseconds themselves.
    drift = max(abs(a - b) for a, b in zip(facts.times, source.times, strict=True))
    expect(drift < 0.002, f"{name}: a frame is shown {drift * 1000:.1f} ms away from its time")
    expect(facts.width <= source.width or facts.height <= source.height, f"{name} was upscaled")
    expect((facts.audio_tracks > 0) == (source.audio_tracks > 0), f"{name}: audio is missing, or came from nowhere")
    if source.audio_tracks:
        skew = abs(facts.audio_seconds - source.audio_seconds)
        expect(skew < 0.1, f"{name}: audio is {facts.audio_seconds:.3f} s long, the source's {source.audio_seconds:.3f} s")
    if numbered:
        shown = read_frame_numbers(str(media))
        wrong = next((n for n, number in enumerate(shown) if n != number), None)
        expect(wrong is None and len(shown) == source.frames, f"{name}: frame {wrong} is not in its place")
    else:
        decode = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", str(media), "-f", "null", "-"]
        expect(subprocess.run(decode, check=False).returncode == 0, f"{name} does not decode cleanly")
    size = f"{facts.width}x{facts.height}"
    say(f"      {name:<10} {size:<9}  {facts.frames} frames, each once and in order; audio tracks: {facts.audio_tracks}")
    return facts


def check_hls(master_path: Path, source: Facts, numbered: bool) -> None:
    """Check the master playlist, every rendition, that keyframes align over the ladder, and the thumbnails."""
    master = m3u8.load(str(master_path))
    expect(master.is_variant and bool(master.playlists), "the master playlist lists nothing")
    grids = set()
    for variant in master.playlists:
        info = variant.stream_info
        expect(
            bool(info.bandwidth and info.average_bandwidth and info.codecs and info.frame_rate), f"{variant.uri}: tags missing"
        )
        playlist = master_path.parent / variant.uri
        facts = check_rendition(playlist.parent.name, playlist, source, numbered)
        expect(info.resolution == (facts.width, facts.height), f"{variant.uri}: RESOLUTION is wrong")
        segments = m3u8.load(str(playlist)).segments
        expect(all(segment.duration < 6.6 for segment in segments) or not numbered, f"{variant.uri}: a segment is too long")
        grids.add(tuple(round(time, 3) for time in facts.keyframes))
    expect(len(grids) == 1, "the keyframes of the renditions do not align")
    expect((master_path.parent / "00001.jpg").stat().st_size > 0, "no thumbnail")


def main() -> int:
    """Run the demonstration and return the exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, help="your own clip (default: one is made)")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    arguments = parser.parse_args()
    if arguments.video and not arguments.video.is_file():
        say(f"demo: there is no file {arguments.video}")
        return 2

    work = Path("var/demo").absolute()
    work.mkdir(parents=True, exist_ok=True)
    numbered = arguments.video is None
    clip = arguments.video or work / "clip.mp4"
    maker = threading.Thread(target=make_clip, args=(clip,), kwargs={"seconds": 60, "width": 1280, "height": 720})
    if numbered:
        say("==> making a clip: 60 s, 1280x720, numbered frames, 440 Hz tone (in the background)")
        maker.start()
    was_running = connect() is not None
    if up() != 0:
        return 1
    try:
        if numbered:
            maker.join()
        return _run(clip, work, numbered)
    finally:
        if was_running or arguments.keep:
            say("==> the stack is still running; `make down` stops it")
        else:
            down()


def _run(clip: Path, work: Path, numbered: bool) -> int:
    stack = connect()
    if stack is None:
        say("demo: the stack has gone; see its logs")
        return 1
    source = facts_of(str(clip))
    s3 = embedded_s3(stack)
    key = f"{FOLDER}src/{clip.name if clip.suffix.lower() == '.mp4' else clip.stem + '.mp4'}"
    told = f"{clip.stat().st_size / 1e6:.1f} MB, {source.frames} frames, {float(source.duration):.3f} s"
    say(f"==> uploading {clip.name} ({told}) to s3://{stack.bucket}/{key}")
    s3.upload_file(str(clip), stack.bucket, key)
    stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    began = time.monotonic()
    with httpx.Client(base_url=stack.airflow_url, headers={"x-api-key": stack.api_key}, timeout=30) as client:
        runs = {}
        for kind in ("m3u8", "mp4"):
            body = {"bucket": stack.bucket, "src": key, "dst": f"{FOLDER}{kind}/", "testflag": "no", "time": stamp, "type": kind}
            answer = client.post("/prod/videoTranscode", json=body | {"contentprovider": "demo"})
            say(f"==> POST /prod/videoTranscode type={kind}: {answer.status_code} {answer.text}")
            if answer.status_code != 200 or answer.json()["videos"][0].get("status") != "transcode":
                return 1
            runs[kind] = answer.json()["status_url"]
        finished = _watch(client, runs, began)
    if finished is None:
        return 1
    say(f"==> both done after {time.monotonic() - began:.1f} s; downloading and verifying")
    try:
        for kind, video in finished.items():
            folder = video["dst"].rpartition("/")[0] + "/"
            target = work / kind
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=stack.bucket, Prefix=folder)
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
            for name in keys:
                path = target / name.removeprefix(folder)
                path.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(stack.bucket, name, str(path))
            entry = target / video["dst"].removeprefix(folder)
            say(f"    {kind}: {len(keys)} objects in s3://{stack.bucket}/{folder}")
            if kind == "m3u8":
                check_hls(entry, source, numbered)
            else:
                check_rendition(entry.name, entry, source, numbered)
            report = json.loads((target / "report.json").read_text())
            expect(bool(report), "report.json is empty")
    except Failed as failure:
        say(f"demo: FAILED: {failure}")
        return 1
    say(f"""==> all of it is right
    files     {work}/m3u8  {work}/mp4   (s3://{stack.bucket}/{FOLDER} at {stack.aws_url})
    Airflow   {stack.airflow_url}   user {stack.admin_user}, password {stack.admin_password}
    API key   {stack.api_key}""")
    return 0


def _watch(client: httpx.Client, runs: dict[str, str], began: float) -> dict[str, dict] | None:
    finished: dict[str, dict] = {}
    shown: list[str] = []
    while len(finished) < len(runs):
        line = []
        for kind, url in runs.items():
            video = client.get(url).json()["videos"][0]
            line.append(f"{kind} {video['status']} {video.get('progress', 0):5.1f} %")
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
    return {kind: finished[kind] for kind in runs}


if __name__ == "__main__":
    sys.exit(main())
