"""The merge, and that verification sees what is not as in the source."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.errors import InputNotSupported, VerificationFailed
from include.ffmpeg_ops import fidelity, merge, probe
from include.ffmpeg_ops.containers import container_of
from include.ffmpeg_ops.ffprobe import Source
from include.settings import Settings
from tests.conftest import Clips
from tests.ffmpeg_ops.upscaling import Job
from tests.media import content, ffmpeg, read_frame_numbers

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


def verify(job: Job, made: Path) -> dict[str, Any]:
    return fidelity.verify_fidelity(
        job.source, job.info, job.manifest, made, scale=2, kept=job.kept, container=job.container, scratch=job.folder,
        settings=SETTINGS,
    )  # fmt: skip


@pytest.mark.sampled("vfr", "edit_list", "video_late", "still_first", "overflow", "flv_sound_first")
@pytest.mark.parametrize(
    "name",
    ["plain", "vfr", "edit_list", "audio_late", "video_late", "start_offset", "overflow", "flv", "flv_sound_first",
     "rotated_270", "flipped", "two_videos", "layout_2.1", "slides", "still_first", "vp9"],
)  # fmt: skip
def test_the_rest_of_the_source_is_copied_and_frames_keep_their_times(name: str, clip: Clips, tmp_path: Path) -> None:
    job = Job(clip(name), tmp_path, SETTINGS)
    made = job.merged()
    facts = verify(job, made)
    assert facts["frames"] == job.info.video.frames
    assert facts["copied_streams"] == len(job.kept) - 1
    assert read_frame_numbers(made) == read_frame_numbers(job.source)


CHAPTERS = """;FFMETADATA1
title=My film
comment=hello
[CHAPTER]
TIMEBASE=1/1000
START=0
END=1000
title=One
[CHAPTER]
TIMEBASE=1/1000
START=1000
END=2000
title=Two
"""
SUBTITLES = "1\n00:00:00,500 --> 00:00:01,500\nHello\n"
TAGS = ["-metadata:s:v:0", "language=fra", "-metadata:s:a:0", "language=eng", "-metadata:s:s:0", "language=deu"]
ATTACHED = [
    *("-attach", "{srt}", "-metadata:s:t:0", "mimetype=application/x-truetype-font", "-metadata:s:t:0", "filename=font.ttf"),
    *("-attach", "{still}", "-metadata:s:t:1", "mimetype=image/jpeg", "-metadata:s:t:1", "filename=cover.jpg"),
]


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (
            ".mkv",
            ["-map", "1", "-map_metadata", "2", "-c:s", "srt", *TAGS, *ATTACHED],
        ),
        (".mp4", ["-map", "1", "-map", "3", "-map_metadata", "2", "-c:s", "mov_text", *TAGS, "-disposition:v:1", "attached_pic"]),
        (".mov", ["-metadata", "com.apple.quicktime.make=Maker", "-movflags", "use_metadata_tags", "-timecode", "01:00:00:00"]),
    ],
    ids=["matroska", "mp4", "quicktime"],
)
def test_subtitles_chapters_covers_fonts_and_metadata_survive(
    suffix: str, options: list[str], clip: Clips, tmp_path: Path
) -> None:
    (tmp_path / "s.srt").write_text(SUBTITLES)
    (tmp_path / "m.txt").write_text(CHAPTERS)
    places = {"{srt}": str(tmp_path / "s.srt"), "{still}": str(clip("still"))}
    source = tmp_path / f"source{suffix}"
    argv = [ffmpeg(), "-v", "error", "-i", clip("short"), "-i", tmp_path / "s.srt", "-i", tmp_path / "m.txt", "-i", clip("still")]
    argv += ["-map", "0", "-c", "copy", *(places.get(option, option) for option in options), source]
    subprocess.run([str(argument) for argument in argv], check=True)
    folder = tmp_path / "work"
    folder.mkdir()
    job = Job(source, folder, SETTINGS)
    made = job.merged()
    verify(job, made)
    before, after = (Source(path, SETTINGS).document() for path in (source, made))

    def told(document: Any) -> list[Any]:
        found = [stream for stream in document["streams"] if stream["codec_type"] != "data"]
        names = ("language", "title", "filename", "mimetype", "timecode")
        return [
            (one["codec_type"], one["disposition"]["attached_pic"], {name: one.get("tags", {}).get(name) for name in names})
            for one in found
        ]

    assert told(after) == told(before)
    assert [one["tags"]["title"] for one in after["chapters"]] == [one["tags"]["title"] for one in before["chapters"]]
    kept = {"title", "comment", "com.apple.quicktime.make", "timecode"}
    tags = [{name.lower(): value for name, value in one["format"].get("tags", {}).items()} for one in (before, after)]
    assert {name: tags[1].get(name) for name in kept} == {name: tags[0].get(name) for name in kept}


def test_flac_in_an_mp4_is_copied(clip: Clips, tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    argv = [ffmpeg(), "-v", "error", "-i", clip("short"), "-c:v", "copy", "-c:a", "flac", "-strict", "-2", source]
    subprocess.run([str(argument) for argument in argv], check=True)
    folder = tmp_path / "work"
    folder.mkdir()
    job = Job(source, folder, SETTINGS)
    verify(job, job.merged())


def test_an_output_does_not_claim_the_transparency_that_it_lacks(tmp_path: Path) -> None:
    source = tmp_path / "source.webm"
    argv = [ffmpeg(), "-v", "error", *content(0.2, size="64x36", then="format=yuva420p"), "-c:v", "libvpx-vp9"]
    subprocess.run([*argv, "-deadline", "realtime", "-cpu-used", "8", str(source)], check=True)
    folder = tmp_path / "work"
    folder.mkdir()
    job = Job(source, folder, SETTINGS)
    made = job.merged()
    verify(job, made)
    tags = [Source(path, SETTINGS).document()["streams"][0].get("tags", {}) for path in (source, made)]
    assert ["alpha_mode" in {name.lower() for name in told} for told in tags] == [True, False]


def test_a_turned_video_is_refused_where_its_file_could_not_tell_of_it(clip: Clips, tmp_path: Path) -> None:
    source = clip("rotated_90")
    info, _ = probe.probe(source, settings=SETTINGS)
    with pytest.raises(InputNotSupported, match="turned"):
        merge.keepable(source, info, container_of(".ts"), tmp_path, settings=SETTINGS)


def again(*options: str) -> Callable[[Path, Path], None]:
    """Return what rewrites an output with ffmpeg's ``options``."""

    def rewrite(made: Path, spoilt: Path) -> None:
        argv = [ffmpeg(), "-v", "error", "-y", "-i", str(made), "-map", "0", "-c", "copy", *options, str(spoilt)]
        subprocess.run(argv, check=True)

    return rewrite


def late_sound(made: Path, spoilt: Path) -> None:
    argv = [ffmpeg(), "-v", "error", "-y", "-i", str(made), "-itsoffset", "0.04", "-i", str(made), "-map", "0:v", "-map", "1:a"]
    subprocess.run([*argv, "-c", "copy", "-movflags", "+faststart", str(spoilt)], check=True)


FAST = ("-movflags", "+faststart")


@pytest.mark.sampled("late frames", "sound encoded again", "late sound")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (again("-t", "4", *FAST), "frames, expected 250"),
        (again("-bsf:v", "setts=pts=PTS+512*gte(N\\,100):dts=DTS+512*gte(N\\,100)", *FAST), "too late"),
        (again("-c:a", "aac", *FAST), "packet|bit by bit"),
        (again("-an", *FAST), "streams is 1, expected 2"),
        (late_sound, "too late"),
        (again("-aspect", "4:3", *FAST), "pixel shape"),
        (again(), "faststart"),
        (again("-metadata:s:a", "language=fra", *FAST), "language"),
        (again("-c:v", "libx264", "-vf", "scale=128:72", *FAST), "size"),
    ],
    ids=[
        "short",
        "late frames",
        "sound encoded again",
        "no sound",
        "late sound",
        "pixel shape",
        "index behind",
        "language",
        "size",
    ],
)
def test_verification_sees_what_differs(spoil: Callable[[Path, Path], None], message: str, clip: Clips, tmp_path: Path) -> None:
    job = Job(clip("plain"), tmp_path, SETTINGS)
    made = job.merged()
    verify(job, made)
    spoilt = tmp_path / "spoilt.mp4"
    spoil(made, spoilt)
    with pytest.raises(VerificationFailed, match=message):
        verify(job, spoilt)


def test_verification_sees_a_lost_rotation(clip: Clips, tmp_path: Path) -> None:
    job = Job(clip("rotated_90"), tmp_path, SETTINGS)
    upright = job.info.model_copy(update={"video": job.info.video.model_copy(update={"rotation": 0})})
    with pytest.raises(VerificationFailed, match="orientation"):
        verify(job, job.merged(info=upright))


def test_a_segment_with_another_count_of_frames_is_refused(clip: Clips, tmp_path: Path) -> None:
    job = Job(clip("plain"), tmp_path, SETTINGS)
    parts = job.upscaled()
    short = tmp_path / "short.mp4"
    subprocess.run([ffmpeg(), "-v", "error", "-i", str(parts[1]), "-c", "copy", "-frames:v", "49", str(short)], check=True)
    with pytest.raises(VerificationFailed, match="segment 1 has 49 frames, expected 50"):
        job.merged([parts[0], short, *parts[2:]])


def test_what_the_container_does_not_take_is_told_and_sound_that_it_does_not_take_is_refused(clip: Clips, tmp_path: Path) -> None:
    source = clip("subtitles")
    info, _ = probe.probe(source, settings=SETTINGS)
    kept, dropped = merge.keepable(source, info, container_of(".mp4"), tmp_path, settings=SETTINGS)
    assert (kept, [(stream.kind, stream.index) for stream in dropped]) == ((0, 1, 2), [("data", 3)])
    with pytest.raises(InputNotSupported, match="audio"):
        merge.keepable(source, info, container_of(".webm"), tmp_path, settings=SETTINGS)


def test_a_file_is_asked_once_what_it_is(clip: Clips, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = tmp_path / "source.mp4"
    source.write_bytes(clip("languages").read_bytes())
    with caplog.at_level("INFO", logger="include.ffmpeg_ops.runner"):
        job = Job(source, tmp_path, SETTINGS)
        verify(job, job.merged())
    asked = [message for message in caplog.messages if "-show_streams" in message and str(source) in message]
    assert len(asked) == 1
    # Another file in its place is another file.
    source.write_bytes(clip("short").read_bytes())
    assert len(Source(source, SETTINGS).document()["streams"]) == 2


def test_the_damage_that_a_file_shows_when_it_is_asked_is_remembered(clip: Clips, tmp_path: Path) -> None:
    # Its index is whole, its data are not.
    once, again = (Source(clip("truncated"), SETTINGS) for _ in range(2))
    assert once.document() is again.document()
    assert once.said == again.said


@pytest.mark.parametrize(
    ("suffix", "why"),
    [(".avi", "no time"), (".MPG", "only some frames have a time"), (".wmv", "decoded"), ("", "remux"), (".xyz", "remux")],
)
def test_a_kind_of_file_that_cannot_hold_the_result_is_refused_with_the_reason(suffix: str, why: str) -> None:
    with pytest.raises(InputNotSupported, match=f"{why}.*") as caught:
        container_of(suffix)
    assert "remux" in caught.value.message


@pytest.mark.parametrize("name", ["avi", "mpegps"])
def test_such_a_file_can_be_upscaled_when_it_is_remuxed_as_the_refusal_says(name: str, clip: Clips, tmp_path: Path) -> None:
    with pytest.raises(InputNotSupported) as caught:
        container_of(clip(name).suffix)
    _, _, command = caught.value.message.removesuffix(").").partition("(ffmpeg ")
    source, folder = tmp_path / "out.mkv", tmp_path / "work"
    places = {f"in{clip(name).suffix}": str(clip(name)), "out.mkv": str(source)}
    subprocess.run([ffmpeg(), "-v", "error", *(places.get(word, word) for word in command.split())], check=True)
    folder.mkdir()
    job = Job(source, folder, SETTINGS)
    made = job.merged()
    assert verify(job, made)["frames"] == 100
    assert read_frame_numbers(made) == list(range(100))
