"""Live tasks between real servers: pictures are numbered, and counted at both ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import m3u8
import pytest

from include.errors import InvalidInputData
from include.ffmpeg_ops.encodings import Encoding
from include.ffmpeg_ops.tools import has_protocol
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from tests.conftest import Clips
from tests.media import read_frame_numbers
from tests.rtmp import RtmpServer, rtmp_server
from tests.servers import free_port
from tests.worker.live import COPY, ENCODING, LiveTask, await_that, publisher, recorder, settings_for_live

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tools: tuple[str, str], tmp_path: Path) -> Iterator[RtmpServer]:
    with rtmp_server(tmp_path / "nginx") as running:
        yield running


@pytest.fixture
def other_server(tools: tuple[str, str], tmp_path: Path) -> Iterator[RtmpServer]:
    with rtmp_server(tmp_path / "other") as running:
        yield running


@pytest.fixture
def make(store: S3ObjectStore, settings: Settings) -> Callable[..., LiveTask]:
    def make(source: str, *targets: str, encoding: Encoding = ENCODING, **changes: object) -> LiveTask:
        return LiveTask(store, settings_for_live(settings, **changes), source, targets, (encoding,))

    return make


def recorded(task: LiveTask, key: str, folder: Path) -> Path:
    """A local copy of a recording: a playlist with its segments, or a file."""
    bucket, folder_of_key = task.settings.bucket, key.rpartition("/")[0]
    for ref in task.store.list(bucket, f"{folder_of_key}/"):
        task.store.download(ref, folder / ref.key)
    return folder / key


def playlist(task: LiveTask, key: str) -> m3u8.M3U8:
    return m3u8.loads(task.store.get_bytes(task.settings.bucket, key).decode())


def consecutive(numbers: list[int], last: int) -> bool:
    """Whether every picture from the first one on is there once."""
    return numbers == list(range(numbers[0], last + 1))


# -- one in, several out


def one_in_two_out(task: LiveTask, server: RtmpServer, seconds: int, tmp_path: Path) -> None:
    frames, bucket = 25 * seconds, task.settings.bucket
    task.targets = (*task.targets, f"s3://{bucket}/{task.folder}/x.m3u8", f"s3://{bucket}/{task.folder}/x.mp4")
    with publisher(server.url("live", "in"), frames), task.running():
        await_that("a segment appears", lambda: task.store.head(bucket, f"{task.folder}/x.m3u8"), timeout=30)
        assert not playlist(task, f"{task.folder}/x.m3u8").is_endlist
        result = task.ended(seconds + 40)
    assert result.status == "done", result.error
    assert playlist(task, f"{task.folder}/x.m3u8").is_endlist
    copies = [server.recordings("a")[0], server.recordings("b")[0]]
    copies += [recorded(task, f"{task.folder}/{name}", tmp_path) for name in ("x.m3u8", "x.mp4")]
    shown = [read_frame_numbers(path) for path in copies]
    assert consecutive(shown[0], frames - 1), shown[0]
    assert shown[0][0] <= 75, "the unit was there in time"
    assert shown[1:] == [shown[0]] * 3
    told = result.metrics["targets"]
    assert [(one["frames"], one["dropped"], one["reconnects"], one["state"]) for one in told] == [
        (len(shown[0]), 0, 0, "done")
    ] * 4
    assert [output.name for output in result.outputs] == ["target-2", "target-3"]


def test_every_picture_comes_once_to_two_servers_and_into_two_recordings(
    make: Callable[..., LiveTask], server: RtmpServer, tmp_path: Path
) -> None:
    task = make(server.url("live", "in"), server.url("kept", "a"), server.url("kept", "b"))
    one_in_two_out(task, server, 10, tmp_path)
    events = [event for event in task.events if "source" in event]
    assert {event["source"] for event in events} == {"connected", "reconnecting"}
    best = max(events, key=lambda event: event["done"])
    assert best["unit"] == "seconds"
    assert best["targets"][0]["url"] == f"rtmp://127.0.0.1:{server.port}/kept/***"
    assert max(event["targets"][0]["bit_rate"] for event in events) > 50_000


@pytest.mark.long
def test_so_it_is_for_a_minute(make: Callable[..., LiveTask], server: RtmpServer, tmp_path: Path) -> None:
    task = make(server.url("live", "in"), server.url("kept", "a"), server.url("kept", "b"))
    one_in_two_out(task, server, 60, tmp_path)


def over_srt(make: Callable[..., LiveTask], seconds: int, tmp_path: Path) -> None:
    ports = [free_port(socket.SOCK_DGRAM) for _ in range(3)]
    frames, paths = 25 * seconds, [tmp_path / "a.ts", tmp_path / "b.ts"]
    source = f"srt://127.0.0.1:{ports[0]}"
    targets = [f"srt://127.0.0.1:{port}?streamid=secret-{port}" for port in ports[1:]]
    task = make(source, *targets)
    listening = [f"srt://127.0.0.1:{port}?mode=listener" for port in ports]
    with (
        recorder(listening[1], paths[0]) as first,
        recorder(listening[2], paths[1]) as second,
        publisher(listening[0], frames, muxer="mpegts", options=("-muxdelay", "0", "-linger", "5")),
        task.running(),
    ):
        result = task.ended(seconds + 40)
        for peer in (first, second):
            peer.wait(15)
    assert result.status == "done", result.error
    shown = [read_frame_numbers(path) for path in paths]
    assert consecutive(shown[0], frames - 1), shown[0]
    assert shown[0][0] <= 75, "the unit was there in time"
    assert shown[1] == shown[0]
    assert [one["frames"] for one in result.metrics["targets"]] == [len(shown[0])] * 2


@pytest.fixture
def srt(tools: tuple[str, str], settings: Settings) -> None:
    if not has_protocol("srt", "input", settings):
        pytest.skip("this ffmpeg does not speak SRT")


@pytest.mark.usefixtures("srt")
def test_over_srt_too(make: Callable[..., LiveTask], tmp_path: Path) -> None:
    over_srt(make, 7, tmp_path)


@pytest.mark.long
@pytest.mark.usefixtures("srt")
def test_over_srt_for_a_minute(make: Callable[..., LiveTask], tmp_path: Path) -> None:
    over_srt(make, 60, tmp_path)


def test_a_file_is_sent_at_its_own_speed_every_picture_once(
    make: Callable[..., LiveTask], server: RtmpServer, clip: Clips, bucket: str, store: S3ObjectStore
) -> None:
    store.upload(clip("plain"), bucket, "src/plain.mp4")
    task = make(f"s3://{bucket}/src/plain.mp4", server.url("kept", "a"), encoding=COPY)
    began = time.monotonic()
    result = task.run()
    assert result.status == "done", result.error
    assert time.monotonic() - began > 9
    assert read_frame_numbers(server.recordings("a")[0]) == list(range(clip.frames("plain")))


# -- what breaks off


@pytest.mark.long
def test_a_source_that_is_back_after_a_while_goes_on(
    make: Callable[..., LiveTask], server: RtmpServer, other_server: RtmpServer, tmp_path: Path
) -> None:
    task = make(server.url("live", "in"), other_server.url("kept", "a"), live_reconnect_seconds=6)
    key = f"{task.folder}/x.m3u8"
    task.targets += (f"s3://{task.settings.bucket}/{key}",)
    with task.running():
        with publisher(server.url("live", "in"), 500):
            await_that("pictures come", lambda: task.status(0).get("frames", 0) > 75)
            server.stop()
        await_that("it is missed", lambda: task.events[-1]["source"] == "reconnecting")
        time.sleep(2)
        server.start()
        with publisher(server.url("live", "in"), 100) as second:
            second.wait(20)
        result = task.ended(40)
    assert result.status == "done", result.error
    (copy,) = other_server.recordings("a")
    shown = read_frame_numbers(copy)
    again = next(n for n in range(1, len(shown)) if shown[n] < shown[n - 1])
    assert consecutive(shown[:again], shown[again - 1])
    assert consecutive(shown[again:], 99)
    assert read_frame_numbers(recorded(task, key, tmp_path)) == shown
    assert [segment.discontinuity for segment in playlist(task, key).segments].count(True) == 1
    assert [one["reconnects"] for one in result.metrics["targets"]] == [0, 0], "targets do not notice"


def test_a_target_that_dies_holds_up_no_other_and_fails_the_task_at_its_end(
    make: Callable[..., LiveTask], server: RtmpServer, other_server: RtmpServer
) -> None:
    task = make(server.url("live", "in"), server.url("kept", "good"), other_server.url("kept", "dying-key"))
    with publisher(server.url("live", "in"), 250), task.running():
        await_that("pictures come", lambda: task.status(1).get("frames", 0) > 50)
        other_server.stop()
        await_that("it is tried again", lambda: task.status(1)["state"] == "retrying")
        await_that("it is given up", lambda: task.status(1)["state"] == "failed")
        assert task.status(0)["state"] == "sending"
        result = task.ended(40)
    assert result.error is not None
    assert result.error["code"] == "TargetFailed"
    assert f"rtmp://127.0.0.1:{other_server.port}/kept/***" in result.error["message"]
    assert "dying-key" not in result.model_dump_json()
    assert [one["state"] for one in result.metrics["targets"]] == ["done", "failed"]
    assert consecutive(read_frame_numbers(server.recordings("good")[0]), 249)


@pytest.mark.long
def test_a_target_that_is_back_goes_on_with_a_keyframe(
    make: Callable[..., LiveTask], server: RtmpServer, other_server: RtmpServer
) -> None:
    task = make(server.url("live", "in"), other_server.url("kept", "a"), live_reconnect_seconds=6)
    with publisher(server.url("live", "in"), 250), task.running():
        await_that("pictures come", lambda: task.status(0).get("frames", 0) > 50)
        other_server.stop()
        await_that("it is tried again", lambda: task.status(0)["state"] == "retrying")
        other_server.start()
        result = task.ended(40)
    assert result.status == "done", result.error
    first, last = other_server.recordings("a")[0], other_server.recordings("a")[-1]
    assert first != last
    assert consecutive(read_frame_numbers(last), 249)
    (told,) = result.metrics["targets"]
    assert told["reconnects"] >= 1
    assert told["frames"] + told["dropped"] == result.metrics["frames"]


def test_a_target_that_hangs_up_on_a_stream_that_has_fallen_silent_has_not_failed(
    make: Callable[..., LiveTask], server: RtmpServer, other_server: RtmpServer
) -> None:
    """Many servers do so sooner than it is known that the source does not come back."""
    task = make(server.url("live", "in"), other_server.url("kept", "a"), live_reconnect_seconds=4)
    with task.running():
        with publisher(server.url("live", "in"), 100) as source:
            source.wait(20)
        await_that("it is missed", lambda: task.events[-1]["source"] == "reconnecting")
        other_server.stop()
        result = task.ended(40)
    assert result.status == "done", result.error
    (told,) = result.metrics["targets"]
    assert (told["state"], told["reconnects"]) == ("done", 0)
    assert told["frames"] >= result.metrics["frames"] - 1


def test_a_task_without_a_target_left_ends_at_once(make: Callable[..., LiveTask], server: RtmpServer) -> None:
    task = make(server.url("live", "in"), f"rtmp://127.0.0.1:{free_port()}/kept/a", live_reconnect_seconds=1)
    with publisher(server.url("live", "in"), 1000), task.running():
        assert task.ended(20).error["code"] == "TargetFailed"


def test_a_source_that_never_comes_is_invalid_input(make: Callable[..., LiveTask], server: RtmpServer) -> None:
    result = make(f"rtmp://127.0.0.1:{free_port()}/live/key", server.url("kept", "a"), live_reconnect_seconds=1).run()
    assert result.error is not None
    assert result.error["code"] == InvalidInputData.code
    assert "within 1 seconds" in result.error["message"]
    assert "live/key" not in result.error["message"]


# -- ends


def test_a_client_that_stops_it_gets_what_was_recorded(make: Callable[..., LiveTask], server: RtmpServer, tmp_path: Path) -> None:
    task = make(server.url("live", "in"), server.url("kept", "a"))
    bucket = task.settings.bucket
    task.targets += (f"s3://{bucket}/{task.folder}/x.m3u8", f"s3://{bucket}/{task.folder}/x.mp4")
    with publisher(server.url("live", "in"), 1000), task.running():
        await_that("pictures come", lambda: task.status(0).get("frames", 0) > 50)
        task.store.put_bytes(bucket, task.job.cancelled_key, b"{}")
        result = task.ended(20)
    assert result.error is not None
    assert result.error["code"] == "Cancelled"
    shown = [read_frame_numbers(recorded(task, f"{task.folder}/{name}", tmp_path)) for name in ("x.m3u8", "x.mp4")]
    assert shown[0] == shown[1] == read_frame_numbers(server.recordings("a")[0])
    assert consecutive(shown[0], shown[0][-1])
    assert len(shown[0]) == result.metrics["frames"] > 50
    assert playlist(task, f"{task.folder}/x.m3u8").is_endlist


def test_the_deadline_counts_from_the_first_attempt(make: Callable[..., LiveTask], server: RtmpServer) -> None:
    task = make(server.url("live", "in"), server.url("kept", "a"), live_seconds=4)
    with publisher(server.url("live", "in"), 1000), task.running():
        assert task.ended(20).error["code"] == "TimeOut"
    began = time.monotonic()
    assert task.run().error["code"] in {"TimeOut", "Cancelled"}
    assert time.monotonic() - began < 3


def begin(task: LiveTask, *options: str) -> subprocess.Popen[bytes]:
    """Run the unit in a process of its own."""
    names = ("live_reconnect_seconds", "stall_seconds", "bucket", "cache_dir")
    settings = {f"MEDIA_{name.upper()}": str(getattr(task.settings, name)) for name in names}
    environment = os.environ | settings | {"MEDIA_ALLOWED_NETWORKS": "127.0.0.0/8", "PYTHONPATH": str(ROOT)}
    task.write()
    command = [sys.executable, "-m", "include.worker", "run", task.job.unit_uri("live"), *options]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)


def test_a_unit_whose_parent_is_gone_closes_its_recording(make: Callable[..., LiveTask], server: RtmpServer) -> None:
    task = make(server.url("live", "in"))
    key = f"{task.folder}/x.m3u8"
    task.targets = (f"s3://{task.settings.bucket}/{key}",)
    with publisher(server.url("live", "in"), 1000), begin(task, "--watch-stdin") as unit:
        await_that("a segment is stored", lambda: task.store.head(task.settings.bucket, key), timeout=30)
        assert unit.stdin is not None
        assert unit.stdout is not None
        unit.stdout.close()
        unit.stdin.close()
        unit.wait(15)
    assert playlist(task, key).is_endlist
    result = task.job.read_result("live")
    assert result is not None
    assert result.error is not None
    assert result.error["code"] == "Cancelled"


@pytest.mark.long
def test_another_attempt_goes_on_where_a_killed_one_ended(
    make: Callable[..., LiveTask], server: RtmpServer, tmp_path: Path
) -> None:
    task = make(server.url("live", "in"), server.url("kept", "a"))
    task.targets += (f"s3://{task.settings.bucket}/{task.folder}/x.m3u8",)
    with publisher(server.url("live", "in"), 450):
        with begin(task) as killed:
            await_that("a segment is stored", lambda: task.store.head(task.settings.bucket, f"{task.folder}/x.m3u8"), timeout=30)
            killed.send_signal(signal.SIGKILL)
        result = task.run()
    assert result.status == "done", result.error
    segments = playlist(task, f"{task.folder}/x.m3u8").segments
    assert [segment.uri for segment in segments] == [f"x-{n:05d}.ts" for n in range(len(segments))]
    assert [segment.discontinuity for segment in segments][:2] == [False, True]
    shown = read_frame_numbers(recorded(task, f"{task.folder}/x.m3u8", tmp_path))
    assert shown == sorted(set(shown)), "both lives, in order, nothing twice"
    assert shown[-1] == 449
    assert len(server.recordings("a")) == 2
    assert read_frame_numbers(server.recordings("a")[1])[-1] == 449


def test_what_cannot_go_together_is_refused(make: Callable[..., LiveTask], server: RtmpServer) -> None:
    hevc = ENCODING.model_copy(update={"format": "h265"})
    result = make(server.url("live", "in"), server.url("kept", "a"), encoding=hevc).run()
    assert result.error is not None
    assert result.error["code"] == "ParameterError"
    assert "hevc" in result.error["message"]
