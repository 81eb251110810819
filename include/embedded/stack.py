"""What is known of a stack: its folder, ports and secrets."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass, field
from pathlib import Path

from include.embedded import processes
from include.settings import Settings

__all__ = ["ROOT", "Stack", "connect", "default_state_dir", "load", "prepare"]

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Stack:
    """A stack of this machine, running or not. Its ``repr`` holds no secret."""

    state_dir: Path
    id: str
    airflow_port: int
    moto_port: int
    bucket: str
    admin_password: str = field(repr=False)
    api_keys: str = field(repr=False)
    fernet_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    api_secret: str = field(repr=False)
    admin_user: str = "admin"
    generated_api_keys: bool = False
    signing_keys: str = field(default="", repr=False)
    generated_signing_keys: bool = False

    @property
    def airflow_url(self) -> str:
        """Root of Airflow's web server: UI, REST API and the contracts."""
        return f"http://{HOST}:{self.airflow_port}"

    @property
    def aws_url(self) -> str:
        """Endpoint of the moto server (S3)."""
        return f"http://{HOST}:{self.moto_port}"

    @property
    def api_key(self) -> str:
        """The first client's key."""
        return self.api_keys.split(",")[0].partition(":")[2].strip()

    @property
    def signing_key(self) -> tuple[str, str, str]:
        """Client code, public and private key of the first pair of contract 3."""
        client, public, private = self.signing_keys.split(",")[0].split(":")
        return client, public, private

    @property
    def airflow_home(self) -> Path:
        """Airflow's folder: database, password file, task logs."""
        return self.state_dir / "airflow"

    @property
    def logs(self) -> Path:
        """Folder with one log file per process."""
        return self.state_dir / "logs"

    @property
    def socket(self) -> Path:
        """Control socket of supervisord; not in the state folder, whose path may be too long for a socket (107 bytes)."""
        return Path(tempfile.gettempdir()) / f"reelflow-{self.id}.sock"

    def save(self) -> None:
        """Write ``stack.json``, readable by its owner only."""
        document = asdict(self) | {"state_dir": str(self.state_dir)}
        write_private(self.state_dir / "stack.json", json.dumps(document, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from the first byte on; what was there stays until all of it is written."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


def default_state_dir() -> Path:
    """Return ``REELFLOW_STATE``, or ``var`` in the repository."""
    return Path(os.environ.get("REELFLOW_STATE") or ROOT / "var").absolute()


def load(state_dir: Path | None = None) -> Stack | None:
    """Read ``stack.json``; ``None`` where no stack was ever started."""
    folder = (state_dir or default_state_dir()).absolute()
    try:
        document = json.loads((folder / "stack.json").read_text())
    except FileNotFoundError:
        return None
    return Stack(**(document | {"state_dir": folder}))


def connect(state_dir: Path | None = None) -> Stack | None:
    """Return the stack of ``state_dir`` if it runs."""
    stack = load(state_dir)
    return stack if stack and processes.supervisor_of(stack.state_dir, stack.id) else None


def prepare(state_dir: Path, *, airflow_port: int, moto_port: int, settings: Settings) -> Stack:
    """Return the stack of ``state_dir`` with these ports; secrets are made at the first start and kept.

    Keys come from ``MEDIA_API_KEYS`` and ``MEDIA_SIGNING_KEYS`` where those are set, else some for the client ``demo`` are made.
    """
    old = load(state_dir)
    configured = ",".join(f"{client}:{key.get_secret_value()}" for client, key in settings.api_keys.items())
    kept = old.api_keys if old and old.generated_api_keys else f"demo:{secrets.token_urlsafe(24)}"
    signing = ",".join(f"{key.client}:{key.public_key}:{key.private_key.get_secret_value()}" for key in settings.signing_keys)
    kept_signing = (
        old.signing_keys if old and old.generated_signing_keys else f"demo:{secrets.token_hex(8)}:{secrets.token_urlsafe(24)}"
    )
    return Stack(
        state_dir=state_dir,
        id=old.id if old else secrets.token_hex(8),
        airflow_port=airflow_port,
        moto_port=moto_port,
        bucket=settings.bucket,
        admin_user=settings.airflow_user,
        admin_password=old.admin_password if old else secrets.token_urlsafe(12),
        api_keys=configured or kept,
        generated_api_keys=not configured,
        signing_keys=signing or kept_signing,
        generated_signing_keys=not signing,
        fernet_key=old.fernet_key if old else urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        jwt_secret=old.jwt_secret if old else secrets.token_urlsafe(48),
        api_secret=old.api_secret if old else secrets.token_urlsafe(48),
    )
