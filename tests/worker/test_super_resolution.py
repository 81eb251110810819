"""Super-resolution units with the real engine, on tiny pictures: whatever the source is, everything but its size is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.ffmpeg_ops.probe import probe
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from include.worker.execute import execute
from include.worker.job import Job, split_unit
from include.worker.models import SuperResolutionRequest, UnitResult
from tests.conftest import Clips
from tests.media import read_frame_numbers

FORMATS = [
    "mkv",
    "mpegts",
    "vfr",
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
]


def run_all(request: SuperResolutionRequest, store: S3ObjectStore, settings: Settings) -> dict[str, UnitResult]:
    """Run every unit of a job, one after the other; return the results by unit id."""
    results = {"split": execute(split_unit(request), store=store, settings=settings)}
    job = Job.of(store, settings, request)
    for unit_id in [*(unit.id for unit in results["split"].units), "merge"]:
        if results["split"].status == "done":
            results[unit_id] = execute(job.unit_uri(unit_id), store=store, settings=settings)
    return results


def upload(path: Path, store: S3ObjectStore, bucket: str, key: str) -> str:
    store.upload(path, bucket, key)
    return key


@pytest.mark.parametrize("name", FORMATS)
def test_every_frame_and_its_time_and_all_other_streams_are_kept(
    name: str, clip: Clips, store: S3ObjectStore, bucket: str, settings: Settings, tmp_path: Path
) -> None:
    source = clip(name)
    key = upload(source, store, bucket, f"{name}/a b{source.suffix}")
    request = SuperResolutionRequest(bucket=bucket, key=key, segment_time=1.5)
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
