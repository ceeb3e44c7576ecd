"""The patches of a prediction as plain columns, one table per magnification: what every export writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.inference.ranking import rank_patches, rankings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.inference.prediction import PatchScores, SlidePrediction


@dataclass(frozen=True)
class PatchTable:
    """Patches of one magnification in the order of the grid; NaN where the model says nothing.

    Attributes
    ----------
    mpp
        Micrometres per pixel at which the patches were read.
    xy
        (N, 2) int64, top-left corners in level-0 pixels.
    size
        Side of a patch in level-0 pixels.
    attention, percentile
        (N,) float32: attention, and the share of patches (0 to 1) that got at most as much of it; the best patch has 1.
    probabilities
        (N, C) float32, one column per class.
    """

    mpp: float
    xy: NDArray[np.int64]
    size: float
    attention: NDArray[np.float32]
    percentile: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def has_attention(self) -> bool:
        """Whether the model attends at all (a pooling without weights does not)."""
        return bool(np.isfinite(self.attention).any())

    def above(self, threshold: float | None) -> NDArray[np.intp]:
        """Rows of the patches whose percentile reaches `threshold`; None: those with more than an even share of the attention.

        A model without attention gives nothing to choose by: all rows.
        """
        if not self.has_attention or threshold == 0:
            return np.arange(len(self))
        with np.errstate(invalid="ignore"):
            chosen = self.attention > 1 / len(self) if threshold is None else self.percentile >= threshold
        return np.flatnonzero(chosen)


def patch_tables(prediction: SlidePrediction) -> list[PatchTable]:
    """One table per magnification with attention or instance probabilities, finest first."""
    return [_table(prediction, mpp) for mpp in sorted({*prediction.attention, *prediction.instances})]


def top_patches(
    prediction: SlidePrediction, tables: list[PatchTable], count: int
) -> tuple[PatchTable, NDArray[np.intp], list[str]] | None:
    """The patches that come first in the window: their table, their rows in it, best first, and a name for each.

    None where there are none: nothing is asked for, or the model scores no patches.
    """
    ranking = next((one for one in rankings(prediction) if one.by in ("attention", "instances")), None)
    if ranking is None or not count:
        return None
    ranked = rank_patches(prediction, ranking, count=count)
    table = next(one for one in tables if one.mpp == ranking.mpp)
    places = {(x, y): row for row, (x, y) in enumerate(table.xy.tolist())}
    rows = np.array([places[one.patch.x, one.patch.y] for one in ranked], np.intp)
    what = "Attention" if ranking.by == "attention" else f"{ranking.class_name} probability"
    what = what[:1].upper() + what[1:]
    return table, rows, [f"{what} {one.rank}" for one in ranked]


def shortest(values: NDArray[np.float32]) -> list[str]:
    """Each float32 as the shortest decimal that reads back as the same float32."""
    return [str(text) for text in np.asarray(values, np.float32).astype("U32").tolist()]


def _table(prediction: SlidePrediction, mpp: float) -> PatchTable:
    attention, instances = prediction.attention.get(mpp), prediction.instances.get(mpp)
    base = attention if attention is not None else prediction.instances[mpp]
    weights = np.full(len(base), np.nan, np.float32) if attention is None else attention.values.astype(np.float32)
    probabilities = np.full((len(base), len(prediction.classes)), np.nan, np.float32)
    if instances is not None:
        rows, found = _matching_rows(base, instances)
        probabilities[rows] = instances.values[found]
    return PatchTable(mpp, base.xy, base.size_level0, weights, _percentile(weights), probabilities)


def _matching_rows(base: PatchScores, other: PatchScores) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of `base` and the rows of `other` that are the same patches; a model may score only some of its patches."""
    if np.array_equal(base.xy, other.xy):
        rows = np.arange(len(base))
        return rows, rows
    places = {(x, y): row for row, (x, y) in enumerate(other.xy.tolist())}
    pairs = [(row, places[x, y]) for row, (x, y) in enumerate(base.xy.tolist()) if (x, y) in places]
    rows, found = np.array(pairs, np.intp).reshape(-1, 2).T
    return rows, found


def _percentile(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of the finite weights that are at most each weight; NaN stays NaN."""
    finite = np.isfinite(weights)
    ranked = np.sort(weights[finite])
    share = np.full(len(weights), np.nan, np.float32)
    share[finite] = np.searchsorted(ranked, weights[finite], side="right") / max(1, len(ranked))
    return share
