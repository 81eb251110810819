"""``python -m include.embedded up|down|status``: the one-machine stack."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from include.embedded import down, status, up


def main() -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m include.embedded", description="Reelflow's one-machine stack.")
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument("--state-dir", type=Path, help="folder of all state (default: $REELFLOW_STATE, else ./var)")
    arguments = parser.parse_args()
    return {"up": up, "down": down, "status": status}[arguments.command](arguments.state_dir)


if __name__ == "__main__":
    sys.exit(main())
