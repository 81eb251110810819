from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from include.errors import (
    Cancelled,
    InternalError,
    InvalidInputData,
    MediaError,
    OutputNotSupported,
    TimedOut,
    VerificationFailed,
)
from include.settings import Settings
from include.sr_model import encode, zoo
from include.sr_model import upscale as engine
from include.sr_model.backends.base import Work
from include.sr_model.backends.openvino import OpenVinoSession
from include.sr_model.description import describe
from include.sr_model.models import Upscaled, UpscaleTask
from include.sr_model.picture import Geometry
from include.sr_model.readback import verify
from include.sr_model.upscale import upscale
from tests.conftest import Clips
from tests.media import ffmpeg, ffprobe, read_frame_numbers
from tests.processes import watch_children
from tests.sr_model.tasks import pictures, task_for


def make(path: Path, *options: str) -> Path:
    subprocess.run([ffmpeg(), "-nostdin", "-v", "error", "-y", *options, str(path)], check=True)
    return path


def moving(size: str = "64x36", frames: int = 5, rate: str = "25") -> list[str]:
    # testsrc2 rounds to even sizes.
    graph = f"testsrc2=s=64x64:r={rate},format=yuv444p,noise=alls=20:allf=t:all_seed=1,scale={size.replace('x', ':')}"
    return ["-f", "lavfi", "-i", graph, "-frames:v", str(frames)]


LOSSLESS = ["-c:v", "libx264", "-qp", "0", "-preset", "ultrafast"]


def run(source: Path, out: Path, **changes: Any) -> tuple[UpscaleTask, Upscaled]:
    task = task_for(source, **changes)
    return task, upscale(source, task, out, precision="fp32")


@pytest.fixture
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """No process, no thread and no file of a failed run stays."""
    threads, started = set(threading.enumerate()), watch_children()
    yield
    assert not started()
    assert set(threading.enumerate()) <= threads
    assert [path for path in tmp_path.rglob("*") if "out" in path.name] == []


# -- every picture, exactly


@pytest.mark.parametrize(
    ("size", "pix_fmt", "scale"),
    [
        pytest.param("64x36", "yuv420p", 2, id="even"),
        pytest.param("53x37", "yuv420p", 2, id="odd"),
        pytest.param("53x37", "yuv420p", 4, id="odd-x4"),
        pytest.param("16x16", "yuv420p", 2, id="tiny"),
        pytest.param("36x64", "yuv420p", 4, id="portrait"),
    ],
)
def test_what_is_encoded_is_what_the_network_made(tmp_path: Path, size: str, pix_fmt: str, scale: int) -> None:
    source = make(tmp_path / "in.mkv", *moving(size), "-pix_fmt", pix_fmt, "-c:v", "ffv1")
    # A constant rate factor of 0 is lossless in 8 bits.
    _, done = run(source, tmp_path / "out.mp4", scale=scale, crf=0)
    width, height = map(int, size.split("x"))
    assert (done.frames, done.width, done.height) == (5, width * scale, height * scale)
    session = OpenVinoSession(Work(zoo.find(scale), Geometry(width, height), precision="fp32"))
    slot = session.slots(1)[0]
    given, got = pictures(source, Geometry(width, height)), pictures(tmp_path / "out.mp4", Geometry(width, height).scaled(scale))
    assert len(given) == len(got) == 5
    for before, after in zip(given, got, strict=True):
        slot.source.buffer[:] = before.buffer
        slot.start()
        slot.wait()
        assert np.array_equal(slot.result.buffer, after.buffer)


@pytest.mark.parametrize(
    ("pix_fmt", "expected"),
    [
        pytest.param("yuv422p", "yuv420p", id="422"),
        pytest.param("yuv444p", "yuv420p", id="444"),
        pytest.param("gray", "yuvj420p", id="grey-of-full-range"),
        pytest.param("yuv420p10le", "yuv420p10le", id="10-bit"),
        pytest.param("yuv422p10le", "yuv420p10le", id="422-10-bit"),
        pytest.param("yuv420p12le", "yuv420p10le", id="12-bit"),
    ],
)
def test_every_layout_becomes_420_of_its_depth(tmp_path: Path, pix_fmt: str, expected: str) -> None:
    source = make(tmp_path / "in.mkv", *moving(), "-pix_fmt", pix_fmt, "-c:v", "ffv1")
    run(source, tmp_path / "out.mp4", crf=10)
    stream = probe(tmp_path / "out.mp4")
    assert (stream["pix_fmt"], stream["nb_frames"]) == (expected, "5")
    assert stream["codec_name"] == ("hevc" if "10" in expected else "h264")
    assert stream["codec_tag_string"] == ("hvc1" if "10" in expected else "avc1")


def test_hdr_of_rgb_stays_hdr(tmp_path: Path) -> None:
    tags = ["-color_primaries", "bt2020", "-color_trc", "smpte2084"]
    named = ["-vf", "format=gbrp10le,setparams=color_primaries=bt2020:color_trc=smpte2084"]
    source = make(tmp_path / "in.mkv", *moving(), *named, "-c:v", "ffv1", *tags)
    run(source, tmp_path / "out.mp4")
    stream = probe(tmp_path / "out.mp4")
    assert (stream["color_space"], stream["color_primaries"], stream["color_transfer"]) == ("bt2020nc", "bt2020", "smpte2084")


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 33])
def test_few_frames_of_hevc_have_times_of_decoding(tmp_path: Path, frames: int) -> None:
    source = make(tmp_path / "in.mkv", *moving("64x36", frames), "-pix_fmt", "yuv420p10le", "-c:v", "ffv1")
    task, done = run(source, tmp_path / "out.mp4")
    assert done.frames == frames
    assert times(tmp_path / "out.mp4") == [Fraction(tick, task.timescale) for tick in task.ticks]


def test_ten_bits_keep_their_precision(tmp_path: Path) -> None:
    ramp = "nullsrc=s=128x64:r=25,format=yuv420p10le,geq=lum='400+X/2':cb=512:cr=512"
    source = make(tmp_path / "in.mkv", "-f", "lavfi", "-i", ramp, "-frames:v", "1", "-c:v", "ffv1")
    run(source, tmp_path / "out.mp4", crf=0)
    line = pictures(tmp_path / "out.mp4", Geometry(256, 128, 10))[0].luma[64, 20:-20].astype(int)
    # Half a code value of 10 bits a sample: in 8 bits every value would stand for 8 samples.
    assert len(set(line)) > 45


@pytest.mark.parametrize("range_", ["tv", "pc"])
def test_range_and_colors_do_not_shift(tmp_path: Path, range_: str) -> None:
    flat = "color=c=gray:s=64x64:r=25,format=yuv444p,geq=lum=180:cb=90:cr=170,format=yuv420p"
    # Some versions take the tags from the pictures, others from the options.
    named = f"setparams=range={range_}:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    tags = ["-color_range", range_, "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    made = ["-f", "lavfi", "-i", flat, "-vf", named, "-frames:v", "3", *LOSSLESS, *tags]
    source = make(tmp_path / "in.mp4", *made)
    before = pictures(source, Geometry(64, 64))[0]
    run(source, tmp_path / "out.mp4", crf=0)
    after = pictures(tmp_path / "out.mp4", Geometry(128, 128))[0]
    assert abs(int(np.median(after.luma)) - int(np.median(before.luma))) <= 1
    assert set(after.chroma[0].flat) == set(before.chroma[0].flat)
    assert set(after.chroma[1].flat) == set(before.chroma[1].flat)
    stream = probe(tmp_path / "out.mp4")
    assert stream["color_range"] == range_
    assert (stream["color_space"], stream["color_primaries"], stream["color_transfer"]) == ("bt709",) * 3


def test_rgb_is_converted_and_tagged(tmp_path: Path) -> None:
    made = ["-f", "lavfi", "-i", "color=c=red:s=64x64:r=25,format=gbrp", "-frames:v", "2", "-c:v", "libx264rgb", "-qp", "0"]
    source = make(tmp_path / "in.mkv", *made)
    run(source, tmp_path / "out.mp4", crf=0)
    picture = pictures(tmp_path / "out.mp4", Geometry(128, 128))[0]
    # Red in BT.601, as is usual for this size.
    assert (int(np.median(picture.luma)), *(int(np.median(plane)) for plane in picture.chroma)) == pytest.approx(
        (81, 90, 240), abs=1
    )
    assert probe(tmp_path / "out.mp4")["color_space"] == "smpte170m"


@pytest.mark.parametrize(
    ("pix_fmt", "graph"),
    [
        pytest.param("yuv444p", "geq=lum=128:cb=128:cr='28+3*X'", id="444"),
        pytest.param("yuv444p10le", "geq=lum=512:cb=512:cr='4*(28+3*X)'", id="444-10-bit"),
        pytest.param("gbrp", "geq=r='28+3*X':g=90:b=90", id="rgb"),
    ],
)
def test_chroma_of_full_resolution_stays_where_it_was(tmp_path: Path, pix_fmt: str, graph: str) -> None:
    made = ["-f", "lavfi", "-i", f"nullsrc=s=64x32:r=25,format={pix_fmt},{graph}", "-frames:v", "1", "-c:v", "ffv1"]
    source = make(tmp_path / "in.mkv", *made)
    run(source, tmp_path / "out.mp4", crf=0)
    assert probe(tmp_path / "out.mp4")["chroma_location"] == "left"
    red = pictures(tmp_path / "out.mp4", Geometry(128, 64, 10 if "10" in pix_fmt else 8))[0].chroma[1][16, 10:-10].astype(float)
    slope = (red[-1] - red[0]) / (len(red) - 1)
    given = {"yuv444p": (28, 3), "yuv444p10le": (112, 12), "gbrp": (128 - 62 * 0.4392, 3 * 0.4392)}[pix_fmt]
    assert slope == pytest.approx(given[1], rel=0.02)
    # Column c of chroma lies on column 2c of luma, which is at (2c + 0.5) / 2 - 0.5 in the source.
    places = np.arange(10, 10 + len(red)) - 0.25
    assert np.mean(red - given[0] - given[1] * places) == pytest.approx(0, abs=given[1] / 8)


MASTER = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"


def test_hdr_stays_hdr(tmp_path: Path) -> None:
    tags = ["-color_range", "tv", "-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", "smpte2084"]
    params = ["-x265-params", "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:chromaloc=2:" + MASTER]
    if "libx265" not in subprocess.run([ffmpeg(), "-encoders"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("no libx265")
    try:
        named = ["-vf", "setparams=range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"]
        made = [*moving(), *named, "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-preset", "ultrafast", *params, *tags]
        source = make(tmp_path / "in.mp4", *made)
    except subprocess.CalledProcessError:
        pytest.skip("this libx265 has no 10 bits")
    if probe(source)["pix_fmt"] != "yuv420p10le":
        pytest.skip("this libx265 has no 10 bits")
    run(source, tmp_path / "out.mp4")
    stream = probe(tmp_path / "out.mp4")
    assert (stream["color_space"], stream["color_primaries"], stream["color_transfer"]) == ("bt2020nc", "bt2020", "smpte2084")
    assert stream["pix_fmt"] == "yuv420p10le"
    assert stream["chroma_location"] == "topleft"
    description = describe(tmp_path / "out.mp4", task_for(tmp_path / "out.mp4", codec="hevc"))
    assert f"master-display={description.mastering}:max-cll={description.light}" == MASTER


@pytest.mark.parametrize("where", ["frames", "streams"])
def test_hdr_data_of_a_picture_and_of_the_container_are_read(tmp_path: Path, clip: Clips, where: str) -> None:
    points = {"red": (34000, 16000), "green": (13250, 34500), "blue": (7500, 3000), "white_point": (15635, 16450)}
    master = {f"{name}_{axis}": f"{value}/50000" for name, pair in points.items() for axis, value in zip("xy", pair, strict=True)}
    master |= {"min_luminance": "50/10000", "max_luminance": "10000000/10000"}
    light = {"side_data_type": "Content light level metadata", "max_content": 1000, "max_average": 400}
    side_data = [{"side_data_type": "Mastering display metadata", **master}, light]
    document = {"frames": [{}], "streams": [{}], where: [{"side_data_list": side_data}]}
    (tmp_path / "ffprobe").write_text(f"#!/bin/sh\necho '{json.dumps(document)}'\n")
    (tmp_path / "ffprobe").chmod(0o755)
    description = describe(clip("short"), task_for(clip("short")), Settings(ffprobe=str(tmp_path / "ffprobe")))
    assert f"master-display={description.mastering}:max-cll={description.light}" == MASTER


def test_the_sample_aspect_ratio_survives(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", *moving(), "-vf", "setsar=16/11", *LOSSLESS)
    run(source, tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4")["sample_aspect_ratio"] == "16:11"


def test_a_rotation_is_not_baked_in(tmp_path: Path, clip: Clips) -> None:
    task, done = run(clip("rotated_90"), tmp_path / "out.mp4")
    assert (done.width, done.height) == (2 * task.stream.width, 2 * task.stream.height)


def test_an_interlaced_source_becomes_whole_pictures(tmp_path: Path) -> None:
    made = [
        *moving("64x64", 10, "50"),
        "-vf",
        "tinterlace=interleave_top,setfield=tff",
        "-c:v",
        "libx264",
        "-flags",
        "+ildct+ilme",
    ]
    source = make(tmp_path / "in.mp4", *made)
    task, done = run(source, tmp_path / "out.mp4")
    assert task.stream.interlaced
    assert done.frames == task.frames


# -- every frame once, at its time


@pytest.mark.parametrize("name", ["plain", "ntsc", "film", "vfr", "one_frame", "two_frames", "open_gop_264", "slides", "mpegts"])
def test_every_frame_appears_once_at_its_time(tmp_path: Path, clip: Clips, name: str) -> None:
    task, done = run(clip(name), tmp_path / "out.mp4", codec="h264")
    assert done.frames == clip.frames(name)
    assert read_frame_numbers(tmp_path / "out.mp4") == list(range(clip.frames(name)))
    wanted = [Fraction(tick, task.timescale) for tick in task.ticks]
    assert times(tmp_path / "out.mp4") == wanted
    if task.pts is None:
        assert Fraction(probe(tmp_path / "out.mp4")["r_frame_rate"]) == task.frame_rate


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".nut"])
def test_other_containers_hold_the_same_frames(tmp_path: Path, clip: Clips, suffix: str) -> None:
    _, done = run(clip("vfr"), tmp_path / f"out{suffix}")
    assert done.frames == 200
    assert read_frame_numbers(tmp_path / f"out{suffix}") == list(range(200))


def test_webm_holds_vp9(tmp_path: Path, clip: Clips) -> None:
    run(clip("two_frames"), tmp_path / "out.webm", codec="vp9", crf=30)
    assert probe(tmp_path / "out.webm")["codec_name"] == "vp9"
    assert read_frame_numbers(tmp_path / "out.webm") == [0, 1]


def test_segments_of_one_source_have_the_same_header(tmp_path: Path, clip: Clips) -> None:
    headers = set()
    for name in ("plain", "grid_plus_one"):
        run(clip(name), tmp_path / "out.mp4")
        headers.add(extradata(tmp_path / "out.mp4"))
    assert len(headers) == 1


def test_the_last_frame_keeps_its_length(tmp_path: Path, clip: Clips) -> None:
    task, _ = run(clip("slides"), tmp_path / "out.mp4")
    stream = probe(tmp_path / "out.mp4")
    assert int(stream["duration_ts"]) * Fraction(stream["time_base"]) == Fraction(task.end_tick, task.timescale)


# -- what is not paid for twice


def test_identical_frames_are_upscaled_once(tmp_path: Path) -> None:
    still = "testsrc2=s=64x36:r=5:d=2,fps=25"
    source = make(tmp_path / "in.mp4", "-f", "lavfi", "-i", still, *LOSSLESS)
    _, done = run(source, tmp_path / "out.mp4", crf=0)
    assert (done.frames, done.reused) == (50, 40)
    shown = [picture.bytes.tobytes() for picture in pictures(tmp_path / "out.mp4", Geometry(128, 72))]
    assert len(set(shown)) == 10
    assert all(shown[n] == shown[n - n % 5] for n in range(50))


def test_many_frames_need_no_more_memory(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", *moving("64x36", 3000), "-c:v", "libx264", "-preset", "ultrafast")
    task = task_for(source)
    process, sizes = psutil.Process(), []
    upscale(source, task, tmp_path / "out.mp4", on_progress=lambda *_: sizes.append(process.memory_info().rss))
    # What is lost over the last two thirds, 2000 frames of 10 kB and their fourfold; a leak of a picture would be 20 MB or more.
    assert sizes[-1] - sizes[len(sizes) // 3] < 8 * 2**20


# -- failures leave nothing behind


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("change", [-1, 1])
def test_another_number_of_frames_is_refused(tmp_path: Path, clip: Clips, change: int) -> None:
    task = task_for(clip("short"))
    with pytest.raises(InvalidInputData, match="frames"):
        upscale(clip("short"), task.model_copy(update={"frames": task.frames + change}), tmp_path / "out.mp4")


@pytest.mark.usefixtures("nothing_left")
def test_a_damaged_source_is_refused_and_salvaged_on_request(tmp_path: Path, clip: Clips) -> None:
    task = task_for(clip("garbage"), damage_policy="salvage")
    with pytest.raises(InvalidInputData):
        upscale(clip("garbage"), task.model_copy(update={"damage_policy": "strict"}), tmp_path / "out.mp4")
    done = upscale(clip("garbage"), task, tmp_path / "saved.mp4")
    assert done.frames == task.frames
    assert done.damage


@pytest.mark.usefixtures("nothing_left")
def test_cancelling_ends_all(tmp_path: Path, clip: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PROGRESS_SECONDS", 0)
    cancelled = threading.Event()
    with pytest.raises(Cancelled):
        upscale(
            clip("plain"),
            task_for(clip("plain")),
            tmp_path / "out.mp4",
            on_progress=lambda *_: cancelled.set(),
            cancelled=cancelled,
        )


@pytest.mark.usefixtures("nothing_left")
def test_a_deadline_ends_all(tmp_path: Path, clip: Clips) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut):
        upscale(clip("plain"), task_for(clip("plain")), tmp_path / "out.mp4", timeout=0.01)
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("nothing_left")
def test_the_decoder_begins_while_the_network_is_made_ready_and_ends_with_it(
    tmp_path: Path, clip: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = watch_children()

    def fail(*_: object) -> None:
        deadline = time.monotonic() + 30
        while not any(child.name().startswith("ffmpeg") for child in started()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        raise InternalError("The network cannot be made ready.")

    monkeypatch.setattr(engine, "open_session", fail)
    with pytest.raises(InternalError, match="made ready"):
        upscale(clip("plain"), task_for(clip("plain")), tmp_path / "out.mp4")


class Broken(OpenVinoSession):
    """A network that fails at its fourth picture."""

    def slots(self, count: int) -> Any:
        made = super().slots(count)
        started = []

        def start(slot: Any, begin: Any) -> None:
            started.append(slot)
            begin()

        def wait(end: Any) -> None:
            end()
            if len(started) > 3:
                raise InternalError("The network could not be run.")

        for slot in made:
            begin, end = slot.start, slot.wait
            slot.start = lambda slot=slot, begin=begin: start(slot, begin)
            slot.wait = lambda end=end: wait(end)
        return made


@pytest.mark.usefixtures("nothing_left")
def test_an_error_of_the_network_ends_all(tmp_path: Path, clip: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "open_session", lambda _, work, __: Broken(work))
    with pytest.raises(InternalError, match="network"):
        upscale(clip("plain"), task_for(clip("plain")), tmp_path / "out.mp4")


@pytest.mark.usefixtures("nothing_left")
def test_an_error_behind_the_one_that_ended_all_does_not_hide_it(
    tmp_path: Path, clip: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []

    class Late(OpenVinoSession):
        """A network of which every picture goes wrong once one has been shown."""

        def slots(self, count: int) -> Any:
            made = super().slots(count)

            def wait(end: Any) -> None:
                end()
                if shown:
                    waited.append(end)
                    raise InternalError("The network could not be run.")

            for slot in made:
                slot.wait = lambda end=slot.wait: wait(end)
            return made

    shown = []

    def cancel(*_: object) -> None:
        shown.append(1)
        raise Cancelled("Enough.")

    monkeypatch.setattr(engine, "open_session", lambda _, work, __: Late(work))
    monkeypatch.setattr(engine, "PROGRESS_SECONDS", 0)
    with pytest.raises(Cancelled):
        upscale(clip("plain"), task_for(clip("plain")), tmp_path / "out.mp4", on_progress=cancel)
    assert len(waited) == engine.SLOTS


@pytest.mark.usefixtures("nothing_left")
def test_an_error_of_the_listener_ends_all(tmp_path: Path, clip: Clips) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        upscale(clip("plain"), task_for(clip("plain")), tmp_path / "out.mp4", on_progress=fail)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("name", "changes", "error"),
    [
        pytest.param("out.avi", {}, OutputNotSupported, id="container"),
        pytest.param("out.webm", {"codec": "h264"}, MediaError, id="codec-in-container"),
        pytest.param("no/such/folder/out.mp4", {}, InternalError, id="folder"),
        pytest.param("out.mp4", {"preset": "nonsense"}, MediaError, id="preset"),
    ],
)
def test_an_output_that_cannot_be_written_is_told(
    tmp_path: Path, clip: Clips, name: str, changes: dict[str, Any], error: type[MediaError]
) -> None:
    with pytest.raises(error) as caught:
        upscale(clip("short"), task_for(clip("short"), **changes), tmp_path / name)
    assert str(tmp_path) not in caught.value.message


def test_a_file_that_cannot_be_read_back_is_told_without_its_path(tmp_path: Path, clip: Clips) -> None:
    (tmp_path / "out.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(VerificationFailed) as caught:
        verify(tmp_path / "out.mp4", task_for(clip("short")), Geometry(256, 144))
    assert str(tmp_path) not in caught.value.message


def test_an_encoder_without_ten_bits_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encode._ENCODERS, "vp9", "mpeg4")
    source = make(tmp_path / "in.mkv", *moving(), "-pix_fmt", "yuv420p10le", "-c:v", "ffv1")
    with pytest.raises(OutputNotSupported, match="10 bits"):
        run(source, tmp_path / "out.webm", codec="vp9")


def test_a_file_that_was_there_is_replaced_only_by_a_complete_one(tmp_path: Path, clip: Clips) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("before")
    with pytest.raises(TimedOut):
        upscale(clip("short"), task_for(clip("short")), out, timeout=0)
    assert out.read_text() == "before"
    upscale(clip("short"), task_for(clip("short")), out)
    assert probe(out)["nb_frames"] == "50"


@pytest.mark.usefixtures("nothing_left")
def test_a_missing_decoder_is_told(tmp_path: Path, clip: Clips) -> None:
    task = task_for(clip("short"), siting="left")
    with pytest.raises(InternalError, match="install ffmpeg"):
        upscale(clip("short"), task, tmp_path / "out.mp4", settings=Settings(ffmpeg="/nowhere/ffmpeg"))


# -- reading back


def probe(path: Path) -> dict[str, Any]:
    argv = [ffprobe(), "-v", "error", "-show_streams", "-select_streams", "v", "-of", "json", str(path)]
    stream: dict[str, Any] = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)["streams"][0]
    return stream


def times(path: Path) -> list[Fraction]:
    argv = [ffprobe(), "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts", "-of", "csv=p=0", str(path)]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    time_base = Fraction(probe(path)["time_base"])
    return sorted(int(line.strip(",")) * time_base for line in text.split())


def extradata(path: Path) -> bytes:
    import av

    with av.open(str(path)) as container:
        return bytes(container.streams.video[0].codec_context.extradata or b"")
