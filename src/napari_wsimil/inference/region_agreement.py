"""What a model saw in each of the regions that were drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.annotations.shapes import PatchBoxes, covered_shares, merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_wsimil.annotations import Region
    from napari_wsimil.annotations.shapes import Patches

MIN_SHARE = 0.5
"""A patch is of what covers at least this share of it."""


@dataclass(frozen=True)
class RegionAgreement:
    """What the model saw in one region.

    Attributes
    ----------
    name
        The class that was drawn.
    bounds
        x0, y0, x1, y1 in level-0 pixels.
    area
        µm², or level-0 pixels where the slide does not know its pixel size.
    patches
        How many patches it covers at least by half.
    mean_score
        Mean over the patches that it touches, each weighted by its area in the region; None where it touches none.
    share_above
        Share of its area, as far as patches cover it, whose score reaches the threshold; None where it touches none.
    """

    name: str
    bounds: tuple[float, float, float, float]
    area: float
    patches: int
    mean_score: float | None
    share_above: float | None


@dataclass(frozen=True)
class Inside:
    """The patches that a region touches: their scores, and the share of each that lies in it."""

    name: str
    bounds: tuple[float, float, float, float]
    area: float
    scores: NDArray[np.float32]
    shares: NDArray[np.float64]

    def at(self, threshold: float) -> RegionAgreement:
        """The scores by a threshold."""
        total = float(self.shares.sum())
        return RegionAgreement(
            self.name,
            self.bounds,
            self.area,
            int((self.shares >= MIN_SHARE - 1e-9).sum()),
            ratio(float(self.shares @ self.scores), total),
            ratio(float(self.shares[self.scores >= np.float32(threshold)].sum()), total),
        )


def insides(
    regions: Sequence[Region], patches: Patches, scores: NDArray[np.float32], mpp: tuple[float, float] | None
) -> tuple[Inside, ...]:
    """The patches in each region.

    Parameters
    ----------
    regions
        What was drawn.
    patches
        N patches.
    scores
        (N,) float32.
    mpp
        (x, y) µm per level-0 pixel, where the slide knows it.
    """
    mx, my = mpp or (1.0, 1.0)
    found = []
    for region in regions:
        shapes = merged([region.shape])
        boxes = PatchBoxes(patches, shapes)
        shares = covered_shares(shapes, boxes)[boxes.rows]
        touched = shares > 0
        area = float(region.shape.area * mx * my)
        x0, y0, x1, y1 = map(float, region.shape.bounds)
        found.append(Inside(region.name, (x0, y0, x1, y1), area, scores[boxes.rows[touched]], shares[touched]))
    return tuple(found)


def ratio(part: float, whole: float) -> float | None:
    """A share, or None of nothing."""
    return part / whole if whole else None
