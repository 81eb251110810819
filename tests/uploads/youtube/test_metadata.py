from __future__ import annotations

from typing import Any

import pytest

from include.errors import ParameterError
from include.uploads.youtube.metadata import check_metadata, video_resource


@pytest.mark.parametrize(
    ("field", "metadata"),
    [
        ("title", {"title": " "}),
        ("title", {"title": "x" * 101}),
        ("title", {"title": "<b>"}),
        ("description", {"description": "é" * 2501}),
        ("tags", {"tags": ["x" * 250, "y" * 250]}),
        ("tags", {"tags": ["x" * 497 + " y"]}),
        ("tags", {"tags": [""]}),
        ("privacy", {"privacy": "secret"}),
    ],
)
def test_what_youtube_would_refuse_is_named(field: str, metadata: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=field):
        check_metadata(**{"title": "A film", **metadata})


def test_what_just_fits_is_taken() -> None:
    check_metadata("é" * 100, "é" * 2500, ["x" * 249, "y" * 250], "public")


def test_a_video_is_private_unless_told_otherwise() -> None:
    assert video_resource("A film") == {
        "snippet": {"title": "A film", "description": ""},
        "status": {"privacyStatus": "private"},
    }
