"""``python -m include.orchestration.pools > pools.json && airflow pools import pools.json``: Airflow's pools of work units."""

from __future__ import annotations

import json

from include.settings import get_settings

__all__ = ["document"]


def document() -> dict[str, dict[str, object]]:
    """Return the pools as ``airflow pools import`` reads them; deferred tasks hold their slots, so that the pools bound jobs."""
    return {
        name: {"slots": slots, "description": description, "include_deferred": True}
        for name, (slots, description) in get_settings().pools.items()
    }


if __name__ == "__main__":
    print(json.dumps(document(), indent=2))
