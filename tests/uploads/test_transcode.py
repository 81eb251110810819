"""What becomes of an upload's file."""

from __future__ import annotations

import pytest

from include.uploads.registry import Uploads
from include.uploads.transcode import transcode_request
from tests.uploads.memory import MemoryTable, an_upload


@pytest.mark.parametrize("letter", ["a", "é", "漢", "𝗕"])
def test_the_name_of_a_playlist_is_never_longer_than_a_file_system_takes(letter: str) -> None:
    upload = an_upload(Uploads(MemoryTable()), filename=f"{letter * 90}.mp4")
    request = transcode_request(upload, "media")
    assert set(request.name) == {letter}
    assert len(f"{request.name}.m3u8".encode()) <= 255
