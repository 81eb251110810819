"""What comes out of the encoder of live tasks, of real clips."""

from __future__ import annotations

import re
import subprocess
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import pytest

from include.errors import InputNotSupported
from include.ffmpeg_ops.encodings import Encoding
from include.ffmpeg_ops.live.broadcast import Broadcast, Source
from include.ffmpeg_ops.live.commands import Opened, ingest
from include.ffmpeg_ops.live.hub import Hub
from include.ffmpeg_ops.runner import stream
from include.settings import get_settings
from tests.conftest import Clips
from tests.media import content, ffmpeg

SIZED = Encoding(format="h264", bitrate=1_000_000, width=160, height=90, framerate=Fraction(25))


def encoded(clip: Path, path: Path, encoding: Encoding) -> Path:
    source = Opened(f"file:{clip}", "file")
    command = ingest(source, encoding, flv=False, offset=0, seek=0, silence=5, pixels=10**7, streams=10)
    with stream(command) as reading, path.open("wb") as file:
        while data := reading.read(1 << 16, 30):
            file.write(data)
    return path


def kinds(path: Path) -> dict[str, int]:
    """How many pictures look like what."""
    argv = [ffmpeg(), "-nostdin", "-hide_banner", "-i", str(path), "-an", "-vf", "idet", "-f", "null", "-"]
    told = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stderr
    found = re.findall(r"Multi frame detection: (.*)", told)[-1]
    return {name: int(count) for name, count in re.findall(r"(\w+): *(\d+)", found)}


@pytest.fixture(scope="module")
def interlaced(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of 25 frames, each of two fields that moved in between."""
    path = tmp_path_factory.mktemp("interlaced") / "fields.ts"
    argv = [ffmpeg(), "-nostdin", "-v", "error", *content(4, "50", "160x96", then="tinterlace=interleave_top,setfield=tff")]
    argv += ["-c:v", "libx264", "-preset", "ultrafast", "-flags", "+ildct+ilme", "-top", "1", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    return path


@pytest.mark.parametrize(
    "encoding",
    [SIZED, Encoding(format="h264", bitrate=1_000_000), Encoding(format="mpeg2", bitrate=2_000_000)],
    ids=["sized and paced", "as it comes", "mpeg2"],
)
def test_an_interlaced_source_becomes_whole_pictures(encoding: Encoding, interlaced: Path, tmp_path: Path) -> None:
    assert kinds(interlaced)["Progressive"] == 0
    found = kinds(encoded(interlaced, tmp_path / "made.ts", encoding))
    assert sum(found.values()) == 100
    assert found["Progressive"] > 90


def broadcast(path: Path, encoding: Encoding) -> int:
    """How many pictures come of a source."""
    source = Source(path.name, lambda: nullcontext(Opened(f"file:{path}", "file")), is_file=True)
    hub = Hub([])
    Broadcast(source, encoding, hub, flv=False, check=lambda: None, settings=get_settings()).run()
    return hub.pictures.total


@pytest.mark.parametrize(("name", "transfer"), [("hdr_pq", "smpte2084"), ("hdr_hlg", "arib-std-b67")])
def test_hdr_is_refused_unless_it_is_copied(name: str, transfer: str, clip: Clips) -> None:
    with pytest.raises(InputNotSupported, match=rf"{name}.* is HDR \({transfer}\)"):
        broadcast(clip(name), SIZED)
    assert broadcast(clip(name), Encoding(container="copy", format="copy", audio_format="copy")) == clip.frames(name)


@pytest.mark.parametrize("name", ["cover_art", "ten_bit"])
def test_sdr_of_any_kind_is_taken(name: str, clip: Clips) -> None:
    assert broadcast(clip(name), Encoding(format="h264")) == clip.frames(name)
