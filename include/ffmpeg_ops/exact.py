"""What every model of media work is made of: documents that never change, and numbers that are never rounded."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

__all__ = ["Frozen", "Rational"]


def _to_fraction(value: Any) -> Any:
    # ffprobe writes 30000/1001 and, for aspect ratios, 4:3.
    return Fraction(value.replace(":", "/")) if isinstance(value, str) else value


Rational = Annotated[
    Fraction,
    BeforeValidator(_to_fraction),
    PlainSerializer(str, return_type=str),
]
"""An exact rational number; ``"30000/1001"`` in JSON."""


class Frozen(BaseModel):
    """Base of the models: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
