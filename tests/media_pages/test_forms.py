"""The forms say of a field what the API says, which reads their bodies with the same models."""

from __future__ import annotations

from fastapi.testclient import TestClient

from include.media_pages.forms import forms
from include.settings import Settings


def test_the_forms_are_the_apis_own_models(ada: TestClient) -> None:
    answer = ada.get("/media/data/forms").json()
    bodies = ada.get("/media/prod/openapi.json").json()["paths"]
    for path, name in (("/videoTranscode", "video_transcode"), ("/", "super_resolution")):
        schema = bodies[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert set(answer[name]["properties"]) == set(schema["properties"])
        assert answer[name].get("required") == schema.get("required")


def test_buckets_that_may_be_named_are_offered() -> None:
    several = Settings(_env_file=None, bucket="media", buckets=("archive", "media"))  # type: ignore[call-arg]
    assert forms(several)["video_transcode"]["properties"]["bucket"]["examples"] == ["media", "archive"]
    others = Settings(_env_file=None, bucket="media", buckets=("archive",))  # type: ignore[call-arg]
    assert forms(others)["video_transcode"]["properties"]["bucket"]["default"] == "archive"
