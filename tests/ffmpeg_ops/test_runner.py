from __future__ import annotations

import gc
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from include.errors import (
    Cancelled,
    InputNotSupported,
    InternalError,
    InvalidInputData,
    MediaError,
    OutputNotSupported,
    TimedOut,
)
from include.ffmpeg_ops import log, process, runner
from include.ffmpeg_ops.log import LogLine
from include.ffmpeg_ops.runner import Command, Progress
from include.ffmpeg_ops.tools import has_decoder, has_filter
from include.settings import Settings
from tests.conftest import Clips
from tests.processes import watch_children

ENDLESS = ("ffmpeg", "-re", "-f", "lavfi", "-i", "testsrc2=s=64x36:r=25", "-f", "null", "/dev/null")


def read(path: Path, *options: str) -> Command:
    return Command(("ffmpeg", *runner.input_options(), "-i", f"file:{path}", *options))


@pytest.fixture
def no_children() -> Iterator[None]:
    started = watch_children()
    yield
    assert not started()


def program(tmp_path: Path, script: str) -> Settings:
    """Settings whose ffmpeg is a shell script."""
    path = tmp_path / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Settings(ffmpeg=str(path))


# -- a run that goes well


def test_progress_frames_and_times_are_reported(clip: Clips) -> None:
    seen: list[Progress] = []
    done = runner.run(read(clip("plain"), "-map", "0:v", "-f", "null", "/dev/null"), on_progress=seen.append)
    assert done.frames == 250
    assert seen[-1].frames == 250
    assert 9.9 < seen[-1].out_time <= 10
    assert [progress.frames for progress in seen] == sorted(progress.frames for progress in seen)
    assert done.cpu_seconds > 0
    assert done.wall_seconds > 0
    assert done.damage == ()


def test_a_command_that_writes_to_standard_output_keeps_it_to_itself(clip: Clips) -> None:
    done = runner.run(read(clip("short"), "-map", "0:v", "-c", "copy", "-f", "framecrc", "-"))
    assert len([line for line in done.stdout.splitlines() if not line.startswith("#")]) == 50
    assert "progress=" not in done.stdout


def test_ffprobe_answers_on_standard_output(clip: Clips) -> None:
    argv = ("ffprobe", *runner.input_options(), "-show_entries", "stream=codec_name", "-of", "csv=p=0", f"file:{clip('short')}")
    assert runner.run(Command(argv)).stdout.split()[:2] == ["h264", "aac"]


def test_much_output_on_both_channels_does_not_block(tmp_path: Path) -> None:
    settings = program(
        tmp_path, "i=0; while [ $i -lt 20000 ]; do echo frame=$i; echo '[h264 @ 0x1] [warning] w' >&2; i=$((i+1)); done"
    )
    done = runner.run(Command(("ffmpeg", "-i", "x", "out.mp4")), settings=settings, timeout=60)
    assert len(done.log) == 4000


def test_nothing_is_collected_between_fork_and_exec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_die_with_parent", lambda: os._exit(7 if gc.isenabled() else 9))
    child = process.Child(["true"], None, progress=False)
    try:
        assert child.wait(10, None) == 9
    finally:
        child.end()
    assert gc.isenabled()


def test_the_command_is_logged_ready_to_paste(clip: Clips, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="include.ffmpeg_ops.runner"):
        runner.run(read(clip("short"), "-c", "copy", "-f", "null", "/dev/null"))
    assert len(caplog.messages) == 1
    assert shlex.split(caplog.messages[0])[-1] == "/dev/null"


def test_the_child_has_no_input_and_none_of_our_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush4711")
    monkeypatch.setenv("MEDIA_API_KEYS", "ott:hush4711")
    out = tmp_path / "seen"
    runner.run(Command(("ffmpeg", "x.mp4")), settings=program(tmp_path, f"(env; readlink /proc/$$/fd/0) > {out}"))
    assert "hush4711" not in out.read_text()
    assert "/dev/null" in out.read_text()


# -- errors


@pytest.mark.parametrize(
    ("name", "error"),
    [
        pytest.param("truncated_moov", InvalidInputData, id="moov-missing"),
        pytest.param("still", InputNotSupported, id="container-not-on-the-list"),
    ],
)
def test_a_source_that_cannot_be_read_is_the_sources_fault(clip: Clips, name: str, error: type[MediaError]) -> None:
    with pytest.raises(error) as caught:
        runner.run(read(clip(name), "-f", "null", "/dev/null"))
    assert str(clip(name).parent) not in caught.value.message
    assert not caught.value.retryable


def test_text_instead_of_media_is_no_media(tmp_path: Path) -> None:
    (tmp_path / "fake.mp4").write_text("this is no video " * 100)
    with pytest.raises((InvalidInputData, InputNotSupported)):
        runner.run(read(tmp_path / "fake.mp4", "-f", "null", "/dev/null"))


def test_a_playlist_is_not_followed(tmp_path: Path, clip: Clips) -> None:
    listed = tmp_path / "list.mp4"
    listed.write_text(f"ffconcat version 1.0\nfile 'file:{clip('short')}'\n")
    with pytest.raises(InputNotSupported):
        runner.run(read(listed, "-f", "null", "/dev/null"))
    hls = tmp_path / "hls.mp4"
    hls.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\nfile:{clip('mpegts')}\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaError):
        runner.run(read(hls, "-f", "null", "/dev/null"))


def test_our_own_lists_are_followed(tmp_path: Path, clip: Clips) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"ffconcat version 1.0\nfile 'file:{clip('short')}'\nfile 'file:{clip('short')}'\n")
    argv = (
        "ffmpeg",
        *runner.input_options("concat"),
        "-i",
        f"file:{listed}",
        "-map",
        "0:v",
        "-c",
        "copy",
        "-f",
        "null",
        "/dev/null",
    )
    assert runner.run(Command(argv)).frames == 100


def test_an_unknown_encoder_is_the_outputs_fault(clip: Clips, tmp_path: Path) -> None:
    with pytest.raises(OutputNotSupported, match="libnonsense"):
        runner.run(read(clip("short"), "-c:v", "libnonsense", str(tmp_path / "x.mp4")))


def test_an_unknown_filter_is_the_outputs_fault(clip: Clips, tmp_path: Path) -> None:
    with pytest.raises(OutputNotSupported, match="nonsense"):
        runner.run(read(clip("short"), "-vf", "nonsense", str(tmp_path / "x.mp4")))


def test_a_full_disk_may_be_retried(clip: Clips) -> None:
    with pytest.raises(InternalError, match="disk is full") as caught:
        runner.run(read(clip("plain"), "-c", "copy", "-f", "mpegts", "/dev/full"))
    assert caught.value.retryable


def test_a_codec_without_a_decoder_in_software_is_not_supported(tmp_path: Path) -> None:
    said = "[av1 @ 0x55] [error] Your platform doesn't support hardware accelerated AV1 decoding."
    with pytest.raises(InputNotSupported, match="codec that this ffmpeg cannot decode"):
        runner.run(Command(("ffmpeg", "x.mp4")), settings=program(tmp_path, f'echo "{said}" >&2'))


def test_death_by_a_signal_may_be_retried(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="signal 9") as caught:
        runner.run(Command(("ffmpeg", "x.mp4")), settings=program(tmp_path, "kill -9 $$"))
    assert caught.value.retryable


def test_a_missing_program_is_told_plainly() -> None:
    with pytest.raises(InternalError, match="install ffmpeg"):
        runner.run(Command(("ffmpeg", "-version")), settings=Settings(ffmpeg="/nowhere/ffmpeg"))


# -- ends


@pytest.mark.usefixtures("no_children")
def test_a_timeout_ends_the_process(tools: tuple[str, str]) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut):
        runner.run(Command(ENDLESS), timeout=0.5)
    assert time.monotonic() - started < 4


@pytest.mark.usefixtures("no_children")
def test_cancelling_ends_the_process(tools: tuple[str, str]) -> None:
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        runner.run(Command(ENDLESS), cancelled=cancelled)
    assert time.monotonic() - started < 4


@pytest.mark.usefixtures("no_children")
def test_an_error_of_the_listener_ends_the_process(tools: tuple[str, str]) -> None:
    def fail(_: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        runner.run(Command(ENDLESS), on_progress=fail)


def test_a_program_that_ignores_the_polite_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.ffmpeg_ops.process.GRACE_SECONDS", 0.3)
    pid = tmp_path / "pid"
    with pytest.raises(TimedOut):
        runner.run(
            Command(("ffmpeg", "x.mp4")),
            settings=program(tmp_path, f"trap '' TERM; echo $$ > {pid}; while :; do sleep 0.1; done"),
            timeout=0.5,
        )
    assert not psutil.pid_exists(int(pid.read_text()))


def test_what_a_program_leaves_behind_is_killed_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    runner.run(Command(("ffmpeg", "x.mp4")), settings=program(tmp_path, f"sleep 300 & echo $! > {pid}"), timeout=20)
    for _ in range(100):
        if not alive(int(pid.read_text())):
            return
        time.sleep(0.05)
    pytest.fail("the grandchild outlived the run")


def kill_parent(script: str) -> None:
    """Kill a Python that has printed "running"; its children must be gone soon after."""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "running\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    assert children
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    gone, left = psutil.wait_procs(children, timeout=5)
    assert not left
    assert gone


def test_a_killed_parent_leaves_no_ffmpeg(tmp_path: Path, tools: tuple[str, str]) -> None:
    script = textwrap.dedent(f"""
        from include.ffmpeg_ops import runner
        from pathlib import Path
        runner.run(runner.Command({ENDLESS!r}), on_progress=lambda p: print("running", flush=True))
    """)
    kill_parent(script)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# -- what is said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "[h264 @ 0x55b2a8ca8a40] [error] Invalid NAL unit size (-19 > 460).",
            LogLine("error", ("h264",), "Invalid NAL unit size (-19 > 460)."),
            id="component",
        ),
        pytest.param(
            "[vist#0:0/h264 @ 0x55] [dec:h264 @ 0x66] [warning] corrupt decoded frame",
            LogLine("warning", ("vist#0:0/h264", "dec:h264"), "corrupt decoded frame"),
            id="two-components",
        ),
        pytest.param("[fatal] Unknown encoder 'x'", LogLine("fatal", (), "Unknown encoder 'x'"), id="no-component"),
        pytest.param("    Last message repeated 3 times", LogLine("info", (), "    Last message repeated 3 times"), id="other"),
    ],
)
def test_a_line_is_parsed(text: str, expected: LogLine) -> None:
    assert log.parse(text) == expected


@pytest.mark.parametrize(
    "name", ["plain", "vfr", "mkv", "mpegts", "fragmented", "open_gop_264", "flv", "edit_list", "audio_late"]
)
def test_a_sound_file_shows_no_damage(clip: Clips, name: str) -> None:
    assert runner.run(read(clip(name), "-f", "null", "/dev/null")).damage == ()


@pytest.mark.parametrize("name", ["garbage", "garbage_mkv", "garbage_ts", "truncated"])
def test_a_damaged_file_shows_damage(clip: Clips, name: str) -> None:
    assert runner.run(read(clip(name), "-max_error_rate", "1", "-f", "null", "/dev/null")).damage


@pytest.mark.parametrize(
    "line",
    [
        "[libx264 @ 0x1] [error] this version of x264 was not compiled with corrupt support",
        "[mp4 @ 0x1] [warning] Packet duration is invalid: truncated",
        "[out#0/mp4 @ 0x1] [error] Error muxing a packet",
        "[Parsed_scale_1 @ 0x1] [error] Invalid data",
        "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x1] [warning] Unknown chapter",
        "[nut @ 0x1] [warning] DTS discontinuity in stream 0: packet 3 with DTS 900001, packet 4 with DTS 907200",
    ],
)
def test_what_our_side_says_and_what_is_said_of_times_that_vary_is_no_damage(line: str) -> None:
    assert log.damage([log.parse(line)]) == ()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("file:/srv/cache/ab/clip.mp4: Invalid data found", "clip.mp4: Invalid data found"),
        ("Error opening output file /srv/out dir/x.mp4.", "Error opening output file x.mp4."),
        ("rate 24/1 and Input/output error", "rate 24/1 and Input/output error"),
        ("in '/tmp/reelflow-0/a.cube'", "in 'a.cube'"),
    ],
)
def test_paths_of_the_server_are_hidden(message: str, expected: str) -> None:
    assert log.hide_paths(message, ["/srv/out dir/x.mp4"]) == expected


def test_damage_names_no_folder_of_the_server(clip: Clips, tmp_path: Path) -> None:
    source = tmp_path / "a cache" / "film.mp4"
    source.parent.mkdir()
    shutil.copy(clip("garbage"), source)
    told = runner.run(read(source, "-max_error_rate", "1", "-f", "null", "/dev/null")).damage
    assert told
    assert not any("a cache" in message for message in told)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[warning] file:/srv/cache/ab/film: corrupt decoded frame in stream 0", "film: corrupt decoded frame in stream 0"),
        ("[error] file:/srv/a cache/film: Input/output error", "film: Input/output error"),
    ],
    ids=["any-path", "a-known-path-with-a-space"],
)
def test_paths_of_the_server_are_hidden_in_what_is_said_of_damage(text: str, expected: str) -> None:
    assert log.damage([log.parse(text)], ["/srv/a cache/film"]) == (expected,)


# -- the programs


def test_the_programs_in_use_are_known(tools: tuple[str, str]) -> None:
    found = runner.tools()
    assert int(re.search(r"\d+", found.version)[0]) >= 5
    assert runner.tools() is found


@pytest.mark.parametrize(("name", "there"), [("lut3d", True), ("scale", True), ("nonsense", False)])
def test_the_filters_of_the_ffmpeg_in_use_are_known(tools: tuple[str, str], name: str, there: bool) -> None:
    assert has_filter(name) is there


@pytest.mark.parametrize(
    ("line", "there"),
    [
        pytest.param(" DEV.L. av1   AOMedia AV1 (decoders: libdav1d av1 av1_cuvid ) (encoders: libaom-av1 )", True,
                     id="software-beside-hardware"),
        pytest.param(" DEV.L. av1   AOMedia AV1 (decoders: av1 av1_cuvid av1_qsv ) (encoders: libaom-av1 )", False,
                     id="hardware-alone"),
        pytest.param(" DEV.L. av1   AOMedia AV1 (encoders: libaom-av1 )", False, id="a-door-to-the-hardware"),
        pytest.param(" .EV.L. av1   AOMedia AV1 (encoders: libaom-av1 )", False, id="encoders-alone"),
        pytest.param(" DEV.L. av1   AOMedia AV1", False, id="one-of-the-codecs-name-that-is-hardware"),
    ],
)  # fmt: skip
def test_a_codec_without_a_decoder_in_software_is_known_before_it_is_tried(tmp_path: Path, line: str, there: bool) -> None:
    settings = program(tmp_path, f"echo 'Codecs:'; echo ' -------'; echo '{line}'; echo ' D.V.L. h263   H.263 / H.263-1996'")
    assert has_decoder("av1", settings) is there
    assert has_decoder("h263", settings)
    assert not has_decoder("nonsense", settings)


def test_an_old_ffmpeg_is_refused(tmp_path: Path) -> None:
    settings = program(tmp_path, "echo 'ffmpeg version 4.4.2'; echo 'libavutil      56. 70.100 / 56. 70.100'")
    with pytest.raises(OutputNotSupported, match=r"4\.4\.2; version 5\.0"):
        runner.tools(settings)


# -- a run whose output is read while it comes

SPLASH = ("-f", "lavfi", "-i", "testsrc2=s=64x36:r=25:d=4", "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1")
FRAME = 64 * 36 * 3 // 2


def read_all(stream: runner.Stream, size: int = FRAME) -> Iterator[bytes]:
    buffer = bytearray(size)
    while count := stream.readinto(memoryview(buffer)):
        yield bytes(buffer[:count])


@pytest.mark.usefixtures("no_children")
def test_a_streaming_run_gives_its_output_piece_by_piece(tools: tuple[str, str]) -> None:
    with runner.stream(Command(("ffmpeg", *SPLASH))) as stream:
        pieces = list(read_all(stream))
    assert [len(piece) for piece in pieces] == [FRAME] * 100
    assert stream.completed is not None
    assert stream.completed.damage == ()
    assert stream.completed.cpu_seconds > 0


def test_a_streaming_run_ends_with_the_damage_it_met(clip: Clips) -> None:
    command = read(clip("garbage"), "-max_error_rate", "1", "-map", "0:v", "-f", "rawvideo", "pipe:1")
    with runner.stream(command) as stream:
        assert list(read_all(stream))
    assert stream.completed is not None
    assert stream.completed.damage


@pytest.mark.usefixtures("no_children")
def test_a_failure_is_raised_where_a_stream_ends(clip: Clips, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputData) as caught, runner.stream(read(clip("truncated_moov"), *SPLASH[4:])) as stream:
        list(read_all(stream))
    assert str(clip("truncated_moov").parent) not in caught.value.message
    with runner.stream(Command(("ffmpeg", "pipe:1")), settings=program(tmp_path, "echo half; kill -9 $$")) as stream:
        assert stream.readinto(memoryview(bytearray(5))) == 5
        with pytest.raises(InternalError, match="signal 9"):
            stream.readinto(memoryview(bytearray(1)))


@pytest.mark.usefixtures("no_children")
@pytest.mark.parametrize("reads", [pytest.param(True, id="reading"), pytest.param(False, id="not-reading")])
def test_a_stream_ends_at_its_deadline(tools: tuple[str, str], reads: bool) -> None:
    command = Command(("ffmpeg", "-f", "lavfi", "-i", "testsrc2=s=640x360", "-f", "rawvideo", "pipe:1"))
    started = time.monotonic()
    with runner.stream(command, timeout=0.5) as stream:
        time.sleep(0 if reads else 1)
        with pytest.raises(TimedOut):
            list(read_all(stream, 1 << 16))
    assert time.monotonic() - started < 4


@pytest.mark.usefixtures("no_children")
def test_cancelling_ends_a_stream_that_waits_for_output(tmp_path: Path) -> None:
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    settings, command = program(tmp_path, "sleep 60"), Command(("ffmpeg", "pipe:1"))
    with runner.stream(command, cancelled=cancelled, settings=settings) as stream, pytest.raises(Cancelled):
        stream.readinto(memoryview(bytearray(1)))


@pytest.mark.usefixtures("no_children")
def test_leaving_a_stream_early_ends_the_process(tools: tuple[str, str]) -> None:
    started = time.monotonic()
    with runner.stream(Command(("ffmpeg", "-f", "lavfi", "-i", "testsrc2", "-f", "rawvideo", "pipe:1"))) as stream:
        stream.readinto(memoryview(bytearray(1000)))
    assert stream.completed is None
    assert time.monotonic() - started < 4


def test_a_stream_that_says_much_on_standard_error_does_not_block(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 5000 ]; do echo '[h264 @ 0x1] [warning] w' >&2; echo x; i=$((i+1)); done"
    with runner.stream(Command(("ffmpeg", "pipe:1")), settings=program(tmp_path, script), timeout=60) as stream:
        assert stream.readinto(memoryview(bytearray(20000))) == 10000
    assert stream.completed is not None
    assert len(stream.completed.log) == 4000


def test_a_killed_reader_leaves_no_ffmpeg(tools: tuple[str, str]) -> None:
    script = textwrap.dedent("""
        from include.ffmpeg_ops import runner
        import time
        with runner.stream(runner.Command(("ffmpeg", "-f", "lavfi", "-i", "testsrc2", "-f", "rawvideo", "pipe:1"))) as stream:
            stream.readinto(memoryview(bytearray(1000)))
            print("running", flush=True)
            time.sleep(60)
    """)
    kill_parent(script)
