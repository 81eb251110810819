from __future__ import annotations

import pytest

from include.errors import InputNotSupported, InvalidInputData, LimitExceeded
from include.ingest.candidates import check_object, is_candidate, kind_of, sidecar_keys
from include.settings import Settings

SETTINGS = Settings(bucket="media")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("incoming/transcode/clip.mp4", "transcode"),
        ("incoming/transcode/a/b/clip.mp4", "transcode"),
        ("incoming/super_resolution/clip.mp4", "super_resolution"),
        ("incoming/clip.mp4", None),
        ("published/clip.mp4", None),
        ("_reelflow/jobs/1/chunks/clip.mp4", None),
        ("uploads/atom/1/full", None),
        ("finished/incoming/transcode/clip.mp4", None),
    ],
)
def test_folders_tell_what_is_made_of_an_object(key: str, kind: str | None) -> None:
    assert kind_of(SETTINGS, "media", key) == kind
    assert is_candidate(SETTINGS, "media", key) == (kind is not None)
    assert kind_of(SETTINGS, "another-bucket", key) is None


@pytest.mark.parametrize(
    "name",
    [
        "folder/", "clip.mp4.part", "clip.mp4.filepart", "clip.mp4.crdownload", "clip.mp4.1a2b3c4d.partial", "clip.TMP",
        "clip.mp4~", ".clip.mp4.Xy12", ".hidden/clip.mp4", "~$clip.mp4", "folder_$folder$",
        "clip.mp4.json", "clip.json", "clip.mp4.error.json",
    ],
)  # fmt: skip
def test_what_is_in_the_making_or_belongs_to_an_object_is_none(name: str) -> None:
    assert not is_candidate(SETTINGS, "media", f"incoming/transcode/{name}")


@pytest.mark.parametrize("name", ["clip.mp4", "CLIP.MP4", "a b#c/片.mp4", "notes.txt", "clip", "part.mp4", "tmp/clip.mp4"])
def test_all_else_is_dealt_with_be_it_by_a_refusal(name: str) -> None:
    assert is_candidate(SETTINGS, "media", f"incoming/transcode/{name}")


def test_a_sidecar_is_named_as_the_object_or_as_its_stem() -> None:
    assert sidecar_keys("a/clip.mp4") == ("a/clip.mp4.json", "a/clip.json")


@pytest.mark.parametrize(
    ("kind", "name", "size", "error"),
    [
        ("transcode", "clip.mov", 1, InputNotSupported),
        ("transcode", "clip", 1, InputNotSupported),
        ("transcode", "clip.mp4", 0, InvalidInputData),
        ("transcode", "clip.mp4", 11, LimitExceeded),
        ("super_resolution", "clip.avi", 1, InputNotSupported),
        ("super_resolution", "notes.txt", 1, InputNotSupported),
        ("super_resolution", "clip.mkv", 0, InvalidInputData),
    ],
)
def test_a_wrong_name_or_size_is_named(kind: str, name: str, size: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"clip|notes|\*\.(avi|txt)"):
        check_object(Settings(max_source_bytes=10), kind, f"incoming/{kind}/{name}", size)


@pytest.mark.parametrize(
    "changes",
    [
        {"ingest_output": "incoming/transcode/out/"},
        {"ingest_output": "incoming/"},
        {"ingest_transcode_prefixes": "published/"},
        {"ingest_transcode_prefixes": "uploads/"},
        {"ingest_transcode_prefixes": "_reelflow/jobs/"},
        {"ingest_transcode_prefixes": "incoming/"},
        {"ingest_transcode_prefixes": "incoming/super_resolution/"},
        {"ingest_finished_folder": "incoming/super_resolution/done/"},
        {"ingest_transcode_prefixes": "incoming"},
        {"ingest_output": "/published/"},
    ],
)
def test_folders_that_would_feed_themselves_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"overlap|slash"):
        Settings(**changes)


def test_a_kind_without_folders_is_switched_off() -> None:
    assert Settings(ingest_transcode_prefixes="", ingest_sr_prefixes="").ingest_prefixes == ()
