"""Transcoding tasks from file to files, with real media and a real S3 server."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import av
import pytest

from include.ffmpeg_ops.encodings import Encoding
from include.ffmpeg_ops.retiming import frames_at
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from tests.conftest import Clips
from tests.ffmpeg_ops.tasks import probe_json
from tests.media import read_frame_numbers
from tests.net.web import web
from tests.worker.file_tasks import FileTask, profile

SUFFIX = {"mp4": "mp4", "flv": "flv", "mpegts": "ts", "m3u8": "m3u8"}
CODEC = {"h264": "h264", "h265": "hevc", "mpeg2": "mpeg2video"}
# One of each container and of each format, video and audio; the others take longer.
SOME = [
    ("mp4", "h265", "ac3"),
    ("flv", "h264", "mp3"),
    ("mpegts", "mpeg2", "mp2"),
    ("m3u8", "h265", "aac"),
]
ALL = [
    *product(("mp4",), CODEC, ("aac", "mp3", "ac3")),
    *product(("flv",), ("h264",), ("aac", "mp3")),
    *product(("mpegts",), CODEC, ("aac", "mp3", "ac3", "mp2")),
    *product(("m3u8",), ("h264", "h265"), ("aac", "mp3", "ac3")),
]


@pytest.fixture
def task_of(clip: Clips, store: S3ObjectStore, bucket: str, settings: Settings) -> Any:
    """``task_of("short", "out.mp4", container="mp4", …)`` or with encodings in the place of fields."""

    def make(name: str, names: str | tuple[str, ...], *encodings: Encoding, **fields: Any) -> FileTask:
        path = clip(name)
        store.upload(path, bucket, f"src/{path.name}")
        wanted = (names,) if isinstance(names, str) else names
        return FileTask(store, settings, profile(*encodings, **fields), f"s3://{bucket}/src/{path.name}", wanted)

    return make


def check(files: dict[str, Path], container: str, format: str, sound: str, frames: int) -> None:
    out = files[f"out.{SUFFIX[container]}"]
    if container == "m3u8":
        # The only rendition: a file that decodes like a player's download.
        (playlist,) = [path for name, path in files.items() if name.endswith("/out.m3u8")]
        out = joined(playlist)
    with av.open(str(out)) as made:
        assert [stream.codec_context.name.removesuffix("float") for stream in made.streams.audio] == [sound]
        assert made.streams.video[0].codec_context.name == CODEC[format]
    assert read_frame_numbers(out) == list(range(frames))


def joined(playlist: Path) -> Path:
    """Join the segments as they are, behind their initialization where there is one."""
    lines = playlist.read_text().splitlines()
    start = [line.split('"')[1] for line in lines if line.startswith("#EXT-X-MAP")]
    whole = playlist.with_suffix(".joined")
    whole.write_bytes(b"".join((playlist.parent / name).read_bytes() for name in [*start, *(n for n in lines if n[:1] != "#")]))
    return whole


@pytest.mark.parametrize("case", SOME, ids="-".join)
def test_every_container_holds_every_frame_once_in_its_codecs(case: tuple[str, str, str], task_of: Any, tmp_path: Path) -> None:
    container, format, sound = case
    task = task_of("short", f"out.{SUFFIX[container]}", container=container, format=format, audio_format=sound)
    check(task.fetch(tmp_path), container, format, sound, 50)


@pytest.mark.long
@pytest.mark.parametrize("case", ALL, ids="-".join)
def test_every_combination_that_is_not_refused_works(case: tuple[str, str, str], task_of: Any, tmp_path: Path) -> None:
    container, format, sound = case
    task = task_of("plain", f"out.{SUFFIX[container]}", container=container, format=format, audio_format=sound)
    check(task.fetch(tmp_path), container, format, sound, 250)


def measured(path: Path, seconds: float) -> float:
    packets = probe_json(path, "-select_streams", "v", "-show_entries", "packet=size")["packets"]
    return sum(int(packet["size"]) for packet in packets) * 8 / seconds


def test_two_passes_reach_their_bitrate(task_of: Any, tmp_path: Path) -> None:
    task = task_of("content_long", "out.mp4", bitrate=400_000, rc_mode="2passvbr", audio_format="copy")
    results = task.all()
    assert [result.unit_id for result in results] == ["plan", "audio", "video-00000", "finish"]
    assert measured(task.published(tmp_path)["out.mp4"], 20) == pytest.approx(400_000, rel=0.05)


@pytest.mark.long
@pytest.mark.parametrize("rate_control", ["vbr", "2passvbr", "cbr"])
@pytest.mark.parametrize(("format", "bitrate"), [("h264", 400_000), ("h265", 300_000), ("mpeg2", 700_000)])
@pytest.mark.parametrize("container", ["mp4", "mpegts"])
def test_every_rate_control_reaches_its_bitrate(
    container: str, format: str, bitrate: int, rate_control: str, task_of: Any, tmp_path: Path
) -> None:
    fields = {"container": container, "format": format, "bitrate": bitrate, "rc_mode": rate_control}
    made = task_of("content_long", f"out.{SUFFIX[container]}", **fields).fetch(tmp_path)
    rate = measured(made[f"out.{SUFFIX[container]}"], 20)
    print(f"{container} {format} {rate_control}: {rate / bitrate - 1:+.2%}")
    assert rate == pytest.approx(bitrate, rel=0.05)


def test_a_constant_rate_of_a_still_picture_is_filled_up(task_of: Any, tmp_path: Path) -> None:
    task = task_of("plain", "out.ts", container="mpegts", bitrate=300_000, rc_mode="cbr", gop_size=12, b_frame_size=2)
    made = task.fetch(tmp_path)["out.ts"]
    assert measured(made, 10) == pytest.approx(300_000, rel=0.05)
    packets = probe_json(made, "-select_streams", "v", "-show_entries", "packet=flags")["packets"]
    assert [n for n, packet in enumerate(packets) if "K" in packet["flags"]] == list(range(0, 250, 12))


@pytest.mark.parametrize(
    ("name", "rate"), [("short", Fraction(30_000, 1001)), ("vfr", Fraction(24))], ids=["from 25 to 29.97", "from a varying one"]
)
def test_another_frame_rate_shows_at_each_time_what_the_source_shows(
    name: str, rate: Fraction, task_of: Any, clip: Clips, tmp_path: Path
) -> None:
    task = task_of(name, "out.mp4", framerate=rate)
    made = task.fetch(tmp_path)["out.mp4"]
    (video,) = probe_json(made, "-show_streams", "-select_streams", "v")["streams"]
    with av.open(str(clip(name))) as source:
        stream = source.streams.video[0]
        times = sorted(packet.pts * stream.time_base for packet in source.demux(stream) if packet.pts is not None)
    shown = read_frame_numbers(made)
    assert Fraction(video["avg_frame_rate"]) == rate
    assert len(shown) == frames_at(rate, task.job.read_plan().info.video.duration)
    half = 1 / rate / 2
    for number, frame in enumerate(shown):
        # The nearest: half a frame earlier it is there at the latest, half a frame later its successor is not yet due.
        assert times[frame] - times[0] <= number / rate + half
        assert frame + 1 == len(times) or times[frame + 1] - times[0] >= number / rate - half


@pytest.mark.parametrize(("name", "container"), [("mpegts", "mp4"), ("closed_gop_265", "m3u8"), ("rotated_90", "copy")])
def test_a_copy_holds_the_sources_own_packets(name: str, container: str, task_of: Any, clip: Clips, tmp_path: Path) -> None:
    target = "out.m3u8" if container == "m3u8" else "out.bin"
    made = task_of(name, target, container=container, format="copy", audio_format="copy").fetch(tmp_path)
    out = joined(made["copy/out.m3u8"]) if container == "m3u8" else made["out.bin"]
    assert read_frame_numbers(out) == read_frame_numbers(clip(name))
    if name == "rotated_90":
        assert [rotation(clip(name))] == [rotation(out)]


def rotation(path: Path) -> Any:
    (video,) = probe_json(path, "-show_streams", "-select_streams", "v")["streams"]
    return [data.get("rotation") for data in video.get("side_data_list", ())]


def test_a_copy_that_cannot_show_the_same_is_refused(task_of: Any) -> None:
    cases = {
        "rotated_90": "are to be turned",
        "edit_list": "has 250 frames, expected 235",
        "closed_gop_265": "does not hold hevc",
    }
    for name, reason in cases.items():
        error = task_of(name, "out.flv", container="flv", format="copy").error()
        assert (error["code"], reason in error["message"]) == ("OutputNotSupported", True), error


def test_both_sides_named_give_exactly_that_size_and_the_picture_stands_between_bars(task_of: Any, tmp_path: Path) -> None:
    made = task_of("short", "out.mp4", width=256, height=256).fetch(tmp_path)["out.mp4"]
    with av.open(str(made)) as container:
        luma = next(container.decode(video=0)).to_ndarray(format="gray").astype(int)
    assert luma.shape == (256, 256)
    assert max(luma[:54].max(), luma[-54:].max()) < 24
    # The last cell of the picture is white.
    assert luma[56:200].max() > 150


@pytest.mark.parametrize(
    ("fields", "size"), [({"width": 64}, (64, 36)), ({"height": 64}, (114, 64)), ({"width": 1280}, (128, 72)), ({}, (128, 72))]
)
def test_one_side_named_keeps_the_aspect_and_nothing_is_scaled_up(
    fields: dict[str, int], size: tuple[int, int], task_of: Any
) -> None:
    task = task_of("short", "out.mp4", **fields)
    task.plan()
    (rung,) = task.job.read_plan().rungs
    assert (rung.width, rung.height) == size


def test_a_ladder_goes_to_every_target_with_neighbours_kept_apart(task_of: Any, tmp_path: Path) -> None:
    rungs = [Encoding(container="m3u8", height=height, bitrate=100_000, preset="highPerformance") for height in (64, 72)]
    task = task_of("short", ("a/one.m3u8", "a/two.m3u8", "b/one.m3u8"), *rungs)
    files = task.fetch(tmp_path)
    folders = {"64p100k", "72p100k"}
    assert {name for name in files if name.endswith(".m3u8")} == {
        *("a/one.m3u8", "a/two.m3u8", "b/one.m3u8"),
        *(f"{folder}/{rung}/{name}.m3u8" for folder, name in (("a", "one"), ("a", "two"), ("b", "one")) for rung in folders),
    }
    assert files["a/64p100k/one00000.ts"].read_bytes() == files["b/64p100k/one00000.ts"].read_bytes()
    assert files["a/one.m3u8"].read_bytes() == files["b/one.m3u8"].read_bytes()
    result = task.job.read_result("finish")
    assert [output.ref.key for output in result.outputs[-3:]] == [f"{task.folder}{name}" for name in task.names]
    report = json.loads(task.store.get_bytes(task.settings.bucket, task.job.report_key))
    assert report["destination"] == [f"s3://{task.settings.bucket}/{task.folder}{name}" for name in task.names]
    assert len(report["renditions"]) == 2


def test_a_finished_task_is_not_done_again_and_leaves_no_work_files(task_of: Any, tmp_path: Path) -> None:
    task = task_of("short", ("one.mp4", "two.mp4"))
    first = task.fetch(tmp_path)
    assert first["one.mp4"].read_bytes() == first["two.mp4"].read_bytes()
    assert not list(task.store.list(task.settings.bucket, task.job.chunks_prefix))
    assert [result.reused for result in task.all()] == [True] * 4


def test_nothing_is_published_of_a_damaged_source(task_of: Any, tmp_path: Path) -> None:
    task = task_of("garbage", ("one.mp4", "two.mp4"))
    assert task.error()["code"] == "InvalidInputData"
    assert not task.published(tmp_path)


@pytest.mark.parametrize(
    ("source", "names", "code"),
    [
        ("s3://{bucket}/src/none.mp4", ("out.mp4",), "NotFound"),
        ("s3://other-bucket/a.mp4", ("out.mp4",), "NotFound"),
        ("rtmp://127.0.0.1/live/x", ("out.mp4",), "ParameterError"),
        ("s3://{bucket}/src/none.mp4", ("out.m3u8",), "ParameterError"),
    ],
)
def test_a_task_that_cannot_be_planned_says_why(
    source: str, names: tuple[str, ...], code: str, store: S3ObjectStore, bucket: str, settings: Settings
) -> None:
    task = FileTask(store, settings, profile(), source.format(bucket=bucket), names)
    error = task.error()
    assert error["code"] == code, error


def test_a_source_from_the_web_is_fetched_once_for_all_units(
    clip: Clips, store: S3ObjectStore, bucket: str, settings: Settings, tmp_path: Path
) -> None:
    film = clip("short").read_bytes()
    allowed = settings.model_copy(update={"allowed_networks": ("127.0.0.1/32",)})
    with web() as server:
        server.answers["/film.mp4"] = lambda exchange: exchange.reply(200, film, ETag='"one"')
        task = FileTask(store, allowed, profile(container="mpegts"), server.url("/film.mp4?token=secret"), ("out.ts",))
        plan = task.plan()
        assert plan.status == "done", plan.error
        fetched = len(server.requests)
        # To know whether the file is the same it is only looked at.
        assert task.run("plan").reused
        assert len(server.requests) == fetched + 1
        server.answers["/film.mp4"] = lambda exchange: exchange.reply(200, film, ETag='"two"')
        assert not task.run("plan").reused
    made = task.fetch_rest(tmp_path)
    assert read_frame_numbers(made["out.ts"]) == list(range(50))
    for ref in store.list(bucket, task.job.prefix):
        assert ref.key == task.job.request_key or b"secret" not in store.get_bytes(bucket, ref.key)


def test_a_web_address_in_a_forbidden_network_is_never_asked(store: S3ObjectStore, settings: Settings) -> None:
    with web() as server:
        error = FileTask(store, settings, profile(), server.url("/film.mp4")).error()
    assert error["code"] in {"InvalidInputData", "ParameterError"}
    assert not server.requests


@pytest.mark.long
@pytest.mark.parametrize("container", ["flv", "mpegts", "mp4"])
@pytest.mark.parametrize(
    "name",
    ["odd_both", "rotated_90", "vfr", "no_audio", "surround", "languages", "interlaced", "hdr_pq", "audio_late", "anamorphic",
     "one_frame", "mpegts", "mkv", "video_late", "edit_list"],
)  # fmt: skip
def test_difficult_sources_become_every_container(name: str, container: str, task_of: Any, clip: Clips, tmp_path: Path) -> None:
    sound = {"flv": "mp3", "mpegts": "ac3", "mp4": "aac"}[container]
    made = task_of(name, "out.bin", container=container, audio_format=sound).fetch(tmp_path)["out.bin"]
    assert len(read_frame_numbers(made)) == clip.frames(name)
