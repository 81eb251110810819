"""The model card's table, from the figures beside the weights: ``python -m include.sr_model.training.card``."""

from __future__ import annotations

import json
from pathlib import Path

from include.sr_model.zoo import WEIGHTS, available

__all__ = ["table"]

TITLES = {"clean": "clean", "crf23": "CRF 23", "crf28": "CRF 28"}


def table(folder: Path = WEIGHTS) -> str:
    """Return a table in Markdown: of every network its size, and per condition lanczos and what the network makes of it."""
    columns = [f"{title}: lanczos → float32 / int8" for title in TITLES.values()]
    rows = [" | ".join(["network", "features x layers", "parameters", *columns, "int8, mean / max difference"])]
    rows.append(" | ".join(["---"] * (len(columns) + 4)))
    for entry in available(folder):
        figures = json.loads((folder / "logs" / f"{entry.stem}.json").read_text())
        cells = [
            f"{one['lanczos']:.2f} → {one['float32']:.2f} / {one['int8']:.2f}"
            for one in (figures[condition] for condition in TITLES)
        ]
        difference = figures["int8_difference"]
        spec = entry.spec
        rows.append(
            " | ".join(
                [
                    f"`{entry.stem}`",
                    f"{spec.features} x {spec.layers}",
                    f"{spec.parameters:,}",
                    *cells,
                    f"{difference['mean']:.2f} / {difference['max']:.1f}",
                ]
            )
        )
    return "\n".join(f"| {row} |" for row in rows)


if __name__ == "__main__":
    print(table())
