"""One place of a slide at all the magnifications that a model looked at: parents, children, and the scores of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.errors import PredictionError
from napari_wsimil.inference.patch_index import PatchIndex
from napari_wsimil.inference.prediction import PatchSet
from napari_wsimil.patches.patch import Patch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.inference.prediction import PatchScores, SlidePrediction

    Floats = NDArray[np.float64]

MOST_CHILDREN = 256
"""Patches inside another one that are told of, at most; a patch of 16 times the side has so many."""


@dataclass(frozen=True)
class SeenPatch:
    """A patch and what the model said of it.

    Attributes
    ----------
    patch
        Where it is, and at which magnification.
    attention, percentile
        Its attention, and the share of that magnification's patches with at most as much (0 to 1); None where it got none.
    probability
        Of the prediction's positive class; None where the model gives none for patches.
    zoom
        The score by which the model chose to look at it more closely; None where it did not.
    """

    patch: Patch
    attention: float | None
    percentile: float | None
    probability: float | None
    zoom: float | None


@dataclass(frozen=True)
class Family:
    """The patches at one place.

    Attributes
    ----------
    seen
        mpp -> the patch over the place, coarse to fine; None where the model looked at none there.
    focus
        The magnification whose patch is meant, or None where no patch is at all.
    children
        The patches of the next finer magnification whose centres lie in the patch that is meant, row by row.
    """

    seen: dict[float, SeenPatch | None]
    focus: float | None
    children: tuple[SeenPatch, ...] = ()

    @property
    def patch(self) -> SeenPatch | None:
        """The patch that is meant."""
        return None if self.focus is None else self.seen[self.focus]

    @property
    def parent(self) -> SeenPatch | None:
        """The patch of the next coarser magnification at this place."""
        coarser = [mpp for mpp in self.seen if self.focus is not None and mpp > self.focus]
        return self.seen[min(coarser)] if coarser else None


class Levels:
    """The patches of a prediction by place, at each magnification; quick to ask once it is made.

    Parameters
    ----------
    prediction
        From `predict` or `load_prediction`.
    """

    def __init__(self, prediction: SlidePrediction) -> None:
        found = {*prediction.attention, *prediction.instances, *(prediction.zoom or {})}
        self._levels = {mpp: _Level(prediction, mpp) for mpp in sorted(found, reverse=True)}

    @property
    def mpps(self) -> tuple[float, ...]:
        """Magnifications in µm per pixel, coarse to fine."""
        return tuple(self._levels)

    def family(self, x: float, y: float, mpp: float | None = None) -> Family:
        """What is at the level-0 pixel (x, y).

        Parameters
        ----------
        mpp
            The magnification that is meant; None: the second finest where a patch of it is here, which shows both a patch and
            its children, else the finest that has one.
        """
        rows = {level: found.row(x, y) for level, found in self._levels.items()}
        there = [level for level, row in rows.items() if row is not None]
        if mpp not in there:
            mpp = there[-2] if len(there) > 1 else there[-1] if there else None
        seen = {level: None if row is None else self._levels[level].seen(row) for level, row in rows.items()}
        finer = [level for level in self.mpps if mpp is not None and level < mpp]
        focus = None if mpp is None else seen[mpp]
        if focus is None or not finer:
            return Family(seen, mpp)
        inside = self._levels[finer[0]]
        return Family(seen, mpp, tuple(inside.seen(row) for row in inside.rows_inside(focus.patch)))


def patch_family(prediction: SlidePrediction, x: float, y: float, mpp: float | None = None) -> Family:
    """The patch at the level-0 pixel (x, y) at every magnification of a prediction, and the children of the one that is meant.

    For many places make a `Levels` once.

    Raises
    ------
    PredictionError
        The model did not look at the magnification `mpp`.
    """
    levels = Levels(prediction)
    if mpp is not None and mpp not in levels.mpps:
        known = ", ".join(f"{one:g}" for one in levels.mpps)
        raise PredictionError(f"There are no patches at {mpp:g} µm/px; choose from {known}.")
    return levels.family(x, y, mpp)


class _Level:
    """The patches of one magnification."""

    def __init__(self, prediction: SlidePrediction, mpp: float) -> None:
        tables = prediction.attention.get(mpp), prediction.instances.get(mpp), (prediction.zoom or {}).get(mpp)
        attention, instances, zoom = tables
        base: Any = next(table for table in tables if table is not None)
        self._mpp, self._xy, self._size = mpp, base.xy, float(base.size_level0)
        self._index = PatchIndex(base.xy, self._size)
        self._order = np.lexsort((base.xy[:, 0], base.xy[:, 1]))
        self._ys = base.xy[self._order, 1]
        self._attention = _beside(base.xy, attention)
        self._percentile = _percentiles(self._attention)
        self._zoom = _beside(base.xy, zoom)
        column = prediction.classes.index(prediction.positive_class)
        if instances is not None and instances.values.ndim == 2:
            instances = instances.column(column)
        self._probability = _beside(base.xy, instances)

    def row(self, x: float, y: float) -> int | None:
        """The patch over a point; where patches overlap, the one whose centre is nearest."""
        return self._index.row(x, y)

    def rows_inside(self, patch: Patch) -> list[int]:
        """The patches whose centres lie in a patch, row by row."""
        x0, y0, x1, y1 = (edge - self._size / 2 for edge in patch.box)
        begin, end = np.searchsorted(self._ys, (y0, y1))
        rows = self._order[begin:end]
        inside = (self._xy[rows, 0] >= x0) & (self._xy[rows, 0] < x1)
        return [int(row) for row in rows[inside][:MOST_CHILDREN]]

    def seen(self, row: int) -> SeenPatch:
        x, y = self._xy[row].tolist()
        columns = self._attention, self._percentile, self._probability, self._zoom
        return SeenPatch(Patch(self._mpp, x, y, self._size), *(_known(column[row]) for column in columns))


def _beside(xy: NDArray[np.int64], scores: PatchScores | PatchSet | None) -> Floats:
    """The score of each of the (N, 2) patches, NaN where there is none: a model may score only some of its patches."""
    column = np.full(len(xy), np.nan)
    if scores is None or not len(scores):
        return column
    values = scores.scores if isinstance(scores, PatchSet) else scores.values
    if np.array_equal(xy, scores.xy):
        return np.asarray(values, np.float64)
    width = int(max(xy[:, 0].max(initial=0), scores.xy[:, 0].max())) + 1
    keys, wanted = scores.xy[:, 1] * width + scores.xy[:, 0], xy[:, 1] * width + xy[:, 0]
    order = np.argsort(keys)
    at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    same = keys[at] == wanted
    column[same] = values[at[same]]
    return column


def _percentiles(values: Floats) -> Floats:
    """Share of the known values that are at most each one."""
    ordered = np.sort(values[np.isfinite(values)])
    shares = np.searchsorted(ordered, values, side="right") / max(1, len(ordered))
    return np.where(np.isfinite(values), shares, np.nan)


def _known(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
