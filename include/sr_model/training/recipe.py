"""How every shipped network is trained: its shape, where it starts from, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from include.sr_model.network import Spec
from include.sr_model.zoo import file_stem

__all__ = ["RECIPES", "Recipe"]

SHAPES = {"fast": (16, 7), "balanced": (32, 7), "quality": (64, 8)}
"""Size → (features, layers)."""
STEADY = 0.3
"""Of video networks: at 0 still scenes flickered 2 % more than with lanczos; at 0.3 as much, for 0.01 dB at CRF 23."""


@dataclass(frozen=True)
class Recipe:
    """One network's training."""

    scale: int
    model: str
    variant: str
    start: str | None
    """Stem of the network that it begins as: a smaller one is widened, one of another scale leaves its head behind."""
    steps: int
    rate: float
    """Peak learning rate of Adam; it rises for 1 % of the steps and falls along a cosine, as Muon's does."""
    batch: int = 32
    side: int = 32
    """Samples of a small patch's side."""
    matrix_rate: float = 5e-3
    """Peak learning rate of Muon, which trains the matrices between the first and the last layer."""
    steady: float = 0.0
    """Weight of the penalty on answering small changes of the input otherwise than interpolation does: that would flicker."""

    @property
    def stem(self) -> str:
        """Name of the network's files."""
        return file_stem(self.scale, self.model, self.variant)

    @property
    def spec(self) -> Spec:
        """Shape of the network."""
        features, layers = SHAPES[self.model]
        return Spec(features, layers, self.scale)


RECIPES: dict[str, Recipe] = {
    recipe.stem: recipe
    for recipe in (
        Recipe(2, "fast", "clean", None, 300_000, 2e-3),
        Recipe(2, "fast", "video", "x2-fast-clean", 200_000, 1e-3, steady=STEADY),
        Recipe(4, "fast", "clean", "x2-fast-clean", 200_000, 2e-3),
        Recipe(4, "fast", "video", "x2-fast", 200_000, 1e-3, steady=STEADY),
        Recipe(2, "balanced", "clean", None, 300_000, 1e-3),
        Recipe(2, "balanced", "video", "x2-balanced-clean", 200_000, 5e-4, steady=STEADY),
        Recipe(4, "balanced", "clean", "x2-balanced-clean", 200_000, 1e-3),
        Recipe(4, "balanced", "video", "x4-balanced-clean", 200_000, 5e-4, steady=STEADY),
        Recipe(2, "quality", "clean", "x2-balanced-clean", 400_000, 5e-4, batch=16, side=48),
        Recipe(2, "quality", "video", "x2-quality-clean", 200_000, 3e-4, batch=16, side=48, steady=STEADY),
        Recipe(4, "quality", "clean", "x2-quality-clean", 200_000, 5e-4, batch=16, side=48),
        Recipe(4, "quality", "video", "x4-quality-clean", 200_000, 3e-4, batch=16, side=48, steady=STEADY),
    )
}
"""Stem → recipe, in the order in which each finds what it starts from."""
