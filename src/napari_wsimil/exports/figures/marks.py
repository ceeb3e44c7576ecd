"""The few kinds of marks that a figure is drawn with, whether as pixels or as vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INK = "#1c1c1c"
PAPER = "#ffffff"

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Outline:
    """Four lines of a width inside the edges of a box (x0, y0, x1, y1)."""

    box: Box
    colour: str
    width: int


@dataclass(frozen=True)
class Filled:
    """A box of one colour."""

    box: Box
    colour: str
    opacity: float = 1.0


@dataclass(frozen=True, eq=False)
class Ramp:
    """A box filled from left to right with the (n, 3) uint8 `colours`."""

    box: Box
    colours: NDArray[np.uint8]


@dataclass(frozen=True)
class Words:
    """A line of text whose baseline is at y; x is its start, middle or end. With `halo` it stays readable on a picture."""

    x: float
    y: float
    text: str
    size: float
    colour: str = INK
    at: Literal["start", "middle", "end"] = "start"
    halo: bool = False
    bold: bool = False


Mark = Outline | Filled | Ramp | Words
