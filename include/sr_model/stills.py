"""Upscales a still: PNG or JPEG in, PNG out.

Luma (BT.601, as JPEG has it) goes through the network in single precision; chroma, and transparency, are interpolated. Grey
stays grey, 16 bits stay 16, the ICC profile is kept, and a photograph's orientation is applied, since PNG has no common tag
for it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from include.errors import InvalidInputData, OutputNotSupported
from include.media_store.scratch import folder_beside
from include.sr_model import zoo
from include.sr_model.backends.openvino import PlaneUpscaler
from include.sr_model.exif import orientation, upright
from include.sr_model.icc import icc_profile
from include.sr_model.png import PngWriter
from include.sr_model.tiles import grid
from include.sr_model.zoo import Entry

__all__ = ["SUFFIXES", "read_still", "upscale_still", "upscaled_bands", "write_raw", "write_still"]

SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_PIXELS = 250 * 10**6
"""A small file may hold a picture of any size."""
TILE = (512, 512)
"""Height and width of what goes through the network at once."""
_LIMITS = {"max_pixels": str(MAX_PIXELS)}

# How files begin, and who reads them. NUT is what our own pictures are written to.
_KINDS = {b"\x89PNG": "png_pipe", b"\xff\xd8": "jpeg_pipe", b"nut/": "nut"}

# ITU-T T.871: Y, Cb, Cr of R, G, B, full range.
_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]], np.float32)
_TO_RGB = np.linalg.inv(_TO_YCC.astype(np.float64)).astype(np.float32)


def read_still(path: Path) -> NDArray[Any]:
    """Return the picture as ``[H, W, channels]``: 1 grey, 3 RGB, 4 RGBA; uint8, or uint16 where it has more than 8 bits.

    Raises :class:`InvalidInputData` for what is no picture, and for one of more than :data:`MAX_PIXELS`.
    """
    try:
        data = path.read_bytes()
        kind = next((name for start, name in _KINDS.items() if data.startswith(start)), None)
        # The library would open playlists and videos, too, whatever the file is called.
        opened: Any = av.open  # whose types know one list of options alone
        with opened(io.BytesIO(data), format=kind or "png_pipe", stream_options=[dict(_LIMITS)]) as container:
            # Decoders of pictures fill up what is missing, unless they are told not to.
            container.streams.video[0].codec_context.options = {**_LIMITS, "err_detect": "explode"}
            frame = next(container.decode(video=0))
    except OSError as error:
        raise InvalidInputData(f"{path.name} cannot be opened: {error.strerror}.") from error
    except (av.error.FFmpegError, StopIteration, IndexError) as error:
        message = f"{path.name} is no picture that can be read, or one of more than {MAX_PIXELS // 10**6} million pixels."
        raise InvalidInputData(message) from error
    components = frame.format.components
    deep = max(component.bits for component in components) > 8
    # A palette may hold transparency, too.
    alpha = frame.format.name == "pal8" or any(component.is_alpha for component in components)
    grey = len(components) - alpha == 1 and frame.format.name != "pal8"
    if grey and not alpha:
        picture: NDArray[Any] = frame.to_ndarray(format="gray16le" if deep else "gray")[..., None]
    else:
        picture = frame.to_ndarray(format=("rgba64le" if deep else "rgba") if alpha else ("rgb48le" if deep else "rgb24"))
    if alpha and bool(np.all(picture[..., 3] == _peak(picture))):
        picture = picture[..., :3]
    return np.ascontiguousarray(upright(picture, orientation(data)))


def write_still(picture: NDArray[Any], path: Path) -> None:
    """Write ``[H, W, channels]`` as PNG; the file appears when it is complete."""
    _write(path, picture.shape, picture.dtype, [picture])


def _write(
    path: Path, shape: Sequence[int], dtype: np.dtype[Any], bands: Iterable[NDArray[Any]], *, profile: bytes | None = None
) -> None:
    height, width, channels = shape
    with folder_beside(path) as folder:
        made = folder / "made.png"
        with PngWriter(made, width, height, channels, dtype, profile=profile) as writer:
            for band in bands:
                writer.write(band)
        made.replace(path)


def write_raw(picture: NDArray[Any], path: Path) -> Path:
    """Write ``[H, W, channels]`` as a video of one frame, not compressed, that any ffmpeg reads; return ``path``."""
    frame = _frame(picture)
    with av.open(str(path), "w", format="nut") as container:
        stream: Any = container.add_stream("rawvideo", rate=1)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def _frame(picture: NDArray[Any]) -> Any:
    deep, channels = picture.dtype == np.uint16, picture.shape[2]
    names = {1: ("gray", "gray16le"), 3: ("rgb24", "rgb48le"), 4: ("rgba", "rgba64le")}
    return av.VideoFrame.from_ndarray(picture[..., 0] if channels == 1 else picture, format=names[channels][deep])


def upscale_still(source: Path, out: Path, *, scale: int = 2, model: str = "fast", variant: str = "video") -> tuple[int, int]:
    """Upscale ``source`` to the PNG ``out``; return its width and height.

    Raises :class:`OutputNotSupported` for another kind of output, and what :func:`read_still` raises.
    """
    if out.suffix.lower() != ".png":
        raise OutputNotSupported(f"Stills are written as PNG, not as {out.suffix or 'a name without a suffix'}.")
    network, picture = zoo.find(scale, model, variant), read_still(source)
    height, width, channels = picture.shape
    shape, profile = (height * scale, width * scale, channels), icc_profile(source.read_bytes(), channels)
    _write(out, shape, picture.dtype, upscaled_bands(picture, network), profile=profile)
    return width * scale, height * scale


def upscaled_bands(picture: NDArray[Any], network: Entry) -> Iterator[NDArray[Any]]:
    """Yield ``picture`` ``[H, W, channels]`` upscaled, of its own type, in bands from top to bottom.

    Beside ``picture`` and a band no more is in memory than is needed for a tile.
    """
    height, width, channels = picture.shape
    size, scale = (min(height, TILE[0]), min(width, TILE[1])), network.scale
    planes = PlaneUpscaler(network, *size)
    for rows, tiles in groupby(grid(height, width, *size, network.radius), key=attrgetter("rows")):
        band = np.empty(((rows.last - rows.first) * scale, width * scale, channels), picture.dtype)
        for tile in tiles:
            made = _upscaled(picture[tile.source(*size)], planes)
            band[:, tile.place(scale)[1]] = made[tile.inside(scale)]
        yield band


def _upscaled(picture: NDArray[Any], planes: PlaneUpscaler) -> NDArray[Any]:
    peak = np.float32(_peak(picture))
    unit = [picture[..., n].astype(np.float32) / peak for n in range(picture.shape[2])]
    if len(unit) == 1:
        made = [planes.network(unit[0])]
    else:
        luma, *chroma = _weighted(unit[:3], _TO_YCC)
        made = _weighted([planes.network(luma), *(planes.bicubic(plane) for plane in chroma)], _TO_RGB)
        made += [planes.bicubic(plane) for plane in unit[3:]]
    upscaled = np.empty((*made[0].shape, len(made)), picture.dtype)
    for n, plane in enumerate(made):
        upscaled[..., n] = np.rint(plane.clip(0, 1) * peak)
    return upscaled


def _weighted(planes: Sequence[NDArray[np.float32]], matrix: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    # Sample by sample, and not as a product of matrices, whose sums depend on how many there are.
    first, second, third = planes
    return [row[0] * first + row[1] * second + row[2] * third for row in matrix]


def _peak(picture: NDArray[Any]) -> int:
    return 255 if picture.dtype == np.uint8 else 65535
