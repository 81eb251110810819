"""A look at a video in place, over HTTP as from a store."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from include.errors import InputNotSupported, StorageError
from include.ffmpeg_ops.glance import Glance, glance
from include.settings import Settings
from tests.conftest import Clips

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]
SIGNED = "?X-Amz-Signature=secret"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server of the files below ``tmp_path``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("short", Glance(128, 72, 8, Fraction(2))),
        ("moov_at_end", Glance(128, 72, 8, Fraction(4))),
        ("ten_bit", Glance(128, 72, 10, Fraction(2))),
        ("cover_art", Glance(128, 72, 8, Fraction(2))),
    ],
)
def test_size_depth_and_length_are_found(name: str, expected: Glance, clip: Clips, address: str, tmp_path: Path) -> None:
    shutil.copy(clip(name), tmp_path / "a b.mp4")
    assert glance(f"{address}/a%20b.mp4{SIGNED}", SETTINGS, 30) == expected


@pytest.mark.parametrize("name", ["audio_only", "still", "truncated_moov", "text", "playlist"])
def test_what_is_no_video_is_refused_and_the_address_stays_secret(
    name: str, clip: Clips, address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "it.mp4"
    texts = {"text": "no video " * 1000, "playlist": f"ffconcat version 1.0\nfile 'file:{clip('short')}'\n"}
    if name in texts:
        path.write_text(texts[name])
    else:
        shutil.copy(clip(name), path)
    with pytest.raises(InputNotSupported) as refused:
        glance(f"{address}/it.mp4{SIGNED}", SETTINGS, 30)
    assert "secret" not in refused.value.message + caplog.text
    assert "127.0.0.1" not in refused.value.message


def test_a_store_that_does_not_answer_is_told_apart_from_a_bad_video(address: str) -> None:
    with pytest.raises(StorageError) as refused:
        glance(f"{address}/none.mp4{SIGNED}", SETTINGS, 30)
    assert "secret" not in refused.value.message
