"""Each error code of contract 3, provoked: real units, real sources, and what the API makes of their errors."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from include.media_api.task_errors import TaskError, task_error
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from tests.conftest import Clips
from tests.worker.file_tasks import FileTask, profile
from tests.worker.live import LiveTask, settings_for_live


@pytest.fixture
def put(store: S3ObjectStore, bucket: str, clip: Clips) -> Any:
    """Upload a clip, or some bytes, and return its address."""

    def put(what: str | bytes) -> str:
        key = "src/made.mp4" if isinstance(what, bytes) else f"src/{clip(what).name}"
        if isinstance(what, bytes):
            store.put_bytes(bucket, key, what)
        else:
            store.upload(clip(what), bucket, key)
        return f"s3://{bucket}/{key}"

    return put


def failed(task: FileTask | LiveTask) -> TaskError:
    if isinstance(task, FileTask):
        return task_error(task.error())
    result = task.run()
    assert result.status == "failed"
    return task_error(result.error)


@pytest.mark.parametrize("name", ["out.m3u8", "in.mp4"])
def test_parameter_error(store: S3ObjectStore, settings: Settings, put: Any, name: str) -> None:
    """The API refuses these at once; a task that was written by something else fails."""
    task = FileTask(store, settings, profile(), put("short"), (name,))
    if name == "in.mp4":
        task.source = f"s3://{settings.bucket}/{task.folder}{name}"
    assert failed(task).code == "ParameterError"


@pytest.mark.parametrize(
    "content",
    [
        b"this is no video" * 100,
        b"#EXTM3U\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    ],
    ids=["text", "playlist", "list of files"],
)
def test_input_not_supported(store: S3ObjectStore, settings: Settings, put: Any, content: bytes) -> None:
    error = failed(FileTask(store, settings, profile(), put(content)))
    assert error.code == "InputNotSupported"
    assert "passwd" not in error.message


def test_output_not_supported(store: S3ObjectStore, settings: Settings, put: Any) -> None:
    """What a copy comes to is known when the source is."""
    error = failed(FileTask(store, settings, profile(container="flv", format="copy", preset="default"), put("closed_gop_265")))
    assert error.code == "OutputNotSupported"
    assert "hevc" in error.message


@pytest.mark.parametrize("what", [b"", "truncated", "audio_only"], ids=str)
def test_invalid_input_data(store: S3ObjectStore, settings: Settings, put: Any, what: Any) -> None:
    assert failed(FileTask(store, settings, profile(), put(what))).code == "InvalidInputData"


def test_invalid_input_data_for_what_is_not_there(store: S3ObjectStore, settings: Settings) -> None:
    assert failed(FileTask(store, settings, profile(), f"s3://{settings.bucket}/src/missing.mp4")).code == "InvalidInputData"


def test_internal_error(store: S3ObjectStore, settings: Settings, put: Any) -> None:
    broken = settings.model_copy(update={"ffprobe": "/nonexistent/ffprobe"})
    error = failed(FileTask(store, broken, profile(), put("short")))
    assert (error.code, error.retryable) == ("InternalError", True)
    assert "/nonexistent" not in error.message


def test_time_out(store: S3ObjectStore, settings: Settings, put: Any) -> None:
    """A file is relayed as fast as it plays, so it outlasts a deadline of a second."""
    impatient = settings_for_live(settings, live_seconds=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        target = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        assert failed(LiveTask(store, impatient, put("plain"), (target,))).code == "TimeOut"


def test_unknown(store: S3ObjectStore, settings: Settings, put: Any) -> None:
    """A target that was lost for good is none of the contract's six others; the message names it, without its key."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        target = f"rtmp://127.0.0.1:{closed.getsockname()[1]}/app/secret-key"
        error = failed(LiveTask(store, settings_for_live(settings, live_reconnect_seconds=0.5), put("plain"), (target,)))
    assert error.code == "Unknown"
    assert "rtmp://127.0.0.1" in error.message
    assert "secret-key" not in error.message
