"""How a photograph is to be turned, as Exif (JEITA CP-3451, 4.6.4) in a JPEG or PNG says."""

from __future__ import annotations

import struct
from typing import Any

from numpy.typing import NDArray

__all__ = ["orientation", "upright"]

_TAG = 0x0112
_LIMIT = 1 << 16


def orientation(data: bytes) -> int:
    """Return 1 to 8; 1, upright, where the file ``data`` says nothing that makes sense."""
    # Of a JPEG the first segment or one soon after it, of a PNG a chunk of its own.
    marker = b"eXIf" if data.startswith(b"\x89PNG") else b"Exif\0\0"
    place = data.find(marker, 0, None if marker == b"eXIf" else _LIMIT)
    tiff = data[place + len(marker) :][:_LIMIT] if place >= 0 else b""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (first,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, first)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, first + 2 + 12 * entry)
            if tag == _TAG:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def upright(picture: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return ``picture [H, W, ...]`` as it is to be seen."""
    if orientation >= 5:
        picture = picture.swapaxes(0, 1)
    # Seen from the picture as it now lies: which of its sides are exchanged.
    across, down = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    return picture[:: -1 if down else 1, :: -1 if across else 1]
