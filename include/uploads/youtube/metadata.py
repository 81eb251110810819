"""What a video is called on YouTube, and YouTube's bounds of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from include.errors import ParameterError
from include.uploads.models import Privacy

__all__ = ["TAGS_CHARACTERS", "check_metadata", "video_resource"]

TITLE_CHARACTERS = 100
DESCRIPTION_BYTES = 5000
TAGS_CHARACTERS = 500


def check_metadata(title: str, description: str = "", tags: Sequence[str] = (), privacy: str = "private") -> None:
    """Raise ``ParameterError``, which names the field, for what YouTube would refuse after the first bytes have come.

    The bounds are those of https://developers.google.com/youtube/v3/docs/videos#resource.
    """
    if not title.strip() or len(title) > TITLE_CHARACTERS:
        raise ParameterError(f"title must have 1 to {TITLE_CHARACTERS} characters for YouTube; it has {len(title)}.")
    if (size := len(description.encode())) > DESCRIPTION_BYTES:
        raise ParameterError(f"description must have at most {DESCRIPTION_BYTES} bytes for YouTube; it has {size}.")
    for name, text in (("title", title), ("description", description), ("tags", "".join(tags))):
        if set(text) & set("<>"):
            raise ParameterError(f"{name} must not hold < or >, which YouTube refuses.")
    # A tag with a space counts with quotation marks around it, and the commas between tags count, too.
    count = sum(len(tag) + 2 * (" " in tag) for tag in tags) + max(0, len(tags) - 1)
    if count > TAGS_CHARACTERS or not all(tag.strip() for tag in tags):
        raise ParameterError(f"tags must not be empty and have at most {TAGS_CHARACTERS} characters together; they have {count}.")
    if privacy not in get_args(Privacy):
        raise ParameterError(f"privacy must be one of {', '.join(get_args(Privacy))}.")


def video_resource(title: str, description: str = "", tags: Sequence[str] = (), privacy: str = "private") -> dict[str, Any]:
    """Return the parts ``snippet`` and ``status`` of a new video."""
    snippet: dict[str, Any] = {"title": title, "description": description}
    if tags:
        snippet["tags"] = list(tags)
    return {"snippet": snippet, "status": {"privacyStatus": privacy}}
