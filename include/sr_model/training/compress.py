"""What H.264 leaves of a run of pictures: encoded and decoded in this process, nothing written."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

__all__ = ["through_h264"]

Plane = NDArray[np.uint8]


def through_h264(planes: Sequence[Plane], crf: float, preset: str = "medium") -> list[Plane]:
    """Return luma ``planes`` (even sides, all alike) after x264 at ``crf``, with its I, P and B pictures, in the same order.

    Chroma is grey: the network sees luma alone, and x264 chooses luma's quantiser without looking at chroma.
    """
    height, width = planes[0].shape
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = {"crf": f"{crf:g}", "preset": preset, "threads": "1"}
    grey = np.full((height // 2, width), 128, np.uint8)
    packets = []
    for number, plane in enumerate(planes):
        frame = av.VideoFrame.from_ndarray(np.concatenate([plane, grey]), format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.CodecContext.create("h264", "r")
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    if len(frames) != len(planes):
        raise RuntimeError(f"{len(planes)} pictures went into H.264, {len(frames)} came out")
    return [np.asarray(frame.to_ndarray()[:height, :width], np.uint8) for frame in frames]
