"""What a model saw on a slide: the one result that layers, exports and files know.

Nothing here depends on a method: what a method does not give is None. Coordinates are level-0 pixels (x, y) of the top-left
corner of a patch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.units import Level0Pixels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.patches import TissueMask

_AS_SIZE = Level0Pixels(0.0)


@dataclass(frozen=True)
class PatchScores:
    """One number, or one per class, for each patch of a grid.

    Parameters
    ----------
    xy
        (N, 2) int64, top-left corners in level-0 pixels.
    size_level0
        Side of a patch in level-0 pixels; not always whole.
    values
        (N,) float32, or (N, C) with one column per class.
    stride_level0
        Distance of neighbouring patches in level-0 pixels; the side of a patch where patches do not overlap.
    """

    xy: NDArray[np.int64]
    size_level0: Level0Pixels
    values: NDArray[np.float32]
    stride_level0: Level0Pixels = _AS_SIZE

    def __post_init__(self) -> None:
        if self.xy.ndim != 2 or self.xy.shape[1] != 2 or len(self.xy) != len(self.values):
            raise ValueError(f"xy {self.xy.shape} and values {self.values.shape} do not describe the same patches")
        if not self.stride_level0:
            object.__setattr__(self, "stride_level0", self.size_level0)

    def __len__(self) -> int:
        return len(self.xy)

    def column(self, index: int) -> PatchScores:
        """The scores of one class of an (N, C) table."""
        return PatchScores(self.xy, self.size_level0, self.values[:, index], self.stride_level0)

    def top(self, count: int) -> PatchScores:
        """The `count` highest-scoring patches, best first; equal scores keep the order of the grid."""
        rows = np.argsort(-self.values, kind="stable")[:count]
        return PatchScores(self.xy[rows], self.size_level0, self.values[rows], self.stride_level0)

    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) float64 boxes x0, y0, x1, y1 in level-0 pixels."""
        corner = self.xy.astype(np.float64)
        return np.concatenate([corner, corner + self.size_level0], axis=1)


@dataclass(frozen=True)
class PatchSet:
    """A choice of patches, best first: the anchors, or what the model zoomed into at one magnification.

    Parameters
    ----------
    xy
        (N, 2) int64, top-left corners in level-0 pixels.
    size_level0
        Side of a patch in level-0 pixels.
    scores
        (N,) float32, the score by which they were chosen.
    """

    xy: NDArray[np.int64]
    size_level0: Level0Pixels
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.xy)


@dataclass(frozen=True)
class SlidePrediction:
    """The result of one model on one slide.

    Attributes
    ----------
    probabilities
        Class name -> probability, in the order of the model's classes; they sum to 1.
    attention
        mpp -> `PatchScores` with values (N,), softmaxed over the patches of that magnification that the model looked at (they
        sum to 1).
    class_attention
        mpp -> `PatchScores` with values (N, C), attention of each class (each column sums to 1); empty where the model has one
        for all.
    instances
        mpp -> `PatchScores` with values (N, C), the probability of each class for each patch; empty where the model has none.
    anchors
        Anchor instances (AINet), or None.
    regions
        mpp -> `PatchScores` whose values (N,) are whole numbers, the region of each patch (AINet); empty where there are none.
    zoom
        mpp -> patches that the model chose to look at more closely (ZoomMIL), or None. What it then looked at inside them has
        attention at the next finer magnification.
    tissue
        Where patches were looked for; None in predictions that were saved before this was kept.
    provenance
        Where the result comes from, JSON-able: ``slide`` {path, fingerprint, width, height, mpp [x, y], origin [x, y] of the
        scanned area}, ``model`` {id, digest, method, positive_class}, ``encoder`` {id, digest}, ``patches`` {mpp, size, stride,
        resampling, colour, digest, counts}, ``calibration`` {method, temperature, cases, before: class -> probability} or None,
        ``device``, ``seconds``, ``created``, ``versions``.
    """

    probabilities: Mapping[str, float]
    attention: Mapping[float, PatchScores]
    instances: Mapping[float, PatchScores] = field(default_factory=dict)
    anchors: PatchSet | None = None
    zoom: Mapping[float, PatchSet] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    class_attention: Mapping[float, PatchScores] = field(default_factory=dict)
    regions: Mapping[float, PatchScores] = field(default_factory=dict)
    tissue: TissueMask | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the model's order (the columns of `instances`)."""
        return tuple(self.probabilities)

    @property
    def predicted_class(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])

    @property
    def positive_class(self) -> str:
        """The class whose evidence is shown first: the model's positive class, else the predicted one."""
        named = self.provenance.get("model", {}).get("positive_class")
        return str(named) if named in self.probabilities else self.predicted_class

    def save(self, path: str | Path) -> Path:
        """Write the prediction as one HDF5 file, whole or not at all; returns the path."""
        from napari_wsimil.inference._prediction_file import write_prediction

        return write_prediction(self, path)
