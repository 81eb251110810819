"""Work units in our containers: real ffmpeg and networks, a real S3 server outside, containers that are stopped and killed."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from include.worker.job import Job, plan_unit, split_unit
from include.worker.models import SuperResolutionRequest, TranscodeRequest, UnitResult
from tests.conftest import Clips
from tests.containers.engine import Container, docker, image_exists, start
from tests.servers import S3Server

pytestmark = pytest.mark.docker

# How an image is used where nothing may be written but in one place.
READ_ONLY = ("--read-only", "--tmpfs", "/var/cache/reelflow", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


class Shop:
    """Runs the units of one job in containers of one image."""

    def __init__(self, store: S3ObjectStore, server: S3Server, job: Job, **environ: str) -> None:
        self.store, self.job = store, job
        self.environ = {**server.environ, "MEDIA_BUCKET": server.bucket, "MEDIA_X264_PRESET": "ultrafast", **environ}

    def start(self, name: str, unit_id: str, *options: str, **environ: str) -> Container:
        """Return a container that runs a unit."""
        return start(name, "run", self.job.unit_uri(unit_id), environ=self.environ | environ, options=options)

    def run(self, name: str, unit_id: str, *options: str, **environ: str) -> UnitResult:
        """Run a unit to its end and return its result, which must be good."""
        with self.start(name, unit_id, *options, **environ) as container:
            code = docker("wait", container.id, seconds=900).stdout.strip()
            assert code == "0", container.log
            return UnitResult.model_validate(json.loads(container.output.splitlines()[-1])["result"])

    def files(self) -> list[str]:
        """Keys of all files that units have made."""
        return [ref.key for ref in self.store.list(self.job.bucket, self.job.chunks_prefix)]


@pytest.fixture(autouse=True)
def _built() -> None:
    if not image_exists("worker-cpu"):
        pytest.skip("worker-cpu was not built on this machine")


@pytest.fixture
def transcode(clip: Clips, s3: S3Server, store: S3ObjectStore) -> Callable[..., Shop]:
    """A function that uploads a clip and returns the shop of its transcode, planned in a container."""

    def begin(name: str, **environ: str) -> Shop:
        ref = store.upload(clip(name), s3.bucket, f"in/{name}.mp4")
        folder = f"out/{uuid.uuid4().hex}/"
        request = TranscodeRequest(bucket=s3.bucket, source_key=ref.key, folder=folder, name=name)
        job = Job.of(store, Settings(bucket=s3.bucket), request)
        job.write_unit(plan_unit(request))
        shop = Shop(store, s3, job, **environ)
        shop.run("worker-cpu", "plan")
        return shop

    return begin


def test_a_video_is_transcoded_by_containers_alone(transcode: Callable[..., Shop]) -> None:
    shop = transcode("plain", MEDIA_CHUNK_SECONDS="5")
    plan = shop.job.read_result("plan")
    assert plan is not None
    for unit in plan.units:
        result = shop.run("worker-cpu", unit.id, *READ_ONLY)
        assert result.outputs
    assert shop.run("worker-cpu", "finish", *READ_ONLY).status == "done"


def test_a_unit_that_is_done_is_not_done_again_by_another_container(transcode: Callable[..., Shop]) -> None:
    shop = transcode("short")
    unit = _video(shop)
    assert not shop.run("worker-cpu", unit).reused
    assert shop.run("worker-cpu", unit).reused


def test_a_stopped_container_ends_cleanly_and_the_unit_can_be_run_again(transcode: Callable[..., Shop]) -> None:
    shop = transcode("content720", MEDIA_CHUNK_SECONDS="600", MEDIA_X264_PRESET="veryslow")
    unit = _video(shop)
    with shop.start("worker-cpu", unit, *READ_ONLY) as container:
        _wait(lambda: '"phase": "encode"' in container.output, container)
        began = time.monotonic()
        assert container.stop(30) == 12, container.log
        assert time.monotonic() - began < 20
    result = shop.job.read_result(unit)
    assert result is not None
    assert result.status == "failed"
    assert result.error is not None
    assert (result.error["code"], result.outputs) == ("Cancelled", ())
    assert shop.files() == []
    assert shop.run("worker-cpu", unit).status == "done"


def test_a_container_stopped_while_python_starts_ends_at_once(transcode: Callable[..., Shop]) -> None:
    shop = transcode("short")
    with shop.start("worker-cpu", _video(shop)) as container:
        began = time.monotonic()
        # 143: before Python listens, when nothing is begun; 12: just after.
        assert container.stop(30) in {12, 143}
        assert time.monotonic() - began < 10
    assert shop.files() == []


def test_a_killed_container_leaves_nothing_that_is_in_the_way(transcode: Callable[..., Shop]) -> None:
    shop = transcode("content720", MEDIA_CHUNK_SECONDS="600", MEDIA_X264_PRESET="veryslow")
    unit = _video(shop)
    # One machine, one cache: what the killed one held there must not hold up the next.
    volume = docker("volume", "create").stdout.strip()
    mount = ("--volume", f"{volume}:/var/cache/reelflow")
    try:
        with shop.start("worker-cpu", unit, *mount) as container:
            _wait(lambda: '"phase": "encode"' in container.output, container)
            docker("kill", container.id)
            assert docker("wait", container.id).stdout.strip() == "137"
        assert shop.job.read_result(unit) is None
        assert shop.run("worker-cpu", unit, *mount).status == "done"
    finally:
        docker("volume", "rm", volume)


@pytest.fixture
def upscale(s3: S3Server, store: S3ObjectStore, tools: tuple[str, str], tmp_path: Path) -> Callable[[str], tuple[Shop, str]]:
    """A function that returns the shop of a super-resolution in a folder, split in a container, and its only segment."""

    def begin(folder: str) -> tuple[Shop, str]:
        # Large enough for the tiles that Neuron's networks are compiled for.
        source = tmp_path / "wide.mp4"
        picture = ["-f", "lavfi", "-i", "testsrc2=s=256x200:r=25", "-frames:v", "12"]
        subprocess.run([tools[0], "-v", "error", *picture, source], check=True)
        ref = store.upload(source, s3.bucket, f"in/{folder}/wide.mp4")
        request = SuperResolutionRequest(bucket=s3.bucket, key=ref.key, model="fast")
        job = Job.of(store, Settings(bucket=s3.bucket), request)
        job.write_unit(split_unit(request))
        shop = Shop(store, s3, job)
        (unit,) = shop.run("worker-cpu", "split").units
        return shop, unit.id

    return begin


# Without a device stand-ins of Neuron's packages compute, through the same compiled tiles, and CUDA's PyTorch on the processor.
@pytest.mark.parametrize(
    ("name", "backend"),
    [("worker-cpu", "openvino"), ("worker-cuda", "torch"), ("worker-inf1", "neuron"), ("worker-inf2", "neuronx")],
)
def test_a_segment_is_upscaled_where_nothing_else_may_be_written(
    name: str, backend: str, upscale: Callable[[str], tuple[Shop, str]], s3: S3Server, store: S3ObjectStore
) -> None:
    if not image_exists(name):
        pytest.skip(f"{name} was not built on this machine")
    shop, unit = upscale(name)
    environ = {"MEDIA_SR_BACKEND": "torch"} if backend == "torch" else {}
    made = shop.run(name, unit, *READ_ONLY, **environ)
    assert made.metrics["backend"].split()[0] == backend
    assert shop.run("worker-cpu", "merge").status == "done"
    assert store.head(s3.bucket, f"in/{name}/wide_x2.mp4") is not None


def test_the_image_for_gpus_says_where_there_is_none(upscale: Callable[[str], tuple[Shop, str]]) -> None:
    if not image_exists("worker-cuda"):
        pytest.skip("worker-cuda was not built on this machine")
    shop, unit = upscale("no-gpu")
    with shop.start("worker-cuda", unit, *READ_ONLY) as container:
        assert docker("wait", container.id).stdout.strip() != "0"
    result = shop.job.read_result(unit)
    assert result is not None
    assert result.error is not None
    assert result.error["message"] == "The backend cuda finds no device that PyTorch can use."


def _video(shop: Shop) -> str:
    plan = shop.job.read_result("plan")
    assert plan is not None
    return next(unit.id for unit in plan.units if unit.id.startswith("video"))


def _wait(ready: Callable[[], bool], container: Container, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, container.log
        assert container.running, container.log
        time.sleep(0.2)
