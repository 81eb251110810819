"""The arithmetic of the fleet's account, and its stand-in worker."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from include.errors import Cancelled
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from include.worker.execute import execute
from include.worker.job import Job, split_unit
from include.worker.models import SuperResolutionRequest
from scripts.fleet import Unit, ideal_seconds, measure, waited
from scripts.fleet_worker import fleet_tools
from tests.conftest import Clips


def test_the_ideal_is_that_of_slots_that_never_wait() -> None:
    assert ideal_seconds([3, 3, 3, 3, 3], 1) == 15
    assert ideal_seconds([3, 3, 3, 3, 3], 2) == 9
    assert ideal_seconds([3, 3, 3, 3, 3], 8) == 3
    assert ideal_seconds([5, 1, 1, 1], 2) == 5


def test_the_overhead_is_what_a_slot_loses_per_unit() -> None:
    # Two slots, four units of 3 s; each slot loses 0.5 s before a unit begins and 0.25 s within it.
    units = [Unit(queued=100.25, began=100.5, ended=103.75, slept=3), Unit(100.25, 100.5, 103.75, 3)]
    units += [Unit(queued=104, began=104.25, ended=107.5, slept=3), Unit(104, 104.25, 107.5, 3)]
    found = measure(units, slots=2, split_ended=100)
    assert (found.span, found.ideal) == (7.5, 6)
    assert found.overhead == pytest.approx(0.75)
    assert (found.start_of_unit, found.rest_of_unit) == (0.25, 0.25)


def test_the_second_runs_waiting_ends_with_its_first_unit() -> None:
    first = [Unit(0, began, began + 1, 1) for began in (1, 5, 6, 7, 9)]
    second = [Unit(6, 8, 9, 1), Unit(6, 9, 10, 1)]
    assert waited(first, second, since=5.5) == (2.5, 2)


def test_the_stand_in_sleeps_in_proportion_and_leaves_a_whole_job(
    clip: Clips, store: S3ObjectStore, bucket: str, tmp_path: Path
) -> None:
    settings = Settings(bucket=bucket, cache_dir=tmp_path / "cache", unit_slots=2)
    store.upload(clip("film"), bucket, "fleet/clip.mp4")
    request = SuperResolutionRequest(bucket=bucket, key="fleet/clip.mp4", segment_time=1)
    tools = fleet_tools(0.004)
    split = execute(split_unit(request), store=store, settings=settings, media=tools)
    job = Job.of(store, settings, request)
    results = [execute(job.unit_uri(unit.id), store=store, settings=settings, media=tools) for unit in split.units]
    assert len(results) > 1
    for result in results:
        assert result.error is None
        slept = result.metrics["stages"]["wall"]
        assert result.metrics["frames"] * 0.004 <= slept < result.metrics["frames"] * 0.004 + 0.5
    assert execute(job.unit_uri("merge"), store=store, settings=settings, media=tools).error is None


def test_the_stand_in_can_be_stopped(clip: Clips, store: S3ObjectStore, bucket: str, tmp_path: Path) -> None:
    settings = Settings(bucket=bucket, cache_dir=tmp_path / "cache", unit_slots=2)
    store.upload(clip("film"), bucket, "fleet/stop.mp4")
    request = SuperResolutionRequest(bucket=bucket, key="fleet/stop.mp4")
    tools = fleet_tools(100)
    split = execute(split_unit(request), store=store, settings=settings, media=tools)
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    job = Job.of(store, settings, request)
    result = execute(job.unit_uri(split.units[0].id), store=store, settings=settings, media=tools, cancelled=cancelled)
    assert result.error is not None
    assert result.error["code"] == Cancelled.code
