"""The demonstration's own eyes: they must see what is wrong, or its success would mean nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts.clips import make_clip, read_frame_numbers
from scripts.eyes import Failed, check_rendition, check_upscaled, facts_of


@pytest.fixture(scope="module", autouse=True)
def programs(tools):
    """Let the scripts, which users run with ffmpeg on the PATH, find the programs under test."""
    folder = Path(os.environ.get("MEDIA_FFMPEG", "")).parent
    if folder.name and not (folder / "ffmpeg").exists():
        pytest.skip("the ffmpeg under test does not go by that name")


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "clip.mp4"
    make_clip(path, seconds=2, width=640, height=360)
    return path


def remake(clip: Path, name: str, *options: str) -> Path:
    path = clip.with_name(f"{name}.mp4")
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(clip), *options, str(path)], check=True)
    return path


def test_each_frame_of_the_clip_shows_its_number(clip):
    assert read_frame_numbers(str(clip)) == list(range(48))


def test_a_smaller_rendition_with_all_frames_is_right(clip):
    small = remake(clip, "small", "-vf", "scale=320:180", "-crf", "30")
    facts = check_rendition("small", small, facts_of(str(clip)), numbered=True)
    assert (facts.frames, facts.width, facts.audio_tracks) == (48, 320, 1)


@pytest.mark.sampled("a lost frame", "short audio", "no sound")
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        pytest.param(["-frames:v", "47"], "47 frames", id="a lost frame"),
        pytest.param(["-vf", "reverse"], "not in its place", id="frames in another order"),
        pytest.param(["-vf", "setpts=PTS*1.5", "-fps_mode", "passthrough"], "away from its time", id="drift"),
        pytest.param(["-an"], "audio is missing", id="no audio"),
        pytest.param(["-af", "atrim=end=1"], "audio is", id="short audio"),
        pytest.param(["-vf", "scale=1280:720"], "upscaled", id="upscaled"),
    ],
)
def test_what_is_wrong_is_seen(clip, options, complaint):
    wrong = remake(clip, "wrong", *options)
    with pytest.raises(Failed, match=complaint):
        check_rendition("wrong", wrong, facts_of(str(clip)), numbered=True)


def enlarge(clip: Path, name: str, *options: str) -> Path:
    return remake(clip, name, "-c:a", "copy", "-vf", "scale=1280:720", *options)


def test_an_upscaled_video_with_all_frames_and_the_same_sound_is_right(clip):
    check_upscaled(enlarge(clip, "large"), clip, facts_of(str(clip)), 2, numbered=True)


@pytest.mark.sampled("a lost frame", "short audio", "no sound")
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        pytest.param(["-frames:v", "47"], "47 frames", id="a lost frame"),
        pytest.param(["-vf", "scale=1280:720,reverse"], "not in its place", id="frames in another order"),
        pytest.param(["-vf", "scale=1280:720,setpts=PTS*1.5", "-fps_mode", "passthrough"], "at other times", id="drift"),
        pytest.param(["-vf", "scale=960:540"], "is 960x540", id="another size"),
        pytest.param(["-c:a", "aac", "-b:a", "96k"], "other sound", id="sound encoded again"),
        pytest.param(["-an"], "other sound", id="no sound"),
    ],
)
def test_what_is_wrong_with_an_upscaled_video_is_seen(clip, options, complaint):
    with pytest.raises(Failed, match=complaint):
        check_upscaled(enlarge(clip, "wrong", *options), clip, facts_of(str(clip)), 2, numbered=True)
