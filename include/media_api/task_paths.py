"""Paths of contract 3, and what its routes have in common."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

__all__ = ["PROFILE", "PROFILES", "TASKS", "Failure", "Version", "answers"]

BASE = "/api/v{version}"
TASKS = BASE + "/task/transcoding"
PROFILES = BASE + "/profiles"
PROFILE = BASE + "/profile"


class Failure(BaseModel):
    """Every answer but 200."""

    code: str = Field(description="What is wrong, for programs.", examples=["InvalidParameterException"])
    message: str = Field(description="What is wrong, where, and what to do.", examples=["targets: is required"])


class Version:
    """The version in the path: any number means the same."""

    def __init__(
        self,
        version: Annotated[str, Path(description="Any number.", examples=["1"], json_schema_extra={"pattern": "^[0-9]{1,100}$"})],
    ) -> None:
        # Not a pattern of FastAPI's: that would be a wrong parameter, and this is a path which does not exist.
        if re.fullmatch("[0-9]+", version) is None:
            raise HTTPException(404, "Not Found")


_DESCRIPTIONS = {
    400: "A field is wrong, or what is asked for cannot be done: `message` tells.",
    401: "The signature is missing, wrong, too old, or was used before.",
    404: "There is no such task or profile of this client; or the version is no number.",
    413: "The body is larger than 1 MiB.",
    500: "Our fault; `message` has an id that the log has, too.",
    503: "The object store or a table does not answer; try again.",
}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route that can also answer ``statuses``."""
    wanted = sorted({401, 404, 500, 503, *statuses})
    return {status: {"model": Failure, "description": _DESCRIPTIONS[status]} for status in wanted}
