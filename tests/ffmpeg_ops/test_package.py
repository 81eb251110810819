from __future__ import annotations

import math
import subprocess
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import m3u8
import pytest

from include.errors import ParameterError, VerificationFailed
from include.ffmpeg_ops import boxes
from include.ffmpeg_ops.package import audio_groups, is_muxed
from tests.ffmpeg_ops.jobs import CONTAINERS, Jobs, Packaged
from tests.ffmpeg_ops.tasks import probe_json
from tests.media import ffmpeg, read_frame_numbers

CLIPS = [
    "ntsc",
    "film",
    "vfr",
    "audio_late",
    "video_late",
    "no_audio",
    "languages",
    "open_gop_264",
    "mkv",
    "one_frame",
    "two_frames",
]


def videos(made: Packaged) -> list[Path]:
    if made.plan.container == "mp4":
        return [made.entry]
    return [made.folder / rung.name / made.package.entry for rung in made.plan.rungs]


def starts(path: Path, kind: str) -> Fraction:
    """Time of the first packet's presentation, in seconds."""
    entries = probe_json(path, "-select_streams", kind, "-show_entries", "stream=time_base:packet=pts")
    return min(packet["pts"] for packet in entries["packets"]) * Fraction(entries["streams"][0]["time_base"])


def samples(path: Path, *, stream: int = 0, rate: int = 48_000) -> array[float]:
    argv = [ffmpeg(), "-nostdin", "-v", "error", "-i", str(path), "-map", f"0:a:{stream}", "-ac", "1", "-ar", str(rate)]
    data = subprocess.run([*argv, "-f", "f32le", "-"], check=True, capture_output=True, timeout=60).stdout
    return array("f", data)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.sampled("vfr-mpegts", "vfr-mp4", "audio_late-fmp4", "languages-mpegts", "one_frame-fmp4")
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", CLIPS)
def test_every_rung_shows_every_frame_exactly_once(jobs: Jobs, name: str, container: str) -> None:
    made = jobs.package(name, container)
    assert len(made.plan.chunks) > 1 or made.plan.info.video.frames < 120
    for path in videos(made):
        assert read_frame_numbers(path) == list(range(made.plan.info.video.frames))


@pytest.mark.parametrize("container", CONTAINERS[:2])
def test_ffmpeg_plays_the_master_playlist(jobs: Jobs, container: str) -> None:
    made = jobs.package("languages", container)
    streams = probe_json(made.entry, "-show_streams")["streams"]
    assert sum(stream["codec_type"] == "video" for stream in streams) == 2
    assert sum(stream["codec_type"] == "audio" for stream in streams) == 2
    assert read_frame_numbers(made.entry) == list(range(50))


# Names are written in the same way for both containers; fragmented MP4 has one file more.
@pytest.mark.sampled("mpegts")
@pytest.mark.parametrize(
    ("name", "container"),
    [
        *(
            (name, "fmp4")
            for name in ("two words", "a#b", "100%", "a+b", "中文🎬", "-dash", "a?b=c&d", "it's", '"', "%20", "a:b")
        ),
        *((name, "mpegts") for name in ("a?b=c&d", "中文🎬", "a:b")),
    ],
)
def test_a_package_of_any_name_plays_over_http(jobs: Jobs, tmp_path: Path, name: str, container: str) -> None:
    jobs.encode("short", container).package(tmp_path, name)
    with served(tmp_path) as url:
        for path in [f"{name}.m3u8", f"low/{name}.m3u8"]:
            assert read_frame_numbers(f"{url}/{quote(path)}") == list(range(50))


@pytest.mark.sampled("fmp4")
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_package_lists_its_files_and_leaves_nothing_else(jobs: Jobs, container: str) -> None:
    made = jobs.package("twenty_seconds", container)
    there = sorted(str(path.relative_to(made.folder)) for path in made.folder.rglob("*") if path.is_file())
    assert sorted(made.package.files) == there
    assert made.package.files[-1] == made.package.entry == ("clip.mp4" if container == "mp4" else "clip.m3u8")
    assert not list(made.folder.glob(".*"))


@pytest.mark.parametrize(("container", "suffix", "start"), [("mpegts", "ts", None), ("fmp4", "m4s", "clip_init.mp4")])
def test_segments_are_six_seconds_and_named_by_the_contract(jobs: Jobs, container: str, suffix: str, start: str | None) -> None:
    made = jobs.package("twenty_seconds", container)
    for rung in ("low", "high"):
        media = m3u8.loads((made.folder / rung / "clip.m3u8").read_text())
        assert [segment.uri for segment in media.segments] == [f"clip{number:05d}.{suffix}" for number in range(4)]
        assert [segment.duration for segment in media.segments] == [6, 6, 6, 2]
        assert (media.target_duration, media.playlist_type, media.is_endlist) == (6, "vod", True)
        assert media.is_independent_segments
        assert {segment.init_section.uri if segment.init_section else None for segment in media.segments} == {start}


def test_the_master_playlist_tells_sizes_and_codecs_in_ladder_order(jobs: Jobs) -> None:
    made = jobs.package("ntsc")
    master = m3u8.loads(made.entry.read_text())
    assert [item.uri for item in master.playlists] == ["low/clip.m3u8", "high/clip.m3u8"]
    assert [item.stream_info.resolution for item in master.playlists] == [(64, 36), (128, 72)]
    assert [item.stream_info.codecs for item in master.playlists] == ["avc1.4D400C,mp4a.40.2", "avc1.64000D,mp4a.40.2"]
    assert [item.stream_info.frame_rate for item in master.playlists] == [29.97, 29.97]
    for item in master.playlists:
        folder = made.folder / item.uri.split("/")[0]
        size = sum(path.stat().st_size for path in folder.glob("*.ts"))
        assert item.stream_info.average_bandwidth == math.ceil(size * 8 / float(Fraction(300 * 1001, 30_000)))
        assert item.stream_info.bandwidth >= item.stream_info.average_bandwidth


@pytest.mark.sampled("plain-0-mp4", "audio_late-0.48-mpegts", "audio_late-0.48-mp4", "video_late--0.5-fmp4", "vp9--0.007-mpegts")
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("name", "about"), [("plain", 0), ("audio_late", 0.48), ("video_late", -0.5), ("vp9", -0.007), ("mpegts", 0)]
)
def test_audio_keeps_its_place_beside_the_video(jobs: Jobs, name: str, about: float, container: str) -> None:
    made = jobs.package(name, container)
    late = made.plan.info.audio[0].start_time - made.plan.info.video.start_time
    assert abs(late - Fraction(about)) < Fraction(3, 100)
    for path in videos(made):
        # The first packet holds the encoder's priming, which is not heard.
        heard = starts(path, "a") + Fraction(1024, 48_000)
        assert abs(heard - starts(path, "v") - late) < Fraction(1, 10_000)


@pytest.mark.parametrize("name", ["audio_late", "video_late", "plain"])
def test_the_first_stream_of_an_mp4_starts_at_zero(jobs: Jobs, name: str) -> None:
    entry = jobs.package(name, "mp4").entry
    assert min(starts(entry, "v"), starts(entry, "a") + Fraction(1024, 48_000)) == 0


@pytest.mark.parametrize("container", CONTAINERS[:2])
def test_streams_of_several_languages_share_the_videos_clock(jobs: Jobs, container: str) -> None:
    made = jobs.package("languages", container)
    assert [group.folder for group in audio_groups(made.plan)] == ["audio_eng", "audio_deu"]
    for group in audio_groups(made.plan):
        # Read as bytes: ffmpeg's HLS reader gives the first packets of sound alone wrong times.
        whole = b"".join(
            (made.folder / file).read_bytes()
            for file in made.package.files
            if file.startswith(f"{group.folder}/") and not file.endswith("m3u8")
        )
        path = made.folder.parent / f"{container}-{group.folder}"
        path.write_bytes(whole)
        heard = starts(path, "a") + Fraction(1024, 48_000)
        assert abs(heard - starts(made.folder / "low" / "clip.m3u8", "v")) < Fraction(1, 1000)
    media = m3u8.loads(made.entry.read_text()).media
    assert [(item.language, item.default, item.channels) for item in media] == [("en", "NO", "1"), ("de", "YES", "2")]


def test_two_streams_of_one_language_get_folders_of_their_own(jobs: Jobs) -> None:
    plan = jobs.encode("languages").plan
    targets = [
        target.model_copy(update={"stream": target.stream.model_copy(update={"language": language})})
        for language in ("eng", "eng", None)
        for target in plan.audio[:1]
    ]
    groups = audio_groups(plan.model_copy(update={"audio": tuple(targets)}))
    assert [group.folder for group in groups] == ["audio_eng", "audio_eng_2", "audio_und"]


@pytest.mark.parametrize(
    ("start", "duration", "muxed"),
    [(0, 10, True), (-0.5, 10.5, True), (5, 5, True), (-2, 12, False), (0, 17, False), (0, 3, True)],
)
def test_audio_much_longer_than_the_video_gets_a_playlist_of_its_own(
    jobs: Jobs, start: float, duration: float, muxed: bool
) -> None:
    plan = jobs.encode("plain").plan
    stream = plan.audio[0].stream.model_copy(update={"start_time": Fraction(start), "duration": Fraction(duration)})
    changed = plan.model_copy(update={"audio": (plan.audio[0].model_copy(update={"stream": stream}),)})
    assert is_muxed(changed) is muxed
    assert len(audio_groups(changed)) == (0 if muxed else 1)


@pytest.mark.sampled("mpegts")
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_sine_over_many_joins_has_no_discontinuity(jobs: Jobs, tmp_path: Path, container: str) -> None:
    made = jobs.encode("twenty_seconds", container, chunk_seconds=1).package(tmp_path)
    assert len(made.plan.chunks) >= 8
    wave = samples(videos(made)[-1])
    # Sound in a transport stream starts with the encoder's priming, and ends with a padded frame.
    assert 0 <= len(wave) - 20 * 48_000 <= 2 * 1024
    # A sine obeys x[n+1] = 2 cos(w) x[n] - x[n-1]; a gap, a doubled frame or a jump of its phase does not.
    turn = 2 * math.cos(2 * math.pi * 440 / 48_000)
    inner = range(4096, 20 * 48_000 - 4096)
    worst = max(abs(wave[n + 1] - turn * wave[n] + wave[n - 1]) for n in inner)
    loudest = max(wave[n] for n in inner)
    assert worst < 0.02 * loudest


def test_an_mp4_is_faststart_and_says_what_its_streams_are(jobs: Jobs) -> None:
    made = jobs.package("languages", "mp4")
    kinds = [kind for kind, _, _ in boxes.walk(made.entry)]
    assert kinds.index("moov") < kinds.index("mdat")
    video, *audio = probe_json(made.entry, "-show_streams")["streams"]
    assert [stream["tags"]["language"] for stream in audio] == ["eng", "deu"]
    assert [stream["disposition"]["default"] for stream in audio] == [0, 1]
    assert video["tags"]["handler_name"] == "VideoHandler"
    assert {stream["tags"]["handler_name"] for stream in audio} == {"SoundHandler"}
    color = [video[key] for key in ("color_range", "color_space", "color_primaries", "color_transfer")]
    assert color == ["tv", "smpte170m", "smpte170m", "smpte170m"]
    assert not any("matrix" in str(data).lower() for data in video.get("side_data_list", []))


def test_a_title_of_an_audio_stream_is_kept(jobs: Jobs, tmp_path: Path) -> None:
    encoded = jobs.encode("plain", "mp4")
    target = encoded.plan.audio[0]
    stream = target.stream.model_copy(update={"title": 'It\'s -map 0 & "more"', "language": "fra"})
    made = encoded.with_plan(audio=(target.model_copy(update={"stream": stream}),)).package(tmp_path)
    assert probe_json(made.entry, "-show_streams", "-select_streams", "a")["streams"][0]["tags"]["language"] == "fra"
    # Not every ffprobe reads a track's name.
    assert b"name" + str(stream.title).encode() in made.entry.read_bytes()


@pytest.mark.parametrize("container", CONTAINERS)
def test_chunks_with_other_parameter_sets_are_refused(jobs: Jobs, tmp_path: Path, container: str) -> None:
    encoded = jobs.encode("plain", container)
    # Another rung's chunk has another size, and so another SPS.
    spoilt = encoded.with_part("high", 1, encoded.parts["low"][1])
    with pytest.raises(VerificationFailed, match=r"rung high: chunk 1 has other H\.264 parameter sets"):
        spoilt.package(tmp_path)


def test_missing_chunks_and_missing_audio_are_refused(jobs: Jobs, tmp_path: Path) -> None:
    encoded = jobs.encode("plain")
    encoded = encoded.with_plan(chunks=encoded.plan.chunks[:1])
    with pytest.raises(VerificationFailed, match=r"rung low has \d chunk files, expected 1"):
        encoded.package(tmp_path)
    encoded = jobs.encode("plain")
    with pytest.raises(VerificationFailed, match="1 audio files, expected 0"):
        encoded.with_plan(audio=()).package(tmp_path)


@pytest.mark.parametrize("name", ["", "a/b", "a\0b", "中" * 81])
def test_names_that_no_file_can_have_are_refused(jobs: Jobs, tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="1 to 240 bytes"):
        jobs.encode("plain").package(tmp_path, name)


def test_folders_with_quotes_and_spaces_are_no_obstacle(jobs: Jobs, tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    for container in CONTAINERS:
        made = jobs.encode("short", container).package(folder / container)
        assert read_frame_numbers(videos(made)[-1]) == list(range(50))
