from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from include.sr_model.shuffle import shuffle


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("missing", [(0, 0), (1, 1), (1, 0), (0, 1)], ids=["whole", "odd", "odd-height", "odd-width"])
@pytest.mark.parametrize(("cells", "planes"), [("u1", "u1"), ("u2", "u2"), ("f4", "u2")])
def test_every_sample_goes_to_its_place(scale: int, missing: tuple[int, int], cells: Any, planes: Any) -> None:
    rows, columns = 6, 10
    given = np.random.default_rng(1).integers(0, 255, (2, rows, columns, scale**2)).astype(cells)
    made = np.zeros((2, rows * scale - missing[0], columns * scale - missing[1]), planes)
    shuffle(given, made)
    for (plane, row, column), value in np.ndenumerate(made):
        cell = given[plane, row // scale, column // scale]
        assert value == cell[(row % scale) * scale + column % scale]
