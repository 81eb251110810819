"""Small real clips made by ffmpeg's lavfi sources, and a reader of the frame numbers that they show.

Every clip is an entry of :data:`CLIPS`: what it shows, how it is encoded, how the file is spoilt afterwards. Most show the
*numbered* picture: a grid of 4 x 4 flat cells that spells the frame number in black and white, which survives lossy
encoding, scaling, tone mapping and cropping of a few lines. :func:`read_frame_numbers` reads it back, so a test can say "the
output shows frames 0 to 249, each once" of real encoded files. Clips whose container asks for a turn or a flip are drawn
turned the other way: shown rightly, they read like the others.

``python -m tests.media FOLDER [NAME …]`` makes them by hand.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

__all__ = ["CLIPS", "Clip", "MediaCache", "content", "ffmpeg", "ffprobe", "has_encoder", "numbers", "read_frame_numbers", "tone"]

CELLS = 4
NUMBER_BITS = CELLS * CELLS - 2  # the first cell is always black, the last always white


def ffmpeg() -> str:
    """The ffmpeg program that makes and reads the clips."""
    return os.environ.get("MEDIA_FFMPEG", "ffmpeg")


def ffprobe() -> str:
    """The ffprobe program."""
    return os.environ.get("MEDIA_FFPROBE", "ffprobe")


@lru_cache(maxsize=4)
def _encoders(program: str) -> str:
    return subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, text=True, check=True).stdout


def has_encoder(name: str) -> bool:
    """Tell whether the ffmpeg in use can encode with ``name``."""
    return re.search(rf"^ \S{{6}} {re.escape(name)} ", _encoders(ffmpeg()), re.M) is not None


# -- sources: lavfi graphs


def numbers(frames: int = 250, rate: str = "25", size: str = "128x72", then: str = "") -> list[str]:
    """Input options of a video that shows its frame numbers; ``then`` is a chain of filters to append."""
    cell = f"(X+{CELLS}*Y)"
    value = f"if(eq({cell},{CELLS * CELLS - 1}),1,if(eq({cell},0),0,mod(floor(N/2^({cell}-1)),2)))"
    width, height = size.split("x")
    graph = (
        f"nullsrc=s={CELLS}x{CELLS}:r={rate},format=yuv444p,geq=lum='30+190*{value}':cb=128:cr=128,"
        f"scale={width}:{height}:flags=neighbor,setsar=1,format=yuv420p,trim=end_frame={frames}{',' if then else ''}{then}"
    )
    return ["-f", "lavfi", "-i", graph]


def content(seconds: float = 4, rate: str = "25", size: str = "320x180", then: str = "") -> list[str]:
    """Input options of moving pictures with gradients, edges and noise, to compare qualities on."""
    # Not the source `gradients`: its pictures differ from run to run, whatever its seed.
    graph = (
        f"testsrc2=s={size}:r={rate}:d={seconds}[a];nullsrc=s=64x36:r={rate}:d={seconds},"
        "geq=lum='128+70*sin(X/13+T)+50*sin(Y/9-T*1.3)':cb='128+40*sin(X/20+T/2)':cr='128+40*cos(Y/15-T/3)',"
        f"scale={size.replace('x', ':')}:flags=bicubic,format=yuv420p[b];"
        f"[a][b]blend=all_mode=average,noise=alls=4:allf=t:all_seed=7,format=yuv420p{',' if then else ''}{then}"
    )
    return ["-f", "lavfi", "-i", graph]


def tone(seconds: float = 10, frequency: int = 440, then: str = "") -> list[str]:
    """Input options of a sine at 48 kHz, mono unless ``then`` makes more of it."""
    graph = f"sine=frequency={frequency}:sample_rate=48000:duration={seconds}{',' if then else ''}{then}"
    return ["-f", "lavfi", "-i", graph]


# -- spoilers: what is done to the finished file


def _cut(share: float) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        os.truncate(path, int(path.stat().st_size * share))

    return cut


def _overwrite(start: float, length: int) -> Callable[[Path], None]:
    def overwrite(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(int(path.stat().st_size * start))
            file.write(hashlib.shake_256(b"garbage").digest(length))

    return overwrite


def _replace(old: bytes, new: bytes) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new))

    return replace


def _matrix(a: int, b: int, c: int, d: int) -> Callable[[Path], None]:
    """Write the transformation of the first track's header (ISO/IEC 14496-12, 8.3.2), the same with every ffmpeg."""

    def write(path: Path) -> None:
        data = bytearray(path.read_bytes())
        box = data.index(b"tkhd") + 4
        at = box + (52 if data[box] else 40)
        struct.pack_into(">9i", data, at, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
        path.write_bytes(data)

    return write


# -- the registry


@dataclass(frozen=True)
class Clip:
    """A recipe: the options between ``ffmpeg`` and the file name; ``{name}`` in them is the path of another clip."""

    suffix: str
    options: Sequence[str]
    frames: int = 250
    encoders: tuple[str, ...] = ("libx264", "aac")
    spoil: Callable[[Path], None] | None = None
    spoil_key: str = ""
    files: dict[str, str] = field(default_factory=dict)
    numbered: bool = True

    def digest(self) -> str:
        """Identity of the recipe, so that a cache never serves a clip of an older one."""
        text = repr((self.suffix, list(self.options), self.spoil_key, sorted(self.files.items())))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


X264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-bf", "2", "-g", "50", "-threads", "1"]
AAC = ["-c:a", "aac", "-b:a", "64k"]
FAST = ["-movflags", "+faststart"]
COPY = ["-map", "0", "-c", "copy"]
KEEP = ["-fps_mode", "passthrough"]
TICKS = ["-enc_time_base", "1:90000", "-video_track_timescale", "90000"]

# 10 to 61 frames per second, swinging every 40 frames.
VFR = "settb=1/90000,setpts='(0.0582*N+0.266*(1-cos(2*PI*N/40)))/TB'"

SUBTITLES = "1\n00:00:00,500 --> 00:00:02,000\nHello\n\n2\n00:00:03,000 --> 00:00:04,000\nWorld\n"


def _x265(parameters: str) -> list[str]:
    return ["-c:v", "libx265", "-preset", "ultrafast", "-crf", "20", "-pix_fmt", "yuv420p", "-tag:v", "hvc1",
            "-x265-params", f"log-level=none:pools=1:frame-threads=1:{parameters}"]  # fmt: skip


def _tags(range_: str, matrix: str, primaries: str, transfer: str) -> list[str]:
    return ["-color_range", range_, "-colorspace", matrix, "-color_primaries", primaries, "-color_trc", transfer]


def _hdr(transfer: str) -> list[str]:
    # Not every build's x265 encodes 10 bits; x264 does, and the tags are the same.
    parameters = f"colorprim=bt2020:colormatrix=bt2020nc:transfer={transfer}"
    return [*X264, "-pix_fmt", "yuv420p10le", "-x264-params", parameters, *_tags("tv", "bt2020nc", "bt2020", transfer)]


def _turned(name: str, matrix: tuple[int, int, int, int], drawn: str) -> Clip:
    options = [*numbers(75, then=drawn), *tone(3), *X264, *AAC, *FAST]
    return Clip(".mp4", options, frames=75, spoil=_matrix(*matrix), spoil_key=name)


CLIPS: dict[str, Clip] = {
    # the ordinary ones
    "plain": Clip(".mp4", [*numbers(), *tone(), *X264, *AAC, *FAST]),
    "short": Clip(".mp4", [*numbers(50), *tone(2), *X264, *AAC, *FAST], frames=50),
    "content": Clip(".mp4", [*content(), *tone(4), *X264, *AAC, *FAST], frames=100, numbered=False),
    "content_long": Clip(".mp4", [*content(20), *tone(20), *X264, *AAC, *FAST], frames=500, numbered=False),
    "content720": Clip(
        ".mp4", [*content(2, size="1280x720"), *tone(2), *X264, *AAC, *FAST], frames=50, numbered=False
    ),
    "content1080": Clip(
        ".mp4", [*content(2, size="1920x1080"), *tone(2), *X264, "-crf", "12", *AAC, *FAST], frames=50, numbered=False
    ),
    "twenty_seconds": Clip(".mp4", [*numbers(500), *tone(20), *X264, *AAC, *FAST], frames=500),
    # containers
    "moov_at_end": Clip(".mp4", [*numbers(100), *tone(4), *X264, *AAC], frames=100),
    "fragmented": Clip(
        ".mp4", [*numbers(100), *tone(4), *X264, *AAC, "-movflags", "frag_keyframe+empty_moov"], frames=100
    ),
    "quicktime": Clip(".mov", [*numbers(100), *tone(4), *X264, "-c:a", "pcm_s16le"], frames=100),
    "mkv": Clip(".mkv", [*numbers(300, "30000/1001"), *tone(10.01), *X264, *AAC], frames=300),
    "mkv60": Clip(".mkv", [*numbers(300, "60000/1001"), *X264], frames=300),
    "mpegts": Clip(".ts", [*numbers(100), *tone(4), *X264, *AAC], frames=100),
    "flv": Clip(".flv", [*numbers(100), *tone(4), *X264, *AAC], frames=100),
    "flv_sound_first": Clip(
        ".flv",
        ["-itsoffset", "0.1", *numbers(50), *tone(2), "-map", "0", "-map", "1", "-c:v", "flv", "-q:v", "3", *KEEP,
         "-c:a", "libmp3lame", "-ar", "44100"],
        frames=50, encoders=("flv", "libmp3lame"),
    ),
    "avi": Clip(
        ".avi", [*numbers(100), *tone(4), "-c:v", "mpeg4", "-bf", "2", "-g", "25", "-q:v", "3", "-c:a", "libmp3lame"],
        frames=100, encoders=("mpeg4", "libmp3lame"),
    ),
    "avi_264": Clip(
        ".avi", [*numbers(100), *X264, "-x264-params", "bframes=3:b-pyramid=normal"], frames=100, encoders=("libx264",)
    ),
    "mpegps": Clip(
        ".mpg", [*numbers(100), *tone(4), "-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-q:v", "3", "-c:a", "mp2"],
        frames=100, encoders=("mpeg2video", "mp2"),
    ),
    "vp8": Clip(
        ".webm",
        [*numbers(100, then="noise=alls=12:allf=t"), *tone(4), "-c:v", "libvpx", "-auto-alt-ref", "1",
         "-lag-in-frames", "16", "-b:v", "300k", "-g", "50",
         "-deadline", "good", "-cpu-used", "4", "-c:a", "libopus", "-b:a", "48k"],
        frames=100, encoders=("libvpx", "libopus"),
    ),
    "vp9": Clip(
        ".webm",
        [*numbers(100), *tone(4), "-c:v", "libvpx-vp9", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "300k", "-g", "50",
         "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus", "-b:a", "48k"],
        frames=100, encoders=("libvpx-vp9", "libopus"),
    ),
    # time
    "film": Clip(".mp4", [*numbers(240, "24000/1001"), *tone(10.01), *X264, *AAC, *FAST], frames=240),
    "ntsc": Clip(".mp4", [*numbers(300, "30000/1001"), *tone(10.01), *X264, *AAC, *FAST], frames=300),
    "vfr": Clip(
        ".mp4", [*numbers(200, "100", then=VFR), *tone(11.6), *X264, *KEEP, *TICKS, *AAC, *FAST], frames=200
    ),
    "pairs": Clip(
        ".mp4", [*numbers(50, then="settb=1/90000,setpts='floor(N/2)*7200+mod(N,2)*10'"), *X264, *KEEP, *TICKS, *FAST], frames=50,
        encoders=("libx264",),
    ),
    "audio_late": Clip(
        ".mp4", [*numbers(100), "-itsoffset", "0.5", *tone(3.5), *X264, *AAC, *FAST], frames=100
    ),
    "video_late": Clip(
        ".mp4", ["-itsoffset", "0.5", *numbers(100), *tone(4.5), "-map", "0:v", "-map", "1:a", *X264, *KEEP, *AAC, *FAST],
        frames=100,
    ),
    "video_much_later": Clip(
        ".mkv", ["-itsoffset", "7.5", *numbers(50), *tone(9.5), "-map", "0:v", "-map", "1:a", *X264, "-pix_fmt", "yuv420p10le",
                 *KEEP, *AAC], frames=50,
    ),
    # A second of pairs of frames that are a tick apart, and one at 25 fps.
    "pairs_then_even": Clip(
        ".mp4",
        [*numbers(50, then="settb=1/90000,setpts='if(lt(N,24)*mod(N,2),(N-1)*3600+1,N*3600)'"), *X264, "-bf", "0", "-g", "25",
         *KEEP, *TICKS, *FAST],
        frames=50,
    ),
    "slides": Clip(
        ".mp4", [*numbers(6, "1", then="setpts=2*N*N/TB"), *tone(60), *X264, *KEEP, *AAC, *FAST], frames=6
    ),
    "edit_list": Clip(".mp4", ["-ss", "0.6", "-i", "{plain}", *COPY, *FAST], frames=235, encoders=()),
    "start_offset": Clip(
        ".ts", ["-i", "{plain}", *COPY, "-output_ts_offset", "20", "-bsf:v", "h264_mp4toannexb"], encoders=()
    ),
    # Its clock of 33 bits overflows 1 s after the start.
    "overflow": Clip(
        ".ts", ["-i", "{short}", *COPY, "-output_ts_offset", "95442.7", "-muxdelay", "0", "-bsf:v", "h264_mp4toannexb"],
        frames=50, encoders=(),
    ),
    "one_frame": Clip(".mp4", [*numbers(1), *X264, *FAST], frames=1),
    "two_frames": Clip(".mp4", [*numbers(2), *X264, *FAST], frames=2),
    "exact_grid": Clip(".mp4", [*numbers(150), *tone(6), *X264, *AAC, *FAST], frames=150),
    "grid_plus_one": Clip(".mp4", [*numbers(151), *tone(6.04), *X264, *AAC, *FAST], frames=151),
    # groups of pictures
    "single_keyframe": Clip(
        ".mp4", [*numbers(250), *X264, "-g", "9999", "-sc_threshold", "0", "-keyint_min", "9999", *FAST]
    ),
    "long_gop": Clip(".mp4", [*numbers(750), *tone(30), *X264, "-g", "300", "-sc_threshold", "0", *AAC, *FAST], frames=750),
    "open_gop_264": Clip(
        ".mp4", [*numbers(), *tone(), *X264, "-x264-params", "open-gop=1:bframes=3:b-pyramid=normal:scenecut=0", *AAC, *FAST]
    ),
    "open_gop_264_ts": Clip(
        ".ts", [*numbers(), *tone(), *X264, "-x264-params", "open-gop=1:bframes=3:b-pyramid=normal:scenecut=0", *AAC]
    ),
    "closed_gop_264": Clip(
        ".mp4", [*numbers(), *X264, "-x264-params", "bframes=3:b-pyramid=normal:ref=4:scenecut=0", *FAST], encoders=("libx264",)
    ),
    "open_gop_265": Clip(
        ".mp4", [*numbers(), *tone(), *_x265("open-gop=1:keyint=50:min-keyint=50:bframes=4:scenecut=0"), *AAC, *FAST],
        encoders=("libx265", "aac"),
    ),
    "closed_gop_265": Clip(
        ".mp4", [*numbers(), *_x265("open-gop=0:keyint=50:min-keyint=50:bframes=4:scenecut=0"), *FAST], encoders=("libx265",)
    ),
    # Every other keyframe is one that nothing is shown before.
    "half_open_gop_265": Clip(
        ".mp4",
        [*numbers(), *_x265("open-gop=1:keyint=50:min-keyint=1:bframes=4:scenecut=0"), "-forced-idr", "1",
         "-force_key_frames", "expr:eq(mod(n,100),0)", *FAST],
        encoders=("libx265",),
    ),
    # pictures
    "interlaced": Clip(
        ".mp4", [*numbers(100, then="setfield=tff"), *tone(4), *X264, "-flags", "+ildct+ilme", "-x264-params", "tff=1",
                 *AAC, *FAST], frames=100,
    ),
    "fields": Clip(
        ".ts", [*content(2, "50", "160x96", then="tinterlace=interleave_bottom,setfield=bff"), "-c:v", "mpeg2video", "-q:v", "3",
                "-flags", "+ildct+ilme", "-top", "0", "-bf", "2"],
        frames=50, encoders=("mpeg2video",), numbered=False,
    ),
    "rotated_90": _turned("90", (0, 1, -1, 0), "transpose=cclock"),
    "rotated_180": _turned("180", (-1, 0, 0, -1), "hflip,vflip"),
    "rotated_270": _turned("270", (0, -1, 1, 0), "transpose=clock"),
    "flipped": _turned("flip", (-1, 0, 0, 1), "hflip"),
    "rotated_90_flipped": _turned("90flip", (0, 1, 1, 0), "transpose=cclock_flip"),
    "anamorphic": Clip(".mp4", [*numbers(50, size="144x96", then="setsar=16/11"), *X264, *FAST], frames=50),
    "narrow_pixels": Clip(".mp4", [*numbers(50, size="144x96", then="setsar=8/9"), *X264, *FAST], frames=50),
    "odd_size": Clip(
        ".mp4", [*numbers(25, size="405x720"), "-c:v", "mpeg4", "-q:v", "4", *FAST], frames=25, encoders=("mpeg4",)
    ),
    "odd_both": Clip(
        ".mp4", [*numbers(25, size="135x97"), "-c:v", "mpeg4", "-q:v", "4", *FAST], frames=25, encoders=("mpeg4",)
    ),
    "a_few_lines": Clip(
        ".mp4", [*content(1, size="320x12"), *X264, *FAST], frames=25, encoders=("libx264",), numbered=False
    ),
    "ten_bit": Clip(".mp4", [*numbers(50), *X264, "-pix_fmt", "yuv420p10le", *FAST], frames=50),
    "hdr_pq": Clip(".mp4", [*numbers(50), *_hdr("smpte2084"), *FAST], frames=50, encoders=("libx264",)),
    "hdr_hlg": Clip(".mp4", [*numbers(50), *_hdr("arib-std-b67"), *FAST], frames=50, encoders=("libx264",)),
    "full_range": Clip(
        ".mp4",
        [*numbers(50, then="scale=in_range=tv:out_range=pc"), *X264, "-pix_fmt", "yuvj420p",
         *_tags("pc", "bt709", "bt709", "bt709"), *FAST],
        frames=50,
    ),
    "rgb": Clip(
        ".mp4", [*numbers(50), "-c:v", "libx264rgb", "-pix_fmt", "rgb24", *FAST], frames=50, encoders=("libx264rgb",)
    ),
    "pictures": Clip(
        ".mov", [*numbers(50), *tone(2), "-c:v", "png", "-pix_fmt", "rgb24", "-c:a", "pcm_s16le"], frames=50, encoders=("png",)
    ),
    "chroma_422": Clip(".mp4", [*numbers(50), *X264, "-pix_fmt", "yuv422p", *FAST], frames=50),
    "bars_601": Clip(
        ".mp4",
        ["-f", "lavfi", "-i", "smptebars=s=320x240:r=25:d=1", *X264, *_tags("tv", "smpte170m", "smpte170m", "smpte170m"), *FAST],
        frames=25, numbered=False,
    ),
    "bars_709": Clip(
        ".mp4",
        ["-f", "lavfi", "-i", "smptehdbars=s=320x180:r=25:d=1", *X264, *_tags("tv", "bt709", "bt709", "bt709"), *FAST],
        frames=25, numbered=False,
    ),
    # streams
    "no_audio": Clip(".mp4", [*numbers(100), *X264, *FAST], frames=100),
    "surround": Clip(
        ".mp4", [*numbers(50), *tone(2, then="pan=5.1|c0=c0|c1=0.5*c0|c2=c0|c3=0.2*c0|c4=c0|c5=c0"), *X264, *AAC, *FAST],
        frames=50,
    ),
    "layout_2.1": Clip(
        ".mov", [*numbers(50), *tone(2, then="pan=2.1|c0=c0|c1=c0|c2=c0"), *X264, "-c:a", "pcm_s16le"],
        frames=50, encoders=("libx264",),
    ),
    "languages": Clip(
        ".mp4",
        [*numbers(50), *tone(2), *tone(2, 880, then="aformat=channel_layouts=stereo"), "-map", "0:v", "-map", "1:a",
         "-map", "2:a", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", "-metadata:s:a:1",
         "handler_name=Kommentar",
         "-disposition:a:0", "0", "-disposition:a:1", "default", *X264, *AAC, *FAST],
        frames=50,
    ),
    "cover_art": Clip(
        ".mp4",
        ["-i", "{short}", "-i", "{still}", "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:1", "attached_pic"],
        frames=50, encoders=("mjpeg",),
    ),
    "still_first": Clip(
        ".mov",
        ["-i", "{still}", "-i", "{short}", "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "0"],
        frames=50, encoders=("mjpeg",), numbered=False,
    ),
    "still": Clip(
        ".jpg", ["-f", "lavfi", "-i", "testsrc2=s=640x640", "-frames:v", "1", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p"], frames=0,
        encoders=("mjpeg",), numbered=False,
    ),
    "two_videos": Clip(
        ".mkv",
        [*numbers(50, size="64x36"), *numbers(50), "-map", "0", "-map", "1", "-disposition:v:0", "0", "-disposition:v:1", "0",
         *X264, "-default_mode", "passthrough"],
        frames=50,
    ),
    "two_programs": Clip(
        ".ts",
        [*numbers(50, size="64x36"), *tone(2), *numbers(50), *tone(2, 880), "-map", "0", "-map", "1", "-map", "2", "-map", "3",
         "-program", "title=one:st=0:st=1", "-program", "title=two:st=2:st=3", *X264, *AAC],
        frames=50,
    ),
    "subtitles": Clip(
        ".mp4",
        ["-i", "{short}", "-i", "{file:subtitles.srt}", "-map", "0", "-map", "1", "-c", "copy", "-c:s", "mov_text",
         "-timecode", "01:00:00:00"],
        frames=50, encoders=(), files={"subtitles.srt": SUBTITLES},
    ),
    "audio_only": Clip(".mp4", [*tone(2), *AAC, *FAST], frames=0, encoders=("aac",)),
    "second_sound_late": Clip(
        ".mkv",
        [*numbers(50), *tone(4), "-itsoffset", "3", *tone(1, 880), "-map", "0", "-map", "1", "-map", "2", *X264,
         "-c:a", "libopus", "-b:a", "48k"],
        frames=50, encoders=("libx264", "libopus"),
    ),
    "unknown_audio": Clip(
        ".mov", ["-i", "{quicktime}", *COPY], frames=100, encoders=(), spoil=_replace(b"sowt", b"zz0a"), spoil_key="zz0a"
    ),
    "unknown_audio_of_two": Clip(
        ".mov",
        [*numbers(50), *tone(2), *tone(2), "-map", "0", "-map", "1", "-map", "2", *X264, "-c:a:0", "aac", "-c:a:1", "alac"],
        frames=50, encoders=("libx264", "aac", "alac"), spoil=_replace(b"alac", b"zz0a"), spoil_key="zz0a",
    ),
    # damage
    "truncated": Clip(".mp4", ["-i", "{plain}", *COPY, *FAST], encoders=(), spoil=_cut(0.6), spoil_key="0.6"),
    "truncated_moov": Clip(".mp4", ["-i", "{plain}", *COPY], encoders=(), spoil=_cut(0.6), spoil_key="0.6"),
    "truncated_fragmented": Clip(
        ".mp4", ["-i", "{plain}", *COPY, "-movflags", "frag_keyframe+empty_moov"], encoders=(), spoil=_cut(0.55), spoil_key="0.55"
    ),
    "truncated_mkv": Clip(".mkv", ["-i", "{plain}", *COPY], encoders=(), spoil=_cut(0.6), spoil_key="0.6"),
    "truncated_ts": Clip(".ts", ["-i", "{plain}", *COPY], encoders=(), spoil=_cut(0.6), spoil_key="0.6"),
    "truncated_wmv": Clip(
        ".wmv", [*numbers(100), "-c:v", "wmv2", "-q:v", "3"], encoders=("wmv2",), spoil=_cut(0.6), spoil_key="0.6"
    ),
    "truncated_ogg": Clip(
        ".ogv", [*numbers(100), "-c:v", "libtheora", "-q:v", "6"], encoders=("libtheora",), spoil=_cut(0.6), spoil_key="0.6"
    ),
    "garbage": Clip(".mp4", ["-i", "{plain}", *COPY, *FAST], encoders=(), spoil=_overwrite(0.5, 6000), spoil_key="0.5:6000"),
    "garbage_mkv": Clip(".mkv", ["-i", "{plain}", *COPY], encoders=(), spoil=_overwrite(0.5, 6000), spoil_key="0.5:6000"),
    "garbage_ts": Clip(".ts", ["-i", "{plain}", *COPY], encoders=(), spoil=_overwrite(0.5, 6000), spoil_key="0.5:6000"),
    # not video
    "picture": Clip(
        ".mp4", ["-f", "lavfi", "-i", "testsrc2=s=64x36", "-frames:v", "1", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-f",
                 "image2"], frames=0, encoders=("mjpeg",), numbered=False,
    ),
}  # fmt: skip


class MediaCache:
    """Makes each clip once in a folder and hands out its path; safe to share between processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str) -> Path:
        """Return the path of clip ``name``, made now unless it is there; read-only by convention: copy it to change it."""
        clip = CLIPS[name]
        path = self.folder / f"{name}-{clip.digest()}{clip.suffix}"
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
                made = self._make(clip, Path(scratch))
                made.replace(path)
        return path

    def missing_encoder(self, name: str) -> str | None:
        """Return an encoder that clip ``name`` needs and this ffmpeg lacks, for ``pytest.skip``."""
        return next((encoder for encoder in CLIPS[name].encoders if not has_encoder(encoder)), None)

    def _make(self, clip: Clip, scratch: Path) -> Path:
        for name, text in clip.files.items():
            (scratch / name).write_text(text)
        out = scratch / f"out{clip.suffix}"
        argv = [ffmpeg(), "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
        argv += [self._fill(option, scratch) for option in clip.options]
        argv += ["-fflags", "+bitexact", str(out)]
        run = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        if run.returncode or not out.exists():
            raise RuntimeError(f"ffmpeg could not make a test clip: {' '.join(argv)}\n{run.stderr}")
        if clip.spoil:
            clip.spoil(out)
        return out

    def _fill(self, option: str, scratch: Path) -> str:
        if found := re.fullmatch(r"\{file:([^}]+)\}", option):
            return str(scratch / found[1])
        if found := re.fullmatch(r"\{([a-z0-9_.]+)\}", option):
            return str(self(found[1]))
        return option


def read_frame_numbers(path: Path | str, *, input_options: Sequence[str] = ()) -> list[int]:
    """Return the number that each frame of ``path`` shows, in presentation order; -1 where no number can be read.

    Decodes in this process where that is the same, else with ffmpeg (which applies a display matrix), and samples the middle of
    each cell; black and white are taken from the two calibration cells, so range and contrast do not matter. Works on HLS
    playlists, too.
    """
    pictures = None if input_options or not isinstance(path, Path) or path.suffix == ".m3u8" else _pictures(path)
    if pictures is None:
        side = CELLS * 4
        argv = [ffmpeg(), "-nostdin", "-v", "error", *input_options, "-i", str(path), "-map", "0:V:0", "-fps_mode", "passthrough"]
        argv += ["-vf", f"scale={side}:{side}:flags=area,format=gray", "-f", "rawvideo", "-"]
        data = subprocess.run(argv, capture_output=True, check=True, timeout=120).stdout
        pictures = np.frombuffer(data, np.uint8).reshape(-1, side, side)
    # The four samples amid each cell.
    cells = pictures.reshape(-1, CELLS, 4, CELLS, 4)[:, :, 1:3, :, 1:3].sum((2, 4), dtype=int).reshape(-1, CELLS * CELLS)
    black, white = cells[:, :1], cells[:, -1:]
    apart = np.abs(cells - (black + white) / 2) > (white - black) / 6
    readable = (white - black > 4 * 60)[:, 0] & apart.all(axis=1)
    numbers = (cells[:, 1:-1] > (black + white) / 2) @ (1 << np.arange(NUMBER_BITS))
    return [int(number) for number in np.where(readable, numbers, -1)]


def _pictures(path: Path) -> NDArray[np.uint8] | None:
    """Decode the video to small grey pictures ``[n, h, w]``; None where ffmpeg shows it otherwise or cares less for damage."""
    side, found = CELLS * 4, []
    try:
        with av.open(str(path)) as container:
            video = next(one for one in container.streams.video if not one.disposition & Disposition.attached_pic)
            for frame in container.decode(video):
                if any(data.type.name == "DISPLAYMATRIX" for data in frame.side_data):
                    return None
                found.append(frame.reformat(side, side, "gray", interpolation="AREA").to_ndarray())
    except (av.FFmpegError, StopIteration):
        return None
    return np.array(found, np.uint8).reshape(-1, side, side)


def main(folder: str, *names: str) -> None:
    """Make clips by hand."""
    cache = MediaCache(Path(folder))
    for name in names or CLIPS:
        if encoder := cache.missing_encoder(name):
            print(f"{name}: skipped, no encoder {encoder}")
        else:
            print(f"{name}: {cache(name)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
