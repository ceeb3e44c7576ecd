"""A set of bags that knows what was drawn on its slides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.annotations.coverage import labels_of, patch_classes
from napari_wsimil.annotations.small import enlarged
from napari_wsimil.errors import TrainingError
from napari_wsimil.training.bag_sets.base import NamedBags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.annotations import Annotations, Region
    from napari_wsimil.bags import Bag
    from napari_wsimil.patches import PatchGrid
    from napari_wsimil.training.bag_sets.base import BagSet


class AnnotatedBags(NamedBags):
    """Bags whose patches are known as far as regions on their slides tell.

    Parameters
    ----------
    bags
        The slides; what they know of patches themselves stands where nothing was drawn.
    annotations
        For each slide, or None.
    classes
        In the order of the targets.
    min_share, rest, names
        See `patch_classes`.

    Raises
    ------
    TrainingError
        There are more or fewer annotations than slides.
    """

    def __init__(
        self,
        bags: BagSet,
        annotations: Sequence[Annotations | None],
        classes: Sequence[str],
        *,
        min_share: float = 0.5,
        rest: str | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(bags.names, bags.targets)
        if len(annotations) != len(bags):
            raise TrainingError(f"{len(annotations)} annotations do not belong to {len(bags)} slides.")
        self.bags, self.annotations, self.classes = bags, tuple(annotations), tuple(classes)
        self._min_share, self._rest, self.meanings = min_share, rest, names
        self._known: dict[int, Mapping[float, NDArray[np.bool_]]] = {}

    def bag(self, row: int) -> Bag:
        """Return the bag of a slide."""
        return self.bags.bag(row)

    def annotated(self, row: int) -> bool:
        """Whether something is known of single patches, without reading the bag."""
        return self.annotations[row] is not None or self.bags.instance_labels(row) is not None

    def instance_labels(self, row: int) -> Mapping[float, NDArray[np.int64]] | None:
        """Mpp -> (N,) class of each patch, -1 where not known; None where nothing is known of any."""
        if self.annotations[row] is None:
            return self.bags.instance_labels(row)
        return {mpp: labels_of(allowed) for mpp, allowed in self.instance_classes(row).items()}

    def instance_classes(self, row: int, bag: Bag | None = None) -> Mapping[float, NDArray[np.bool_]]:
        """Mpp -> (N, C), which classes each patch may be of.

        Parameters
        ----------
        bag
            Of the slide, where it was read already.

        Raises
        ------
        TrainingError
            The places of the patches are not known.
        """
        if row not in self._known:
            self._known[row] = self._find(row, self.bag(row) if bag is None else bag)
        return self._known[row]

    def _find(self, row: int, bag: Bag) -> Mapping[float, NDArray[np.bool_]]:
        drawn = self.annotations[row]
        if drawn is None:
            return allowed_by(self.bags.instance_labels(row) or {}, len(self.classes))
        return {mpp: self._said(drawn.regions, self._grid(row, bag, mpp)) for mpp in bag.mpps}

    def taught_by(self, row: int, region: Region, bag: Bag, mpp: float) -> NDArray[np.bool_]:
        """(N,) which patches of a slide a region alone says something of."""
        told: NDArray[np.bool_] = np.logical_not(self._said((region,), self._grid(row, bag, mpp)).all(axis=1))
        return told

    def _said(self, regions: Sequence[Region], grid: PatchGrid) -> NDArray[np.bool_]:
        drawn = enlarged(regions, grid, self._min_share)
        return patch_classes(drawn, grid, self.classes, self._min_share, rest=self._rest, names=self.meanings)

    def _grid(self, row: int, bag: Bag, mpp: float) -> PatchGrid:
        try:
            return bag.grid(mpp)
        except KeyError as error:
            raise TrainingError(
                f"The features of {self.names[row]} do not say where its patches lie, so what was drawn on it can't be used; "
                "extract them again (napari-wsimil extract)."
            ) from error


def allowed_by(labels: Mapping[float, NDArray[np.int64]], classes: int) -> dict[float, NDArray[np.bool_]]:
    """Mpp -> (N, C), which classes patches may be of by their labels (N,): all where it is -1."""
    return {mpp: (table[:, None] == np.arange(classes)) | (table[:, None] < 0) for mpp, table in labels.items()}
