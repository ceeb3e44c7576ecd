"""One patch of a slide, wherever it comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Patch:
    """A square of a slide at a magnification.

    Attributes
    ----------
    mpp
        µm per pixel at which a model looked at it.
    x, y
        Top-left corner in level-0 pixels.
    size_level0
        Side in level-0 pixels.
    """

    mpp: float
    x: float
    y: float
    size_level0: float

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) of its middle in level-0 pixels."""
        return self.x + self.size_level0 / 2, self.y + self.size_level0 / 2

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) in level-0 pixels."""
        return self.x, self.y, self.x + self.size_level0, self.y + self.size_level0
