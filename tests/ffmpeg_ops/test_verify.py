from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from include.errors import VerificationFailed
from include.ffmpeg_ops.timetable import Timetable, segment_starts
from include.ffmpeg_ops.verify import verify_chunk, verify_package
from include.settings import Settings
from tests.ffmpeg_ops.jobs import CONTAINERS, Encoded, Jobs, Packaged, rewrite
from tests.media import ffmpeg

# Of times and of sound each container has a way of its own; pictures are the same in all of them.
GOOD = [
    (name, container)
    for name in (
        "plain", "ntsc", "vfr", "vp9", "audio_late", "video_late", "video_much_later", "slides", "pairs", "no_audio", "languages",
        "one_frame", "two_frames", "grid_plus_one",
    )
    for container in CONTAINERS
] + [
    ("film", "mp4"), ("mpegts", "mpegts"), ("surround", "fmp4"), ("exact_grid", "mpegts"), ("hdr_pq", "mp4"),
    ("bars_601", "mpegts"), ("anamorphic", "fmp4"), ("rotated_90", "mp4"), ("interlaced", "mpegts"),
]  # fmt: skip


def run(*arguments: str | Path) -> None:
    subprocess.run([ffmpeg(), "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True, timeout=60)


def check(made: Packaged) -> dict[str, object]:
    return verify_package(made.plan, made.package, made.folder)


def refused(made: Packaged, reason: str) -> None:
    with pytest.raises(VerificationFailed, match=reason):
        check(made)


def garble(path: Path, share: float, length: int = 400) -> None:
    data = bytearray(path.read_bytes())
    start = int(len(data) * share)
    data[start : start + length] = bytes((7 * n + 131) % 256 for n in range(len(data[start : start + length])))
    path.write_bytes(data)


# -- sound packages


@pytest.mark.sampled("vfr-mpegts", "video_much_later-fmp4", "languages-mpegts", "languages-mp4", "one_frame-fmp4", "hdr_pq-mp4")
@pytest.mark.parametrize(("name", "container"), GOOD)
def test_a_sound_package_passes(jobs: Jobs, name: str, container: str) -> None:
    made = jobs.package(name, container)
    facts = check(made)
    rungs = facts["renditions"]
    assert isinstance(rungs, dict)
    assert list(rungs) == [rung.name for rung in made.plan.rungs]
    for item in rungs.values():
        assert item["frames"] == made.plan.info.video.frames
        assert item["duration"] == pytest.approx(float(made.plan.info.video.duration), abs=0.05)
        assert item["size"] > 0
        assert 0 < item["decoded_frames"] <= item["frames"]
    assert facts["files"] == len(made.package.files)
    assert not list(made.folder.glob(".*"))


def test_a_long_package_is_sampled_and_can_be_decoded_in_full(jobs: Jobs) -> None:
    made = jobs.package("long_gop")
    sampled = check(made)["renditions"]["low"]  # type: ignore[index]
    full = verify_package(made.plan, made.package, made.folder, settings=Settings(verify_decode="full"))["renditions"]["low"]
    assert full["decoded_frames"] == full["frames"] == 750
    assert sampled["decoded_frames"] < 750
    assert {key: value for key, value in sampled.items() if key != "decoded_frames"} == {
        key: value for key, value in full.items() if key != "decoded_frames"
    }


@pytest.mark.parametrize("container", CONTAINERS)
def test_names_that_need_escapes_pass(jobs: Jobs, tmp_path: Path, container: str) -> None:
    check(jobs.encode("plain", container).package(tmp_path, "-a b#%20 中'\"🎬"))


# -- files and playlists


def test_a_missing_segment_is_refused(jobs: Jobs, tmp_path: Path) -> None:
    made = jobs.package("plain").copy(tmp_path)
    (tmp_path / "high" / "clip00001.ts").unlink()
    refused(made, r"high/clip00001\.ts is missing or empty")


def test_an_unlisted_segment_is_refused(jobs: Jobs, tmp_path: Path) -> None:
    made = jobs.package("plain").copy(tmp_path)
    files = tuple(file for file in made.package.files if file != "high/clip00001.ts")
    refused(replace(made, package=replace(made.package, files=files)), r"does not list high/clip00001\.ts")


def test_a_segment_that_no_playlist_names_is_refused(jobs: Jobs, tmp_path: Path) -> None:
    made = jobs.package("plain").copy(tmp_path)
    (tmp_path / "high" / "extra.ts").write_bytes(b"x")
    files = ("high/extra.ts", *made.package.files)
    refused(replace(made, package=replace(made.package, files=files)), r"lists high/extra\.ts, which no playlist names")


@pytest.mark.parametrize("container", CONTAINERS[:2])
def test_a_segment_left_out_of_a_playlist_is_refused(jobs: Jobs, tmp_path: Path, container: str) -> None:
    made = jobs.package("twenty_seconds", container).copy(tmp_path)
    rewrite(tmp_path / "high" / "clip.m3u8", lambda text: re.sub(r"#EXTINF:6,\n.*00001.*\n", "", text))
    refused(made, r"rung high has 350 frames, expected 500: the first difference is at frame 150")


def test_swapped_segments_are_refused(jobs: Jobs, tmp_path: Path) -> None:
    made = jobs.package("twenty_seconds").copy(tmp_path)
    first, second = tmp_path / "low" / "clip00001.ts", tmp_path / "low" / "clip00002.ts"
    first.rename(tmp_path / "x")
    second.rename(first)
    (tmp_path / "x").rename(second)
    refused(made, "rung low")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda text: text.replace("#EXT-X-ENDLIST\n", ""), "not a finished one", id="no-end"),
        pytest.param(lambda text: text.replace("#EXT-X-INDEPENDENT-SEGMENTS\n", ""), "segments are independent", id="dependent"),
        pytest.param(lambda text: text.replace("DURATION:6", "DURATION:5"), "longer than the target duration", id="target"),
        pytest.param(lambda text: text.replace("#EXTINF:6,", "#EXTINF:5.9,", 1), "lasts 6.000 s, but .* 5.900 s", id="duration"),
        pytest.param(lambda text: "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-ENDLIST\n", "empty playlist", id="empty"),
    ],
)
def test_a_media_playlist_that_lies_is_refused(jobs: Jobs, tmp_path: Path, change: Callable[[str], str], reason: str) -> None:
    made = jobs.package("plain").copy(tmp_path)
    rewrite(tmp_path / "low" / "clip.m3u8", change)
    refused(made, reason)


def swapped(match: re.Match[str]) -> str:
    return {"low": "high/", "high": "low/"}[match[1]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda text: re.sub(r"([:,]BANDWIDTH=)\d+", r"\g<1>1000", text), "BANDWIDTH", id="bandwidth"),
        pytest.param(lambda text: text.replace("64x36", "64x38"), "RESOLUTION", id="resolution"),
        pytest.param(lambda text: text.replace(",mp4a.40.2", ""), "audio in CODECS", id="audio-codec"),
        pytest.param(lambda text: text.replace("avc1.", "hvc1."), "names no H.264 codec", id="video-codec"),
        pytest.param(
            lambda text: text.replace("low/", "x/").replace("high/", "low/").replace("x/", "high/"), "renditions", id="order"
        ),
        pytest.param(lambda text: re.sub(r"#EXT-X-STREAM-INF.*\nhigh.*\n", "", text), "renditions", id="variant-missing"),
    ],
)
def test_a_master_playlist_that_lies_is_refused(jobs: Jobs, tmp_path: Path, change: Callable[[str], str], reason: str) -> None:
    made = jobs.package("plain").copy(tmp_path)
    rewrite(made.entry, change)
    refused(made, reason)


# -- frames


def shortened(encoded: Encoded, chunk: int, frames: int, folder: Path) -> Path:
    path = folder / "short.mp4"
    scale = encoded.plan.timing.timescale
    source = encoded.parts["high"][chunk]
    run(
        "-i",
        source,
        "-c",
        "copy",
        "-bsf:v",
        f"noise=drop='gte(pts,{frames}*{scale}/25)'",
        "-video_track_timescale",
        str(scale),
        path,
    )
    return path


@pytest.mark.sampled("1-its last frame-mpegts", "3-its last 3 frames-mp4")
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(("lost", "words"), [(1, "its last frame"), (3, "its last 3 frames")])
def test_frames_lost_at_a_join_are_told_by_their_chunk(jobs: Jobs, tmp_path: Path, lost: int, words: str, container: str) -> None:
    encoded = jobs.encode("twenty_seconds", container)
    chunk = encoded.plan.chunks[1]
    spoilt = encoded.with_part("high", 1, shortened(encoded, 1, chunk.frames - lost, tmp_path))
    refused(spoilt.package(tmp_path / "out"), f"rung high has {500 - lost} frames, expected 500: chunk 1 lost {words}")


@pytest.mark.sampled("mp4")
@pytest.mark.parametrize("container", CONTAINERS)
def test_chunks_in_the_wrong_order_are_refused(jobs: Jobs, tmp_path: Path, container: str) -> None:
    encoded = jobs.encode("ntsc", container, chunk_seconds=5)
    first, second = encoded.parts["high"][:2]
    assert encoded.plan.chunks[0].frames != encoded.plan.chunks[1].frames
    refused(encoded.with_part("high", 0, second).with_part("high", 1, first).package(tmp_path), "rung high")


@pytest.mark.parametrize("container", CONTAINERS)
def test_frames_at_wrong_times_are_refused(jobs: Jobs, tmp_path: Path, container: str) -> None:
    encoded = jobs.encode("vfr", container)
    made = encoded.package(tmp_path)
    chunk = encoded.plan.chunks[1]
    assert chunk.pts is not None
    moved = (*chunk.pts[:10], chunk.pts[10] + 900, *chunk.pts[11:])
    chunks = [*encoded.plan.chunks]
    chunks[1] = chunk.model_copy(update={"pts": moved})
    plan = encoded.plan.model_copy(update={"chunks": tuple(chunks)})
    refused(replace(made, plan=plan), rf"has its frame {chunk.first_frame + 10}, in chunk 1, 10\.00 ms too early")


@pytest.mark.parametrize("container", CONTAINERS)
def test_another_keyframe_grid_is_refused(jobs: Jobs, tmp_path: Path, container: str) -> None:
    encoded = jobs.encode("twenty_seconds", container)
    scale = encoded.plan.timing.timescale
    # Other keyframes, the same parameter sets.
    options = "-c:v libx264 -preset veryfast -crf 20 -maxrate 800k -bufsize 1600k -g 1000000 -sc_threshold 0 -forced-idr 1"
    options += " -flags:v +bitexact+cgop -x264-params fps=25/1:chromaloc=0 -threads 2 -fps_mode passthrough"
    every = ["-force_key_frames", "expr:eq(mod(n,40),0)", "-video_track_timescale", str(scale)]
    run("-i", encoded.parts["high"][1], *options.split(), *every, tmp_path / "x.mp4")
    spoilt = encoded.with_part("high", 1, tmp_path / "x.mp4")
    first = encoded.plan.chunks[1].first_frame
    refused(spoilt.package(tmp_path / "out"), f"another keyframe grid than planned: .* frame {first + 40}, in chunk 1")


def test_segments_that_start_elsewhere_are_refused(jobs: Jobs, tmp_path: Path) -> None:
    made = jobs.encode("twenty_seconds").with_plan(segment_seconds=4).package(tmp_path)
    refused(replace(made, plan=jobs.encode("twenty_seconds").plan), "rung low has 5 segments .* expected 4 at 0, 150, 300, 450")


# -- pictures


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("field", "value", "reason"), [("width", 130, "width is 128, expected 130"), ("height", 74, "height is 72, expected 74")]
)
def test_another_picture_size_is_refused(jobs: Jobs, field: str, value: int, reason: str, container: str) -> None:
    made = jobs.package("plain", container)
    rungs = tuple(rung.model_copy(update={field: value}) if rung.name == "high" else rung for rung in made.plan.rungs)
    refused(replace(made, plan=made.plan.model_copy(update={"rungs": rungs})), f"{reason}|RESOLUTION")


@pytest.mark.parametrize("container", CONTAINERS)
def test_wrong_colour_tags_are_refused(jobs: Jobs, container: str) -> None:
    made = jobs.package("bars_601", container)
    info = made.plan.info
    color = info.video.color.model_copy(update={"matrix": "bt709"})
    changed = info.model_copy(update={"video": info.video.model_copy(update={"color": color})})
    refused(replace(made, plan=made.plan.model_copy(update={"info": changed})), "color_space is smpte170m, expected bt709")


def test_a_display_matrix_is_refused(jobs: Jobs, tmp_path: Path) -> None:
    made = jobs.package("plain", "mp4").copy(tmp_path)
    data = made.entry.read_bytes()
    unity = bytes.fromhex("00010000" + "00000000" * 3 + "00010000" + "00000000" * 3 + "40000000")
    turned = bytes.fromhex("00000000" + "00010000" + "00000000" + "ffff0000" + "00000000" * 4 + "40000000")
    at = data.index(unity, data.index(b"tkhd"))
    made.entry.write_bytes(data[:at] + turned + data[at + len(unity) :])
    refused(made, "display matrix")


def test_an_index_behind_the_media_is_refused(jobs: Jobs, tmp_path: Path) -> None:
    made = jobs.package("plain", "mp4").copy(tmp_path)
    made.entry.unlink()
    run("-i", jobs.package("plain", "mp4").entry, "-map", "0", "-c", "copy", made.entry)
    refused(made, "not faststart")


# -- sound


def moved_audio(encoded: Encoded, *, start: Fraction = Fraction(0), duration: Fraction = Fraction(0)) -> Encoded:
    target = encoded.plan.audio[0]
    stream = target.stream.model_copy(
        update={"start_time": target.stream.start_time + start, "duration": target.stream.duration + duration}
    )
    return encoded.with_plan(audio=(target.model_copy(update={"stream": stream}), *encoded.plan.audio[1:]))


@pytest.mark.sampled("audio_late-10-late-mpegts", "audio_late--10-early-fmp4", "languages-10-late-mp4")
@pytest.mark.parametrize("container", CONTAINERS)
# In the clip of several languages, the first stream starts with the video: it cannot be early.
@pytest.mark.parametrize(
    ("name", "milliseconds", "word"), [("audio_late", 10, "late"), ("audio_late", -10, "early"), ("languages", 10, "late")]
)
def test_shifted_audio_is_refused(jobs: Jobs, tmp_path: Path, name: str, milliseconds: int, word: str, container: str) -> None:
    encoded = jobs.encode(name, container)
    made = moved_audio(encoded, start=Fraction(milliseconds, 1000)).package(tmp_path)
    refused(replace(made, plan=encoded.plan), rf"audio stream .* starts {abs(milliseconds)}\.\d ms too {word}")


@pytest.mark.sampled("options0-short-fmp4", "options1-long-mpegts")
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(("options", "word"), [(["-t", "9.5"], "short"), (["-af", "apad=pad_dur=0.5"], "long")])
def test_audio_of_another_length_is_refused(jobs: Jobs, tmp_path: Path, options: list[str], word: str, container: str) -> None:
    encoded = jobs.encode("plain", container)
    run("-i", encoded.audio[0], *options, "-c:a", "aac", "-b:a", "64k", tmp_path / "a.m4a")
    made = replace(encoded, audio=[tmp_path / "a.m4a"]).package(tmp_path / "out")
    refused(made, rf"audio stream .* is \d+ ms too {word}")


@pytest.mark.sampled("fmp4")
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_gap_in_the_audio_is_refused(jobs: Jobs, tmp_path: Path, container: str) -> None:
    encoded = jobs.encode("plain", container)
    run("-i", encoded.audio[0], "-c", "copy", "-bsf:a", "noise=drop='between(n,200,202)'", tmp_path / "a.m4a")
    made = replace(encoded, audio=[tmp_path / "a.m4a"]).package(tmp_path / "out")
    refused(made, "gap or an overlap at 4.")


@pytest.mark.sampled("mpegts")
@pytest.mark.parametrize("container", CONTAINERS)
def test_audio_with_other_channels_is_refused(jobs: Jobs, tmp_path: Path, container: str) -> None:
    encoded = jobs.encode("plain", container)
    run("-i", encoded.audio[0], "-ac", "2", "-c:a", "aac", tmp_path / "a.m4a")
    made = replace(encoded, audio=[tmp_path / "a.m4a"]).package(tmp_path / "out")
    refused(made, "audio channels is 2, expected 1")


def test_missing_audio_is_refused(jobs: Jobs, tmp_path: Path) -> None:
    encoded = jobs.encode("plain", "mp4")
    made = replace(encoded.with_plan(audio=()), audio=[]).package(tmp_path)
    refused(replace(made, plan=encoded.plan), "audio streams is 0, expected 1")


# -- damage


@pytest.mark.sampled(
    "0.3-mpegts-high/clip00001.ts", "0.8-fmp4-high/clip00001.m4s", "0.98-mp4-clip.mp4", "0.98-mpegts-high/clip00001.ts"
)
@pytest.mark.parametrize(
    ("container", "file"), [("mpegts", "high/clip00001.ts"), ("fmp4", "high/clip00001.m4s"), ("mp4", "clip.mp4")]
)
@pytest.mark.parametrize("share", [0.3, 0.8, 0.98])
def test_a_truncated_file_is_refused(jobs: Jobs, tmp_path: Path, container: str, file: str, share: float) -> None:
    made = jobs.package("twenty_seconds", container).copy(tmp_path)
    path = tmp_path / file
    os.truncate(path, int(path.stat().st_size * share))
    refused(made, "rung high|cut off")


@pytest.mark.sampled("mpegts")
@pytest.mark.parametrize("container", CONTAINERS)
def test_garbage_at_a_join_is_refused(jobs: Jobs, tmp_path: Path, container: str) -> None:
    encoded = jobs.encode("content", container)
    spoilt = tmp_path / "x.mp4"
    spoilt.write_bytes(encoded.parts["high"][-1].read_bytes())
    data = spoilt.read_bytes()
    garble(spoilt, (data.index(b"mdat") + 8000) / len(data), 4000)
    last = len(encoded.plan.chunks) - 1
    # Where the packets are rewritten for a transport stream, the garbage is noticed even then.
    with pytest.raises(VerificationFailed, match="rung high"):
        check(encoded.with_part("high", last, spoilt).package(tmp_path / "out"))


def test_garbage_in_the_middle_is_found_by_a_full_decode(jobs: Jobs, tmp_path: Path) -> None:
    made = jobs.package("long_gop").copy(tmp_path)
    segment = sorted((tmp_path / "high").glob("*.ts"))[1]
    packets = bytearray(segment.read_bytes())
    # Only the payload of video packets is hit, so that the stream stays whole but for its pictures.
    video = [at for at in range(0, len(packets), 188) if packets[at + 1] & 0x5F == 1 and packets[at + 3] & 0x30 == 0x10]
    for at in video[len(video) // 2 : len(video) // 2 + 4]:
        packets[at + 20 : at + 180] = bytes(range(160))
    segment.write_bytes(packets)
    with pytest.raises(VerificationFailed, match="rung high"):
        verify_package(made.plan, made.package, tmp_path, settings=Settings(verify_decode="full"))


# -- salvaged sources


def test_a_salvaged_package_may_lack_the_frames_that_its_chunks_lack(jobs: Jobs, tmp_path: Path) -> None:
    encoded = jobs.encode("twenty_seconds")
    frames = [chunk.frames for chunk in encoded.plan.chunks]
    frames[1] -= 3
    for rung in ("low", "high"):
        (tmp_path / rung).mkdir()
        scale = encoded.plan.timing.timescale
        path = tmp_path / rung / "short.mp4"
        drop = f"noise=drop='gte(pts,{frames[1]}*{scale}/25)'"
        run("-i", encoded.parts[rung][1], "-c", "copy", "-bsf:v", drop, "-video_track_timescale", str(scale), path)
        encoded = encoded.with_part(rung, 1, path)
    made = encoded.package(tmp_path / "out")
    with pytest.raises(VerificationFailed, match="chunk 1 lost its last 3 frames"):
        check(made)
    facts = verify_package(made.plan, made.package, made.folder, actual_frames=frames)
    assert facts["renditions"]["low"]["frames"] == 497
    with pytest.raises(VerificationFailed, match="has 497 frames, expected 500"):
        verify_package(made.plan, made.package, made.folder, actual_frames=[chunk.frames for chunk in encoded.plan.chunks])


# -- chunks


@pytest.mark.parametrize("name", ["plain", "vfr", "hdr_pq", "anamorphic", "rotated_90"])
def test_sound_chunks_pass(jobs: Jobs, name: str) -> None:
    encoded = jobs.encode(name)
    for number, task in enumerate(encoded.tasks):
        verify_chunk(task, {rung: files[number] for rung, files in encoded.parts.items()})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(["-vf", "scale=126:72"], "width is 126, expected 128", id="size"),
        pytest.param(["-vf", "setsar=4/3"], "not square", id="pixels"),
        pytest.param(["-pix_fmt", "yuv422p"], "pix_fmt is yuv422p", id="format"),
        pytest.param(["-colorspace", "bt470bg"], "color_space is bt470bg, expected", id="colour"),
        pytest.param(["-video_track_timescale", "50"], "time base is 1/50, expected 1/25", id="time-base"),
        pytest.param(["-c:v", "mpeg4"], "codec_name is mpeg4", id="codec"),
    ],
)
def test_a_chunk_that_cannot_be_joined_is_refused(jobs: Jobs, tmp_path: Path, options: list[str], reason: str) -> None:
    encoded = jobs.encode("plain")
    run("-i", encoded.parts["high"][0], "-c:v", "libx264", "-video_track_timescale", "25", *options, tmp_path / "x.mp4")
    files = {"low": encoded.parts["low"][0], "high": tmp_path / "x.mp4"}
    with pytest.raises(VerificationFailed, match=f"rung high, chunk 0.* {reason}|rung high, chunk 0.*{reason}"):
        verify_chunk(encoded.tasks[0], files)


# -- the timetable


def test_the_timetable_adds_exact_chunk_durations(jobs: Jobs) -> None:
    plan = jobs.encode("ntsc").plan
    table = Timetable(plan)
    assert table.pts == [1001 * frame for frame in range(300)]
    assert table.seconds == Fraction(300 * 1001, 30_000)
    assert table.last_lengths[-1] == Fraction(1001, 30_000)
    assert table.keyframes == (0, 60, 120, 180, 240)
    assert table.segment_starts == (0, 180)
    assert [table.chunk_of(frame) for frame in (0, 10_000)] == [0, plan.chunks[-1].index]


@pytest.mark.parametrize(
    ("pts", "starts"),
    [
        pytest.param([0, 20, 40, 60, 80, 120], (0, 3, 5), id="multiples"),
        pytest.param([0, 61, 119, 121], (0, 1, 3), id="the-first-at-or-after"),
        pytest.param([7, 67], (0, 1), id="from-the-first-frame"),
        pytest.param([0], (0,), id="one"),
        pytest.param([0, 200, 220], (0, 1, 2), id="a-frame-longer-than-a-segment"),
    ],
)
def test_segments_start_at_the_first_keyframe_after_each_multiple(pts: list[int], starts: tuple[int, ...]) -> None:
    assert segment_starts(pts, range(len(pts)), 60) == starts
