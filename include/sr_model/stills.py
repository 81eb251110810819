"""Upscales a still: PNG or JPEG in, PNG out.

Luma (BT.601, as JPEG has it) goes through the network in single precision; chroma, and transparency, are interpolated. Grey
stays grey, 16 bits stay 16, and a photograph's orientation is applied, since PNG has no common tag for it.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from include.errors import InvalidInputData, OutputNotSupported
from include.sr_model import zoo
from include.sr_model.backends.openvino import PlaneUpscaler
from include.sr_model.exif import orientation, upright

__all__ = ["SUFFIXES", "read_still", "upscale_still", "write_raw", "write_still"]

SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_PIXELS = 250 * 10**6
"""A small file may hold a picture of any size."""
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
            container.streams.video[0].codec_context.options = dict(_LIMITS)
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
    frame = _frame(picture)
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.time_base = frame.width, frame.height, 1
    encoder.pix_fmt = frame.format.name.replace("le", "be")
    data = b"".join(bytes(packet) for packet in [*encoder.encode(frame.reformat(format=encoder.pix_fmt)), *encoder.encode(None)])
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)


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
    picture = read_still(source)
    made = upscale_picture(picture, PlaneUpscaler(zoo.find(scale, model, variant)))
    write_still(made, out)
    return made.shape[1], made.shape[0]


def upscale_picture(picture: NDArray[Any], planes: PlaneUpscaler) -> NDArray[Any]:
    """Return ``picture`` ``[H, W, channels]`` upscaled, of its own type."""
    peak = np.float32(_peak(picture))
    unit: NDArray[np.float32] = picture.astype(np.float32) / peak
    color = unit[..., :3] if picture.shape[2] > 1 else unit
    if color.shape[2] == 3:
        ycc: NDArray[Any] = color @ _TO_YCC.T
        enlarged = np.stack([planes.network(ycc[..., 0]), *(planes.bicubic(ycc[..., n]) for n in (1, 2))], axis=-1)
        made = [enlarged @ _TO_RGB.T]
    else:
        made = [planes.network(color[..., 0])[..., None]]
    if picture.shape[2] == 4:
        made.append(planes.bicubic(unit[..., 3])[..., None])
    return np.rint(np.concatenate(made, axis=-1).clip(0, 1) * peak).astype(picture.dtype)


def _peak(picture: NDArray[Any]) -> int:
    return 255 if picture.dtype == np.uint8 else 65535
