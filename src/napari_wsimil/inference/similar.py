"""Patches of a slide that look alike to the encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.errors import PredictionError
from napari_wsimil.inference.ranking import Ranking, Scored, in_order
from napari_wsimil.patches.patch import Patch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.bags import FeatureStore
    from napari_wsimil.inference.prediction import SlidePrediction
    from napari_wsimil.inference.ranking import RankedPatch


@dataclass(frozen=True)
class Appearance:
    """How all patches of a slide at one magnification look to the encoder; made by `appearance`.

    Attributes
    ----------
    mpp
        µm per pixel of the patches.
    xy
        (N, 2) int64 top-left corners in level-0 pixels.
    size_level0
        Side of a patch in level-0 pixels.
    directions
        (N, D) float32, features of length 1.
    """

    mpp: float
    xy: NDArray[np.int64]
    size_level0: float
    directions: NDArray[np.float32]

    def patch_at(self, x: float, y: float) -> Patch:
        """The patch over a level-0 point; where patches overlap, the one whose centre is nearest.

        Raises
        ------
        PredictionError
            There is none.
        """
        away = np.abs(self.xy + self.size_level0 / 2 - (x, y)).max(axis=1)
        row = int(away.argmin())
        if not away[row] <= self.size_level0 / 2:
            raise PredictionError(
                f"There is no patch with features at ({x:g}, {y:g}) at {self.mpp:g} µm/px; give level-0 pixels inside a patch "
                "that was encoded."
            )
        left, top = self.xy[row].tolist()
        return Patch(self.mpp, left, top, self.size_level0)

    def similar_to(self, patch: Patch, *, count: int = 10, lowest: bool = False, apart: bool = True) -> list[RankedPatch]:
        """The patches most like one, by the cosine of their features, without itself.

        Parameters
        ----------
        patch
            One of those that are known here.
        count
            How many at most.
        lowest
            The least similar ones, the least similar first.
        apart
            Leave out patches that overlap it, or one found before.

        Raises
        ------
        PredictionError
            Its features are not known.
        """
        found = np.flatnonzero((self.xy == (patch.x, patch.y)).all(axis=1))
        if len(found) == 0:
            raise PredictionError(
                f"The features of the patch at ({patch.x:g}, {patch.y:g}) are not stored: this model did not encode it."
            )
        cosine = self.directions @ self.directions[found[0]]
        near = np.abs(self.xy - self.xy[found[0]]).max(axis=1)
        cosine[near < (self.size_level0 - 1 if apart else 1)] = np.nan
        ranking = Ranking("similarity", None, self.mpp, f"Similarity to ({patch.x:g}, {patch.y:g})")
        return in_order(Scored(self.xy, self.size_level0, cosine), ranking, count=count, lowest=lowest, apart=apart)


def appearance(
    prediction: SlidePrediction, mpp: float | None = None, store: FeatureStore | str | Path | None = None
) -> Appearance:
    """Read the stored features of a prediction's slide.

    Parameters
    ----------
    prediction
        It says which slide, encoder and patches.
    mpp
        µm per pixel of the patches; None: the finest that is stored.
    store
        The store or its folder; None: where the window keeps features.

    Raises
    ------
    PredictionError
        No such features are stored.
    """
    from napari_wsimil.bags.store import FeatureStore, default_store_folder
    from napari_wsimil.bags.store.found import find_features

    folder = default_store_folder() if store is None else store.folder if isinstance(store, FeatureStore) else Path(store)
    about = prediction.provenance
    patches = about.get("patches", {})
    # digests are filed under rounded numbers
    exact = {f"{known:g}": float(known) for known in patches.get("mpp", ())}
    for name, digest in sorted(patches.get("digest", {}).items(), key=lambda item: float(item[0])):
        if mpp is not None and name != f"{mpp:g}":
            continue
        found = find_features(
            folder.expanduser(),
            str(about.get("slide", {}).get("fingerprint", "")),
            str(about.get("encoder", {}).get("digest", "")),
            str(digest),
        )
        if found is not None:
            return Appearance(exact.get(name, float(name)), found.xy, found.size_level0, _directions(found.features))
    at = "" if mpp is None else f" at {mpp:g} µm/px"
    raise PredictionError(
        f"The features of this slide{at} are not kept in {folder}, so patches can't be compared; predict it again with “Keep "
        "features” ticked under Options (on the command line: --store)."
    )


def similar_patches(
    prediction: SlidePrediction,
    patch: Patch | tuple[float, float],
    *,
    store: FeatureStore | str | Path | None = None,
    mpp: float | None = None,
    count: int = 10,
    lowest: bool = False,
    apart: bool = True,
) -> list[RankedPatch]:
    """The patches of a slide that look most like one of them to the encoder of a prediction.

    The score is the cosine of the angle between their features: 1 for equal ones. Features come from a store, where `predict`
    keeps them.

    Parameters
    ----------
    prediction
        From `predict` or `load_prediction`.
    patch
        From `rank_patches`, say, or a point (x, y) in level-0 pixels that lies in it.
    store
        The store or its folder; None: where the window keeps features.
    mpp
        For a point: µm per pixel of the patch meant; None: the finest that is stored.
    count
        How many at most.
    lowest
        The least similar ones.
    apart
        Leave out patches that overlap it, or one found before.

    Raises
    ------
    PredictionError
        The features are not stored, or there is no such patch.
    """
    known = appearance(prediction, patch.mpp if isinstance(patch, Patch) else mpp, store)
    chosen = patch if isinstance(patch, Patch) else known.patch_at(*patch)
    return known.similar_to(chosen, count=count, lowest=lowest, apart=apart)


def _directions(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale (N, D) to length 1, in place; a feature that is all zeros stays so, and is like nothing."""
    length = np.sqrt(np.einsum("nd,nd->n", features, features))[:, None]
    features /= np.maximum(length, np.finfo(np.float32).tiny)
    return features
