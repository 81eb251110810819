"""What an RTSP server sends, watched on its way: a redirect would lead ffmpeg to an address that nobody has checked. Pure."""

from __future__ import annotations

import re

from include.errors import InputNotSupported, InvalidInputData

__all__ = ["RtspWatch"]

_LONGEST_LINE = 4096
_LONGEST_BODY = 2**20
_MOST_LINES = 200
# RTP's and RTCP's headers have eight bytes at least; ffmpeg takes what is shorter for text.
_SHORTEST_PACKET = 8
_STATUS = re.compile(rb"RTSP/[^ \t]+[ \t]+([0-9]{3})(?:[ \t].*)?")
_REQUEST = re.compile(rb"[A-Z_]+[ \t]+.*")
_LENGTH_NAME = b"content-length:"
_LENGTH = re.compile(rb"[ \t]*([0-9]{1,7})[ \t]*")


class RtspWatch:
    """Follows the messages and packets of one connection (RFC 2326, 4 and 10.12) as ffmpeg tells them apart.

    Where the two could read the same bytes differently, the bytes are refused.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._skip = 0
        # Of the header that is being read: its first line, and those that tell of a body.
        self._lines: list[bytes] = []
        self._count = 0

    def __call__(self, data: bytes) -> None:
        """Take what comes next.

        Raises :class:`InputNotSupported` for a redirect, :class:`InvalidInputData` for what is no RTSP.
        """
        self._rest += data
        while self._rest and self._step():
            pass

    def _step(self) -> bool:
        """Take one line, or the rest of a body or packet; tell whether there was enough of it."""
        if self._skip:
            gone = min(self._skip, len(self._rest))
            del self._rest[:gone]
            self._skip -= gone
            return True
        if self._rest[:1] == b"$":
            return self._packet()
        end = self._rest.find(b"\n")
        if end < 0:
            if len(self._rest) > _LONGEST_LINE:
                raise _wrong("a line without an end")
            return False
        line = bytes(self._rest[:end]).replace(b"\r", b"")
        del self._rest[: end + 1]
        if b"\0" in line or len(line) > _LONGEST_LINE:
            raise _wrong("a line that is no text")
        if line:
            self._keep(line)
        else:
            self._skip = _body(self._lines)
            self._lines, self._count = [], 0
        return True

    def _keep(self, line: bytes) -> None:
        self._count += 1
        if self._count > _MOST_LINES:
            raise _wrong("a header without an end")
        if not self._lines or line.lower().startswith(_LENGTH_NAME):
            self._lines.append(line)

    def _packet(self) -> bool:
        if self._lines:
            raise _wrong("a packet within a message")
        if len(self._rest) < 4:
            return False
        length = int.from_bytes(self._rest[2:4], "big")
        if length < _SHORTEST_PACKET:
            raise _wrong("a packet without a header")
        self._skip = 4 + length
        return True


def _body(lines: list[bytes]) -> int:
    """Return the length of what follows a message's header."""
    first = lines[0].lstrip(b" \t") if lines else b""
    if status := _STATUS.fullmatch(first):
        if status[1].startswith(b"3"):
            raise InputNotSupported("The source's server redirects to another address; name that address itself.")
    elif not _REQUEST.fullmatch(first) or first.startswith(b"RTSP"):
        raise _wrong("what is neither an answer nor a request")
    told = [line.partition(b":")[2] for line in lines if line.lower().startswith(_LENGTH_NAME)]
    if not told:
        return 0
    length = _LENGTH.fullmatch(told[0]) if len(told) == 1 else None
    if length is None or int(length[1]) > _LONGEST_BODY:
        raise _wrong("a message without a usable length")
    return int(length[1])


def _wrong(what: str) -> InvalidInputData:
    return InvalidInputData(f"The source's server does not speak RTSP as it should: it sent {what}.")
