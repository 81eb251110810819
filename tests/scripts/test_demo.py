from __future__ import annotations

from pathlib import Path

import pytest

from scripts import demo

LEFT = ["m3u8/clip.m3u8", "m3u8/hls0800k/clip00009.ts", "mp4/clip.mp4", "clip.mp4", "small.mp4", "upscaled.mp4"]


@pytest.mark.parametrize("video", [None, "clip.mp4"], ids=["a-clip-is-made", "the-clip-of-a-former-run-is-the-video"])
def test_nothing_of_a_former_demonstration_is_left_but_what_is_to_be_shown(tmp_path: Path, video: str | None) -> None:
    for name in LEFT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"former")
    demo._remove_former(tmp_path, tmp_path / video if video else None)
    assert [path.name for path in tmp_path.iterdir()] == ([video] if video else [])


def test_what_is_no_video_is_said_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["demo", "--video", "notes.mp4"])
    monkeypatch.setattr(demo, "up", lambda: pytest.fail("the stack was started"))
    assert demo.main() == 2
    assert "no video can be read from notes.mp4" in capfd.readouterr().out
