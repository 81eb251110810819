"""The video filter graph, pure, through ffmpeg-python's builder; encoding and quality measurement share it.

Decoded pictures → [deinterlace] → trim to the chunk → [tone-map] → rebase time → scale (matrix, range, square pixels).
Only integers, names from the tables here and the path of our own LUT enter a filter's arguments.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

from include.ffmpeg_ops.models import Color, VideoStream, VideoTask

__all__ = [
    "as_jpeg",
    "deinterlace",
    "is_rgb",
    "output_color",
    "planar",
    "prepare",
    "resize",
    "retime",
    "split",
    "thumbnails",
    "tone_map",
]

THUMBNAIL_WIDTH = 1280

# ffmpeg's names of matrices → the scale filter's
_MATRICES = {
    "bt709": "bt709",
    "fcc": "fcc",
    "bt470bg": "bt470",
    "smpte170m": "smpte170m",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
}
_PRIMARIES = {"bt709", "bt470m", "bt470bg", "smpte170m", "smpte240m", "film", "bt2020", "smpte431", "smpte432"}
_TRANSFERS = {
    "bt709", "gamma22", "gamma28", "smpte170m", "smpte240m", "linear", "iec61966-2-4", "iec61966-2-1", "bt2020-10", "bt2020-12"
}  # fmt: skip
# What usually goes with a matrix: primaries, transfer
_FAMILY = {
    "bt470bg": ("bt470bg", "smpte170m"),
    "smpte170m": ("smpte170m", "smpte170m"),
    "smpte240m": ("smpte240m", "smpte240m"),
    "bt2020nc": ("bt2020", "bt2020-10"),
}
_SD_HEIGHT = 576


def _input_matrix(stream: VideoStream) -> str:
    if stream.color.hdr:
        return "bt2020nc"
    if stream.color.matrix in _MATRICES:
        return stream.color.matrix
    return "smpte170m" if stream.height <= _SD_HEIGHT else "bt709"


def output_color(stream: VideoStream) -> Color:
    """Return the colour that every rung of ``stream`` has and is tagged with; all fields are set.

    SDR keeps matrix, primaries and transfer (what the source does not say is guessed by its size); HDR becomes BT.709.
    """
    if stream.color.hdr:
        return Color(range="tv", matrix="bt709", primaries="bt709", transfer="bt709")
    matrix = _input_matrix(stream)
    primaries, transfer = _FAMILY.get(matrix, ("bt709", "bt709"))
    if stream.color.primaries in _PRIMARIES:
        primaries = stream.color.primaries
    if stream.color.transfer in _TRANSFERS:
        transfer = stream.color.transfer
    return Color(range="tv", matrix=matrix, primaries=primaries, transfer=transfer)


def is_rgb(stream: VideoStream) -> bool:
    """Tell whether the stream's pictures have no matrix, being RGB."""
    return stream.pix_fmt.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal"))


def deinterlace(source: Any, stream: VideoStream) -> Any:
    """Make whole pictures of an interlaced stream's, one of each frame; any other stream stays as it is."""
    if not stream.interlaced:
        return source
    parity = "tff" if stream.top_field_first else "bff"
    # It halves the time base.
    return source.filter("bwdif", mode="send_frame", parity=parity, deint="all").filter("settb", _ratio(stream.time_base))


def planar(source: Any, stream: VideoStream, pix_fmt: str) -> Any:
    """Convert to planar 4:2:0 of the coded size, with the source's own range and matrix (of RGB: :func:`output_color`'s)."""
    range_ = stream.color.range or "tv"
    colors: dict[str, str] = {"in_range": range_, "out_range": range_}
    if is_rgb(stream):
        matrix = _MATRICES[_input_matrix(stream)]
        colors = {"in_range": "pc", "out_range": "tv", "out_color_matrix": matrix}
    return source.filter("scale", stream.width, stream.height, flags="bicubic", **colors).filter("format", pix_fmt)


def prepare(source: Any, task: VideoTask, lut: Path | None = None) -> Any:
    """Deinterlace, trim to the chunk and tone-map; timestamps stay the source's.

    ``source`` is the builder's input stream; ``lut`` is :func:`include.ffmpeg_ops.tonemap.write_cube`'s file, for HDR.
    """
    stream, chunk = task.stream, task.chunk
    # Before the trim, so that the frames at a chunk's borders have neighbours.
    source = deinterlace(source, stream)
    source = source.filter("trim", start_pts=chunk.start_pts, end_pts=chunk.end_pts)
    return tone_map(source, stream, lut)


def tone_map(source: Any, stream: VideoStream, lut: Path | None) -> Any:
    """Make full-range RGB of BT.709 of an HDR stream's pictures; those of any other stream stay as they are."""
    if not stream.color.hdr:
        return source
    if lut is None:
        raise ValueError("an HDR source needs the path of its LUT")
    return (
        source.filter("scale", in_color_matrix="bt2020", in_range=stream.color.range or "tv", out_range="pc")
        .filter("format", "gbrp12le")
        .filter("lut3d", file=str(lut), interp="tetrahedral")
        .filter("setparams", range="pc", colorspace="gbr", color_primaries="bt709", color_trc="bt709")
    )


def retime(prepared: Any, task: VideoTask) -> Any:
    """Rebase to the chunk's start, in the output's time base; constant rates get their exact grid, frame n at n."""
    timing, chunk, stream = task.timing, task.chunk, task.stream
    if not timing.constant:
        # Rounded from the start of the stream, so that chunks agree on the tick at which one ends and the next begins.
        start = floor((chunk.start_pts - stream.start_pts) * stream.time_base / timing.time_base + Fraction(1, 2))
        rebased = prepared.filter("setpts", f"PTS-({stream.start_pts})").filter("settb", _ratio(timing.time_base))
        return rebased.filter("setpts", f"PTS-{start}")
    rebased = prepared.filter("setpts", f"PTS-({chunk.start_pts})")
    salvage = task.damage_policy == "salvage"
    if task.resampled or salvage:
        # Where frames are missing the one before (at the start: after) stands in, so that the chunk keeps its length. At another
        # rate the last one stays as long as it is shown, and no longer: that more are missing is to be found out.
        at_end = {"eof_action": "pass"} if task.resampled else {}
        rebased = (
            rebased.filter("fps", fps=_ratio(timing.frame_rate), start_time=0, round="near", **at_end)
            .filter("tpad", stop=-1 if salvage else chunk.held + 1, stop_mode="clone")
            .filter("trim", end_frame=chunk.frames)
        )
    return rebased.filter("settb", _ratio(timing.time_base)).filter("setpts", "N")


def resize(timed: Any, task: VideoTask, width: int, height: int, picture: tuple[int, int] | None = None) -> Any:
    """Scale to ``width`` x ``height`` square pixels, 8 bit 4:2:0, video range, tagged with :func:`output_color`.

    With ``picture`` it is scaled to that, and stands in the middle of black bars.
    """
    color = output_color(task.stream)
    assert color.matrix is not None  # noqa: S101 - output_color sets all
    scaled = (
        timed.filter(
            "scale",
            *(picture or (width, height)),
            flags="bicubic",
            **_input(task.stream),
            out_color_matrix=_MATRICES[color.matrix],
            out_range="tv",
        )
        .filter("setsar", 1)
        .filter("format", "yuv420p")
    )
    if picture:
        # Where chroma begins, too.
        left, top = ((whole - part) // 4 * 2 for whole, part in zip((width, height), picture, strict=True))
        scaled = scaled.filter("pad", width, height, left, top, "black")
    return scaled.filter(
        "setparams",
        field_mode="prog",
        range="tv",
        colorspace=color.matrix,
        color_primaries=color.primaries,
        color_trc=color.transfer,
    )


def _input(stream: VideoStream) -> dict[str, str]:
    # After the LUT, and from RGB sources, pictures are full-range RGB.
    if stream.color.hdr or is_rgb(stream):
        return {"in_range": "pc"}
    return {"in_color_matrix": _MATRICES[_input_matrix(stream)], "in_range": stream.color.range or "tv"}


def split(stream: Any, count: int) -> list[Any]:
    """Return ``count`` branches of a stream: itself, where it is one."""
    if count == 1:
        return [stream]
    branches = stream.filter_multi_output("split", count)
    return [branches[number] for number in range(count)]


def thumbnails(prepared: Any, task: VideoTask) -> Any:
    """Select the chunk's thumbnail frames by their source PTS, at display size but at most 1280 wide, as JPEG wants them."""
    stream = task.stream
    width = min(stream.display_width, THUMBNAIL_WIDTH)
    height = max(1, round(stream.display_height * width / stream.display_width))
    # The first frame at or after each PTS: the frame itself, unless damage took it.
    chosen = "+".join(f"gte(pts,{pts})*(isnan(prev_pts)+lt(prev_pts,{pts}))" for pts in task.chunk.thumbnails)
    chosen_ones = prepared.filter("select", chosen).filter("settb", "1/1").filter("setpts", "N")
    return as_jpeg(chosen_ones, stream, width, height)


def as_jpeg(source: Any, stream: VideoStream, width: int, height: int) -> Any:
    """Scale tone-mapped pictures of ``stream`` to square pixels as JPEG wants them: JFIF is full-range BT.601."""
    return (
        source.filter("scale", width, height, flags="bicubic", **_input(stream), out_color_matrix="bt601", out_range="pc")
        .filter("setsar", 1)
        .filter("format", "yuvj420p")
    )


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
