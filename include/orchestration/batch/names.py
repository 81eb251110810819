"""Names of Batch jobs: the same for the same work, whoever asks for it, and found again by their beginning.

``reelflow-<job id>-<unit id>-<fingerprint>-<slug>``: up to the unit it says which unit, with the fingerprint which version of
it, and the slug is for people. At most 128 letters, digits, hyphens and underscores (the SubmitJob reference).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

from include.worker.models import WorkUnit

__all__ = ["group_id", "job_name", "job_prefix", "slug", "tag", "unit_prefix"]

PREFIX = "reelflow"
SLUG_LENGTH = 40


def slug(text: str, length: int = SLUG_LENGTH) -> str:
    """Return what of ``text`` may stand in a job name, which may be nothing."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:length].rstrip("-")


def tag(text: str) -> str:
    """Return ``text`` as the value of a tag: at most 256 letters, digits, spaces and ``_.:/=+-@``."""
    return re.sub(r"[^A-Za-z0-9 _.:/=+@-]", "_", text)[:256]


def group_id(units: Sequence[WorkUnit]) -> str:
    """Return what stands for the unit's id: a group bears its first unit's and the number of units."""
    return units[0].id if len(units) == 1 else f"{units[0].id}-x{len(units)}"


def job_prefix(job_id: str) -> str:
    """Return how the names of all Batch jobs of a media job begin."""
    return f"{PREFIX}-{job_id}-"


def unit_prefix(units: Sequence[WorkUnit]) -> str:
    """Return how the names of all Batch jobs of these units begin, whatever version of them they run."""
    return f"{job_prefix(units[0].job_id)}{group_id(units)}-"


def job_name(units: Sequence[WorkUnit]) -> str:
    """Return the name of the Batch job that runs the units."""
    version = hashlib.sha256("".join(unit.fingerprint for unit in units).encode()).hexdigest()[:8]
    source = _source_key(units[0])
    return f"{unit_prefix(units)}{version}-{slug(PurePosixPath(source).stem)}".rstrip("-")


def _source_key(unit: WorkUnit) -> str:
    if unit.source is not None:
        return unit.source.key
    request = getattr(unit.task, "request", None)
    return str(getattr(request, "source_key", None) or getattr(request, "key", ""))
