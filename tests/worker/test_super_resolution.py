"""Super-resolution units with the real engine, on tiny pictures: whatever the source is, everything but its size is kept."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from include.errors import InternalError, StorageError
from include.ffmpeg_ops.probe import probe
from include.media_store.models import ObjectRef
from include.media_store.objects import S3ObjectStore
from include.media_store.slots import slot
from include.settings import Settings
from include.sr_model.models import UpscaleTask
from include.sr_model.upscale import upscale
from include.worker.execute import execute
from include.worker.job import Job, split_unit
from include.worker.media import MediaTools
from include.worker.merge import MergeWork
from include.worker.models import SuperResolutionRequest, UnitResult
from tests.conftest import Clips
from tests.media import numbers, read_frame_numbers
from tests.sr_model.test_upscale import make

FORMATS = [
    "mkv",
    "mpegts",
    "vfr",
    "pairs_then_even",
    "edit_list",
    "start_offset",
    "open_gop_264_ts",
    "open_gop_265",
    "single_keyframe",
    "audio_late",
    "video_late",
    "video_much_later",
    "quicktime",
    "rotated_90",
    "rotated_90_flipped",
    "anamorphic",
    "vp9",
    "odd_both",
    "ten_bit",
    "one_frame",
    "languages",
    "subtitles",
    "cover_art",
    "interlaced",
    "full_range",
    "rgb",
]


def run_all(
    request: SuperResolutionRequest, store: S3ObjectStore, settings: Settings, media: MediaTools | None = None
) -> dict[str, UnitResult]:
    """Run every unit of a job, one after the other; return the results by unit id."""
    arguments: dict[str, Any] = {"store": store, "settings": settings, "media": media}
    results = {"split": execute(split_unit(request), **arguments)}
    job = Job.of(store, settings, request)
    for unit_id in [*(unit.id for unit in results["split"].units), "merge"]:
        if results["split"].status == "done":
            results[unit_id] = execute(job.unit_uri(unit_id), **arguments)
    return results


def upload(path: Path, store: S3ObjectStore, bucket: str, key: str) -> str:
    store.upload(path, bucket, key)
    return key


@pytest.mark.sampled("vfr", "pairs_then_even", "edit_list", "rotated_90_flipped", "languages")
@pytest.mark.parametrize("name", FORMATS)
def test_every_frame_and_its_time_and_all_other_streams_are_kept(
    name: str, clip: Clips, store: S3ObjectStore, bucket: str, settings: Settings, tmp_path: Path
) -> None:
    source = clip(name)
    key = upload(source, store, bucket, f"{name}/a b{source.suffix}")
    # Three segments of the longer clips, two of the others.
    request = SuperResolutionRequest(bucket=bucket, key=key, segment_time=clip.frames(name) / 65)
    results = run_all(request, store, settings)
    assert {unit: result.error for unit, result in results.items() if result.error} == {}
    made = tmp_path / f"made{source.suffix}"
    ref = store.head(bucket, f"{name}/a b_x2{source.suffix}")
    assert ref is not None
    store.download(ref, made)
    (before, old), (after, new) = (probe(path, settings=settings) for path in (source, made))
    assert read_frame_numbers(made) == read_frame_numbers(source)
    assert [pts * new.time_base for pts in new.pts] == [pts * old.time_base for pts in old.pts]
    assert (after.video.width, after.video.height) == (2 * before.video.width, 2 * before.video.height)
    assert (after.video.rotation, after.video.flipped, after.video.sar) == (
        before.video.rotation,
        before.video.flipped,
        before.video.sar,
    )
    assert [(one.language, one.codec, one.start_time, one.duration) for one in after.audio] == [
        (one.language, one.codec, one.start_time, one.duration) for one in before.audio
    ]
    assert list(store.list(bucket, Job.of(store, settings, request).chunks_prefix)) == []
    stills = results["merge"].metrics["comparisons"]
    assert len(stills) == min(5, before.video.frames)
    assert {(still["width"], still["height"]) for still in stills} == {
        (2 * before.video.display_width, 2 * before.video.display_height)
    }
    shown = read_frame_numbers(source)
    for still in stills[:: max(1, len(stills) - 1)]:
        assert still["pts"] == old.pts[still["frame"]]
        for side in ("before", "after"):
            store.download(ObjectRef(**still[side]), tmp_path / "still.jpg")
            assert read_frame_numbers(tmp_path / "still.jpg") == [shown[still["frame"]]]


@pytest.mark.parametrize("where", ["made", "kept"])
def test_a_film_is_published_though_its_stills_fail(
    where: str, clip: Clips, store: S3ObjectStore, bucket: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise StorageError("No.") if where == "kept" else InternalError("No.")

    if where == "made":
        monkeypatch.setattr("include.ffmpeg_ops.comparison._write", fails)
    else:
        monkeypatch.setattr(MergeWork, "_kept", fails)
    request = SuperResolutionRequest(bucket=bucket, key=upload(clip("two_frames"), store, bucket, f"stills/{where}.mp4"))
    results = run_all(request, store, settings)
    assert results["merge"].error is None
    assert results["merge"].metrics["comparisons"] == []
    assert store.head(bucket, request.destination_key) is not None


def test_stills_are_no_reason_to_merge_again(clip: Clips, store: S3ObjectStore, bucket: str, settings: Settings) -> None:
    request = SuperResolutionRequest(bucket=bucket, key=upload(clip("one_frame"), store, bucket, "stills/again.mp4"))
    job = Job.of(store, settings, request)
    assert not run_all(request, store, settings)["merge"].reused
    assert store.delete_prefix(bucket, job.compare_prefix) == 2
    assert run_all(request, store, settings)["merge"].reused


class CountingEngine:
    """The real engine, which notes the segments and fails where it is told to."""

    def __init__(self) -> None:
        self.segments: list[int] = []
        self.fails_at: int | None = None

    def __call__(self, source: Path, task: UpscaleTask, out: Path, **kwargs: Any) -> Any:
        number = int(out.stem.removeprefix("segment-"))
        self.segments.append(number)
        if number == self.fails_at:
            raise InternalError("The machine went away.")
        return upscale(source, task, out, **kwargs)

    @property
    def media(self) -> MediaTools:
        return MediaTools(upscale=self)


def test_only_what_is_not_done_is_done_again(clip: Clips, store: S3ObjectStore, bucket: str, settings: Settings) -> None:
    key = upload(clip("exact_grid"), store, bucket, "again/clip.mp4")
    request = SuperResolutionRequest(bucket=bucket, key=key, segment_time=1)
    engine = CountingEngine()
    engine.fails_at = 1
    results = run_all(request, store, settings, engine.media)
    assert {unit for unit, result in results.items() if result.status == "failed"} == {"segment-00001", "merge"}
    assert store.head(bucket, request.destination_key) is None

    engine.fails_at, engine.segments = None, []
    results = run_all(request, store, settings, engine.media)
    assert engine.segments == [1]
    assert results["merge"].status == "done"

    # All is published, its parts are gone: nothing needs them.
    engine.segments = []
    results = run_all(request.model_copy(update={"client": "another"}), store, settings, engine.media)
    assert engine.segments == []
    assert all(result.reused for result in results.values())

    store.delete(bucket, request.destination_key)
    assert run_all(request, store, settings, engine.media)["merge"].status == "done"
    assert engine.segments == [0, 1, 2]


def elsewhere(settings: Settings, name: str) -> Settings:
    """Return the settings of another machine: the one that a job was done on has the segments' files still."""
    return settings.model_copy(update={"cache_dir": settings.cache_dir / name})


def test_another_cut_of_a_film_that_is_published_is_merged_though_a_segment_is_what_it_was(
    store: S3ObjectStore, bucket: str, settings: Settings, tmp_path: Path
) -> None:
    keyframes = ("-c:v", "libx264", "-preset", "ultrafast", "-sc_threshold", "0", "-force_key_frames", "0,2,3")
    source = make(tmp_path / "clip.mp4", *numbers(100), *keyframes)
    key = upload(source, store, bucket, "cut/clip.mp4")
    engine = CountingEngine()
    fingerprints = []
    for seconds in (1, 2):
        request = SuperResolutionRequest(bucket=bucket, key=key, segment_time=seconds)
        results = run_all(request, store, elsewhere(settings, str(seconds)), engine.media)
        assert results["merge"].error is None
        fingerprints.append(results["segment-00000"].fingerprint)
    assert fingerprints[0] == fingerprints[1]
    assert engine.segments == [0, 1, 2, 0, 1]


def test_naming_the_model_that_a_film_was_made_with_is_no_reason_to_make_it_again(
    clip: Clips, store: S3ObjectStore, bucket: str, settings: Settings
) -> None:
    key = upload(clip("two_frames"), store, bucket, "model/clip.mp4")
    engine = CountingEngine()
    for model in (None, "fast"):
        request = SuperResolutionRequest(bucket=bucket, key=key, model=model)
        results = run_all(request, store, elsewhere(settings, str(model)), engine.media)
        assert [result.error for result in results.values() if result.error] == []
        assert results["merge"].metrics["wanted"] == {"model": "fast", "debug": False}
    assert all(result.reused for result in results.values())
    assert engine.segments == [0]


def test_debug_publishes_what_it_made_on_the_way_even_after_the_output_is_there(
    clip: Clips, store: S3ObjectStore, bucket: str, settings: Settings
) -> None:
    key = upload(clip("single_keyframe"), store, bucket, "debug/clip.mp4")
    engine = CountingEngine()
    for task in ("inference", "debug"):
        request = SuperResolutionRequest(bucket=bucket, key=key, task=task)
        results = run_all(request, store, settings, engine.media)
        assert results["merge"].status == "done", results["merge"].error
    assert engine.segments == [0, 0]
    names = [ref.key.removeprefix(request.debug_folder) for ref in store.list(bucket, request.debug_folder)]
    assert names == [
        "logs/merge.log",
        "logs/segment-00000.log",
        "logs/split.log",
        "manifest.json",
        "report.json",
        "segments/segment-00000.nut",
        "upscaled/segment-00000.mp4",
    ]
    report = json.loads(store.get_bytes(bucket, f"{request.debug_folder}report.json"))
    assert report["verification"]["frames"] == 250
    assert b"ffmpeg" in store.get_bytes(bucket, f"{request.debug_folder}logs/split.log")


@pytest.mark.parametrize(
    ("name", "key", "fields", "changes", "error"),
    [
        ("avi", "x/a.avi", {}, {}, "InputNotSupported"),
        ("vp9", "x/a.mp4", {}, {}, None),
        ("plain", "x/a.webm", {}, {}, "InputNotSupported"),
        ("ten_bit", "x/a.webm", {}, {}, "InputNotSupported"),
        ("truncated", "x/b.mp4", {}, {}, "InvalidInputData"),
        ("audio_only", "x/c.mp4", {}, {}, "InvalidInputData"),
        ("plain", "x/d.mp4", {"scale": 4}, {"sr_max_output_pixels": 128 * 72 * 16 - 1}, "LimitExceeded"),
        ("one_frame", "x/e.mp4", {"scale": 4}, {"sr_max_output_pixels": 128 * 72 * 16}, None),
    ],
    ids=[
        "avi",
        "opus in mp4",
        "aac in webm",
        "ten bits in webm",
        "truncated",
        "no video",
        "too large",
        "just as large as allowed",
    ],
)
def test_what_cannot_end_well_fails_at_the_split(
    name: str,
    key: str,
    fields: dict[str, Any],
    changes: dict[str, Any],
    error: str | None,
    clip: Clips,
    store: S3ObjectStore,
    bucket: str,
    settings: Settings,
) -> None:
    upload(clip(name), store, bucket, key)
    request = SuperResolutionRequest(bucket=bucket, key=key, **fields)
    result = execute(split_unit(request), store=store, settings=settings.model_copy(update=changes))
    assert (result.error or {}).get("code") == error, result.error


def test_a_source_that_is_replaced_in_the_middle_publishes_nothing(
    clip: Clips, store: S3ObjectStore, bucket: str, settings: Settings
) -> None:
    key = upload(clip("one_frame"), store, bucket, "replaced/clip.mp4")
    request = SuperResolutionRequest(bucket=bucket, key=key)
    job = Job.of(store, settings, request)
    for unit in (split_unit(request), job.unit_uri("segment-00000")):
        assert execute(unit, store=store, settings=settings).status == "done"
    upload(clip("two_frames"), store, bucket, key)
    result = execute(job.unit_uri("merge"), store=store, settings=settings)
    assert (result.error or {}).get("code") == "InvalidInputData"
    assert store.head(bucket, request.destination_key) is None
    assert run_all(request, store, settings)["merge"].metrics["frames"] == 2


def test_a_split_takes_no_other_version_of_a_dropped_object_than_its_run_was_started_for(
    store: S3ObjectStore, bucket: str, settings: Settings
) -> None:
    request = SuperResolutionRequest(bucket=bucket, key="dropped/clip.mp4", client="ingest")
    store.put_bytes(bucket, request.key, b"another version")
    note = {"bucket": bucket, "key": request.key, "etag": "0" * 32, "claim_id": "0" * 32}
    store.put_bytes(bucket, Job.of(store, settings, request).ingest_key, json.dumps(note).encode())
    result = execute(split_unit(request), store=store, settings=settings, emit=lambda event: None, media=MediaTools())
    assert result.error is not None
    assert (result.error["code"], result.error["retryable"]) == ("NotFound", False)
    assert "was replaced meanwhile" in result.error["message"]


def test_a_segment_fetches_and_then_waits_until_the_machine_has_a_place(
    clip: Clips, store: S3ObjectStore, bucket: str, settings: Settings
) -> None:
    request = SuperResolutionRequest(bucket=bucket, key=upload(clip("short"), store, bucket, "slots/a.mp4"))
    split = execute(split_unit(request), store=store, settings=settings)
    uri = Job.of(store, settings, request).unit_uri(split.units[0].id)
    cancelled, events = threading.Event(), []

    def emit(event: dict[str, Any]) -> None:
        events.append(event)
        if event.get("phase") == "wait":
            cancelled.set()

    with slot(settings.cache_dir / "segment-slots", settings.sr_slots, pytest.fail):
        result = execute(uri, store=store, settings=settings, emit=emit, cancelled=cancelled)
    assert result.error is not None
    assert result.error["code"] == "Cancelled"
    assert set(result.metrics["phases"]) == {"fetch", "wait"}
