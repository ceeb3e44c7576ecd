"""Hilbert's curve: an order of places in which those that follow each other lie beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS = 16
"""The curve passes through 2^16 x 2^16 cells: finer than the patches of any slide."""


def hilbert_order(places: NDArray[np.number]) -> NDArray[np.int64]:
    """(N,) rows of (N, 2) places along Hilbert's curve; places in the same cell stay in their order.

    Both axes share one scale, so that neighbours on a wide slide stay neighbours.
    """
    corner = places.min(axis=0)
    extent = max(float((places.max(axis=0) - corner).max()), 1e-12)
    cells = ((places - corner) * ((2**BITS - 1) / extent)).astype(np.int64)
    return np.argsort(_distance_along(cells), kind="stable")


def _distance_along(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) distance from the start of the curve to each of (N, 2) cells (x, y), both below 2^BITS.

    From the coarsest quadrant to the finest: which of the four it is, in the order in which the curve visits them; then the
    quadrant is turned so that the curve inside it looks like the whole.
    """
    x, y = cells[:, 0].copy(), cells[:, 1].copy()
    distance = np.zeros(len(cells), np.int64)
    for bit in reversed(range(BITS)):
        right, up = (x >> bit) & 1, (y >> bit) & 1
        distance += ((3 * right) ^ up) << (2 * bit)
        mirrored = (up == 0) & (right == 1)
        x, y = np.where(mirrored, ~x, x), np.where(mirrored, ~y, y)
        x, y = np.where(up == 0, y, x), np.where(up == 0, x, y)
    return distance
