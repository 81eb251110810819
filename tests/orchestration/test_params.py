"""UI forms from request models, and parameters read back."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import ParameterError
from include.orchestration.params import form, read
from include.worker.models import TranscodeRequest
from include.worker.video_transcode import VideoTranscodeRequest
from tests.orchestration.fakes import context_of

GOOD = {"bucket": "media", "source_key": "a.mp4", "folder": "out/", "name": "a"}


def test_a_form_has_every_field_with_its_description_choices_and_default() -> None:
    fields = form(TranscodeRequest, exclude={"client"})
    assert set(fields) == set(TranscodeRequest.model_fields) - {"client"}
    assert all(field.description for field in fields.values())
    assert fields["container"].schema["enum"] == ["hls", "mp4"]
    assert fields["container"].value == "hls"
    assert fields["damage_policy"].schema["enum"] == ["strict", "salvage", None]
    assert fields["source_bit_rate"].schema["type"] == ["integer", "null"]
    assert not fields["bucket"].has_value


@pytest.mark.parametrize("model", [TranscodeRequest, VideoTranscodeRequest], ids=lambda model: model.__name__)
def test_defaults_satisfy_their_own_schema(model: Any) -> None:
    for field in form(model).values():
        if field.has_value:
            field.resolve()


def test_empty_fields_of_the_form_are_left_out() -> None:
    assert read(TranscodeRequest, context_of(conf=GOOD | {"profile": "", "client": None})) == TranscodeRequest(**GOOD)


def test_every_wrong_field_is_named_and_no_value_is_repeated() -> None:
    with pytest.raises(ParameterError) as caught:
        read(TranscodeRequest, context_of(conf={"bucket": "media", "folder": "secret", "container": "avi", "nonsense": 1}))
    for name in ("source_key", "folder", "name", "container", "nonsense"):
        assert f"{name}: " in caught.value.message
    assert "secret" not in caught.value.message
