from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from include.errors import ParameterError
from include.ingest.parameters import MOST_BYTES, Parameters, Sidecar, request_for
from include.media_store.inbox import Looked
from include.media_store.models import ObjectRef
from include.settings import Settings
from include.worker.requests import SuperResolutionRequest, TranscodeRequest

SETTINGS = Settings(bucket="media", webhook_secrets="ingest:whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)


def made(
    kind: str, content: Any = None, *, key: str = "news/clip.mp4", metadata: dict[str, str] | None = None,
    tags: dict[str, str] | None = None, settings: Settings = SETTINGS,
) -> Parameters:  # fmt: skip
    key = f"incoming/{kind}/{key}"
    looked = Looked(ObjectRef(bucket="media", key=key, etag="e", size=9), NOW, 99.0, metadata or {}, tags or {})
    sidecar = None
    if content is not None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        sidecar = Sidecar(ObjectRef(bucket="media", key=f"{key}.json", etag="s", size=len(data)), NOW, data)
    return request_for(settings, kind, looked, sidecar, "0123456789ab")


def test_an_object_alone_has_an_output_that_its_version_names() -> None:
    transcode = made("transcode").request
    assert isinstance(transcode, TranscodeRequest)
    assert transcode.destination_key == "published/news/clip_0123456789ab/clip.m3u8"
    assert transcode.client == "ingest"
    upscale = made("super_resolution").request
    assert isinstance(upscale, SuperResolutionRequest)
    assert upscale.destination_key == "published/news/clip_0123456789ab/clip_x2.mp4"
    assert upscale.debug_folder.startswith("published/")


def test_a_sidecar_sets_what_a_body_sets() -> None:
    body = {"type": "mp4", "dst": "out/", "time": "v1", "contentprovider": "publicspace", "v_bitrate": "2700000", "v_height": 720}
    request = made("transcode", body).request
    assert (request.destination_key, request.source_bit_rate, request.source_height, request.content_provider) == (
        "out/clip_v1/clip.mp4", 2_700_000, 720, "publicspace",
    )  # fmt: skip
    request = made("super_resolution", {"scale": "4", "output_folder": "out/", "ladder": "m3u8", "segment_time": 5}).request
    assert (request.destination_key, request.segment_time) == ("out/clip_x4.mp4", 5)
    assert request.ladder_request.folder == "out/clip_x4/"


def test_a_sidecar_goes_before_tags_and_tags_before_metadata() -> None:
    metadata = {"reelflow-time": "m", "reelflow-type": "mp4", "reelflow-v-height": "480", "owner": "somebody"}
    tags = {"reelflow:time": "t", "reelflow:contentprovider": "tags", "reelflow:state": "done", "team": "news"}
    request = made("transcode", {"time": "s"}, metadata=metadata, tags=tags).request
    assert (request.folder, request.container) == ("published/news/clip_s/", "mp4")
    assert (request.content_provider, request.source_height) == ("tags", 480)
    assert made("transcode", metadata=metadata, tags=tags).request.folder == "published/news/clip_t/"


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("transcode", {"type": "avi", "time": "a b", "nonsense": 1}, ["type: ", "time: ", "nonsense: "]),
        ("transcode", {"bucket": "x", "src": "y", "v_height": 7}, ["bucket: ", "src: ", "v_height: "]),
        ("transcode", {"testflag": "test"}, ["testflag: "]),
        ("transcode", {"state": "done"}, ["state: "]),
        ("transcode", {"dst": "no-slash"}, ["dst: must be a folder"]),
        ("transcode", {"dst": "../up/"}, ["dst: "]),
        ("super_resolution", {"scale": 3, "segment_time": "soon", "type": "mp4"}, ["scale: ", "segment_time: ", "type: "]),
        ("super_resolution", {"key": "other.mp4", "bucket": "x"}, ["key: ", "bucket: "]),
        ("super_resolution", {"output_folder": "../up/"}, ["output_folder: "]),
        ("transcode", b'{"type": "mp4",}', ["clip.mp4.json is not JSON", "line 1"]),
        ("transcode", b"\xff\xfe", ["is not JSON in UTF-8"]),
        ("transcode", b"[1]", ["no JSON object"]),
        ("transcode", b"[" * 100_000, ["more than the"]),
        ("transcode", b"[" * (MOST_BYTES - 1), ["is not JSON"]),
    ],
)  # fmt: skip
def test_every_wrong_field_is_named(kind: str, content: Any, words: list[str]) -> None:
    with pytest.raises(ParameterError) as refused:
        made(kind, content)
    assert [word for word in words if word not in refused.value.message] == []


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("transcode", {"dst": "incoming/transcode/again/", "type": "mp4"}),
        ("transcode", {"dst": "incoming/super_resolution/", "type": "mp4"}),
        ("transcode", {"dst": "_reelflow/"}),
        ("super_resolution", {"output_folder": "incoming/super_resolution/news/"}),
    ],
)
def test_an_output_never_lands_where_it_would_be_taken_in_again(kind: str, content: dict[str, str]) -> None:
    with pytest.raises(ParameterError, match="a folder that is watched"):
        made(kind, content)


def test_a_sidecar_may_begin_with_the_mark_of_windows_editors() -> None:
    assert made("transcode", b'\xef\xbb\xbf{"type": "mp4"}').request.container == "mp4"


def test_a_callback_is_checked_and_kept_out_of_the_conf() -> None:
    found = made("transcode", {"callback_url": "https://ott.example/x?token=secret"})
    assert found.callback is not None
    assert (found.callback.client, found.callback.about["src"]) == ("ingest", "incoming/transcode/news/clip.mp4")
    assert "secret" not in found.request.model_dump_json()
    with pytest.raises(ParameterError, match="MEDIA_WEBHOOK_SECRETS"):
        made("transcode", {"callback_url": "https://ott.example/x"}, settings=Settings(bucket="media"))
    with pytest.raises(ParameterError, match="callback_url"):
        made("super_resolution", {"callback_url": "http://169.254.169.254/"})


def test_names_that_are_too_long_for_their_outputs_are_refused() -> None:
    with pytest.raises(ParameterError, match="too long"):
        made("transcode", key=f"{'n' * 250}.mp4")
    with pytest.raises(ParameterError, match="too long"):
        made("super_resolution", key=f"{'n' * 250}.mp4")
