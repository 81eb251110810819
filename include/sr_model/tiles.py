"""Cuts a plane into tiles of one size whose upscaled insides, put together, equal the upscaled whole.

Tiles lie inside the plane and overlap: what is nearer to a tile's edge than the network's receptive field (the halo) is thrown
away, unless that edge is the plane's own, where the network meets the same zeros as on the whole plane. The last tile of a row
or column ends where the plane does, however much it overlaps the one before.
"""

from __future__ import annotations

from dataclasses import dataclass

from include.errors import LimitExceeded

__all__ = ["Span", "Tile", "grid", "spans"]


@dataclass(frozen=True)
class Span:
    """Along one axis: the tile covers ``start <= x < start + tile``, and gives ``first <= x < last`` of the plane."""

    start: int
    first: int
    last: int


@dataclass(frozen=True)
class Tile:
    """A tile of the plane, rows and columns."""

    rows: Span
    columns: Span

    def source(self, height: int, width: int) -> tuple[slice, slice]:
        """Return what of the plane goes in, for tiles of ``height`` x ``width``."""
        return _slice(self.rows.start, self.rows.start + height), _slice(self.columns.start, self.columns.start + width)

    def inside(self, scale: int) -> tuple[slice, slice]:
        """Return what of the upscaled tile is kept."""
        return (
            _slice((self.rows.first - self.rows.start) * scale, (self.rows.last - self.rows.start) * scale),
            _slice((self.columns.first - self.columns.start) * scale, (self.columns.last - self.columns.start) * scale),
        )

    def place(self, scale: int) -> tuple[slice, slice]:
        """Return where that belongs in the upscaled plane."""
        return (
            _slice(self.rows.first * scale, self.rows.last * scale),
            _slice(self.columns.first * scale, self.columns.last * scale),
        )


def spans(length: int, tile: int, halo: int) -> tuple[Span, ...]:
    """Cut an axis of ``length`` samples; every sample is given by exactly one span.

    Raises :class:`LimitExceeded` where the axis is shorter than a tile, or a tile is nothing but halo.
    """
    if length < tile:
        raise LimitExceeded(f"A side of {length} samples is shorter than a tile of {tile}: smaller tiles are needed.")
    if length == tile:
        return (Span(0, 0, length),)
    step = tile - 2 * halo
    if step <= 0:
        raise LimitExceeded(f"A tile of {tile} samples has nothing inside a halo of {halo}: larger tiles are needed.")
    found: list[Span] = []
    first = 0
    while first < length:
        start = min(max(first - halo, 0), length - tile)
        end = start + tile
        last = length if end == length else end - halo
        found.append(Span(start, first, last))
        first = last
    return tuple(found)


def grid(height: int, width: int, tile_height: int, tile_width: int, halo: int) -> tuple[Tile, ...]:
    """Cut a plane, row by row."""
    columns = spans(width, tile_width, halo)
    return tuple(Tile(row, column) for row in spans(height, tile_height, halo) for column in columns)


def _slice(start: int, end: int) -> slice:
    return slice(start, end)
