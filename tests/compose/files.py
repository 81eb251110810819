"""docker-compose.yaml and what belongs to it, as documents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yaml"
EXAMPLE = ROOT / ".env.example"
MONITORING = ROOT / "monitoring"

VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_][A-Z0-9_]*)(?::?([-?+])([^}]*))?\}")


def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())


def services() -> dict[str, dict[str, Any]]:
    return compose()["services"]


def example() -> dict[str, str]:
    lines = EXAMPLE.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def variables() -> dict[str, list[tuple[str, str]]]:
    """Return what is interpolated: name → operator and default of each use."""
    found: dict[str, list[tuple[str, str]]] = {}
    for match in VARIABLE.finditer(_without_comments(COMPOSE.read_text())):
        found.setdefault(match[1], []).append((match[2] or "", match[3] or ""))
    return found


def _without_comments(text: str) -> str:
    return "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines())
