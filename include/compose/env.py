"""Makes ``.env`` for docker-compose.yaml: ``python3 -m include.compose.env``, with nothing but a Python.

Copies ``.env.example`` with random secrets. An ``.env`` that is there keeps every value, and gets what it lacks: that is how an
upgrade that wants a new variable gets it.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

__all__ = ["complete", "main"]

GENERATE = "generate"
# Nothing that a shell, a URL or Compose's own interpolation would read as more than itself.
_ASSIGNMENT = re.compile(r"^([A-Z][A-Z0-9_]*)=(.*)$")


def main(argv: list[str] | None = None) -> int:
    """Write ``.env`` beside ``.env.example`` (or the file that is named), readable by its owner only."""
    arguments = sys.argv[1:] if argv is None else argv
    root = Path(__file__).resolve().parents[2]
    path = Path(arguments[0]) if arguments else root / ".env"
    before = path.read_text() if path.exists() else ""
    after = complete(root.joinpath(".env.example").read_text(), before)
    if after == before:
        print(f"{path} has all it needs.")
        return 0
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(after)
    part.replace(path)
    print(f"{path} {'was completed' if before else 'is made'}: secrets are random, it is readable by you alone.")
    return 0


def complete(example: str, text: str = "") -> str:
    """Return ``text`` with what of ``example`` it lacks; values ``generate`` are made up."""
    there = dict(_assignments(text))
    if not text:
        return "".join(_filled(line) for line in example.splitlines(keepends=True))
    missing = [line for line in example.splitlines(keepends=True) if (found := _ASSIGNMENT.match(line)) and found[1] not in there]
    if not missing:
        return text
    return text + ("" if text.endswith("\n") else "\n") + "".join(_filled(line) for line in missing)


def _assignments(text: str) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for line in text.splitlines() if (found := _ASSIGNMENT.match(line))]


def _filled(line: str) -> str:
    found = _ASSIGNMENT.match(line.rstrip("\n"))
    return f"{found[1]}={_made_up(found[1])}\n" if found and found[2] == GENERATE else line


def _made_up(name: str, environment: Mapping[str, str] = os.environ) -> str:
    if name == "DOCKER_GID":
        return str(_group_of(environment.get("DOCKER_SOCKET", "/var/run/docker.sock")))
    if name == "AIRFLOW_FERNET_KEY":
        return urlsafe_b64encode(secrets.token_bytes(32)).decode()
    if name == "MEDIA_API_KEYS":
        return f"demo:{secrets.token_hex(24)}"
    if name == "MEDIA_SIGNING_KEYS":
        return f"demo:{secrets.token_hex(8)}:{secrets.token_hex(24)}"
    if name.endswith("ACCESS_KEY"):
        return secrets.token_hex(10).upper()
    return secrets.token_hex(24)


def _group_of(socket: str) -> int:
    try:
        return Path(socket).stat().st_gid
    except OSError:
        # No engine here yet: root's group; the service that needs the socket says so in its log.
        return 0


if __name__ == "__main__":
    sys.exit(main())
