"""The stack of docker-compose.yaml as its user knows it: from its ``.env``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.s3 import s3_at

__all__ = ["ComposeStack"]


@dataclass(frozen=True)
class ComposeStack:
    """Where its parts answer, and what they want to hear. Its ``repr`` holds no secret."""

    env: dict[str, str] = field(repr=False)
    admin_user: str = "admin"

    @classmethod
    def of(cls, path: Path) -> ComposeStack:
        """Read ``.env``."""
        lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
        return cls(dict(line.split("=", 1) for line in lines))

    @property
    def airflow_url(self) -> str:
        """Root of Airflow's web server: UI, REST API and the contracts."""
        return f"http://127.0.0.1:{self.env['AIRFLOW_PORT']}"

    @property
    def aws_url(self) -> str:
        """Endpoint of the object server (S3)."""
        return f"http://127.0.0.1:{self.env['OBJECTS_PORT']}"

    @property
    def bucket(self) -> str:
        """Bucket that is used where a request names none."""
        return self.env["MEDIA_BUCKET"]

    @property
    def api_key(self) -> str:
        """The first client's key."""
        return self.env["MEDIA_API_KEYS"].split(",")[0].partition(":")[2]

    @property
    def admin_password(self) -> str:
        """The first administrator's password, as it was at the first start."""
        return self.env["AIRFLOW_ADMIN_PASSWORD"]

    def s3(self) -> Any:
        """Return a client of the object server."""
        return s3_at(self.aws_url, self.env["OBJECTS_ACCESS_KEY"], self.env["OBJECTS_SECRET_KEY"])
