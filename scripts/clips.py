"""Make clips that look natural, carry a readable frame number and a tone, from ffmpeg's own sources.

Each frame shows its number as a bar code: sixteen black or white blocks along the top edge, least significant bit first.
It survives scaling and lossy coding, and :func:`read_frame_numbers` reads it back, so anyone can prove that a rendition
shows every frame once and in order without trusting the pipeline's own checks.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["BITS", "make_clip", "read_frame_numbers"]

BITS = 16


def make_clip(path: Path, *, seconds: float, width: int, height: int, rate: str = "24", bit_rate: str = "3M") -> None:
    """Write an H.264/AAC mp4 of drifting plasma with film grain, numbered frames and a 440 Hz tone.

    The picture is computed small and scaled up (geq costs per pixel), then gets grain so that it is as hard to encode as
    camera footage rather than as easy as a test card.
    """
    plasma = (
        f"nullsrc=s=192x108:r={rate},"
        "geq=lum='128+45*sin(X/17+T*0.9)+35*sin((Y+X/2)/11-T*1.3)+30*sin(hypot(X-96-40*sin(T/3),Y-54)/9+T)'"
        ":cb='128+40*sin(X/40+T/2)':cr='128+40*cos(Y/30-T/3)'"
    )
    detail = f"mandelbrot=s={width // 2}x{height // 2}:r={rate}:maxiter=120:end_scale=0.05"
    block = width // BITS
    graph = (
        f"[0:v]scale={width}:{height}:flags=bicubic,format=yuv420p[soft];"
        f"[1:v]scale={width}:{height}:flags=bicubic,format=yuv420p[sharp];"
        "[soft][sharp]blend=all_mode=softlight:all_opacity=0.6,noise=alls=4:allf=t[picture];"
        f"[2:v]scale={block * BITS}:{max(16, height // 24 * 2)}:flags=neighbor,format=yuv420p[code];"
        "[picture][code]overlay=0:0,format=yuv420p[v]"
    )
    code = f"nullsrc=s={BITS}x2:r={rate},geq=lum='16+219*mod(floor(N/2^X),2)':cb=128:cr=128"
    lavfi = [part for source in (plasma, detail, code) for part in ("-f", "lavfi", "-i", source)]
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
    video = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-maxrate", bit_rate, "-bufsize", bit_rate, "-g", "100"]
    tags = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-y", *lavfi, *tone, "-filter_complex", graph]
        + ["-map", "[v]", "-map", "3:a", "-t", str(seconds), *video, *tags, "-c:a", "aac", "-b:a", "128k", "-ac", "2", str(path)],
        check=True,
    )


def read_frame_numbers(media: str) -> list[int]:
    """Decode ``media`` (a path or playlist) whole and return the number that each frame shows, in output order."""
    # The top sliver, averaged to one pixel a block.
    picture = f"crop=iw:max(2\\,ih/48):0:0,scale={BITS * 4}:1:flags=area,format=gray"
    raw = subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-i", media, "-map", "0:v:0", "-vf", picture]
        + ["-fps_mode", "passthrough", "-f", "rawvideo", "-"],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    row = BITS * 4
    return [
        sum(1 << bit for bit in range(BITS) if raw[at + bit * 4 + 1] + raw[at + bit * 4 + 2] > 256)
        for at in range(0, len(raw), row)
    ]
