"""The sets of bags that fine-tuning learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.bag_sets import NamedBags
from napari_wsimil.training.bag_sets.annotated import AnnotatedBags, allowed_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.bags import Bag
    from napari_wsimil.training.bag_sets import BagSet


class WithRehearsal(NamedBags):
    """New slides, and behind them old ones that are shown again.

    Parameters
    ----------
    new, old
        The sets; of old ones there may be several, or none.
    """

    def __init__(self, new: BagSet, old: Sequence[BagSet] = ()) -> None:
        self.parts = [new, *old]
        names = [name for part in self.parts for name in part.names]
        super().__init__(names, np.concatenate([part.targets for part in self.parts]))
        self.new = len(new)
        self._starts = np.cumsum([0, *map(len, self.parts)])

    def bag(self, row: int) -> Bag:
        """Return the bag of a slide."""
        part, inside = self.at(row)
        return part.bag(inside)

    def instance_labels(self, row: int) -> Mapping[float, NDArray[np.int64]] | None:
        """Mpp -> (N,) class of each patch."""
        part, inside = self.at(row)
        return part.instance_labels(inside)

    def at(self, row: int) -> tuple[BagSet, int]:
        """The set that a slide is of, and its row there."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self.parts[number], row - int(self._starts[number])


def knows_patches(bags: BagSet, row: int) -> bool:
    """Whether something is known of single patches of a slide."""
    return bags.annotated(row) if isinstance(bags, AnnotatedBags) else bags.instance_labels(row) is not None


def known_classes(bags: BagSet, row: int, bag: Bag, classes: int) -> dict[float, NDArray[np.bool_]]:
    """Mpp -> (N, C), which classes each patch of a bag may be of; empty where nothing is known.

    Raises
    ------
    TrainingError
        Labels and patches differ in number.
    """
    if isinstance(bags, AnnotatedBags):
        known = dict(bags.instance_classes(row, bag)) if bags.annotated(row) else {}
    else:
        known = allowed_by(bags.instance_labels(row) or {}, classes)
    for mpp, allowed in known.items():
        count = len(bag.features(mpp))
        if len(allowed) != count:
            raise TrainingError(
                f"{bags.names[row]} has labels for {len(allowed)} patches, but {count} patches at {mpp:g} µm/px."
            )
    return known


def without_class(
    known: Mapping[float, NDArray[np.bool_]], bag: Bag, positive: int, classes: int
) -> dict[float, NDArray[np.bool_]]:
    """The same for a slide that holds nothing of the class `positive`; what was drawn as just that stays."""
    found: dict[float, NDArray[np.bool_]] = {}
    for mpp in bag.mpps:
        given = known.get(mpp)
        allowed = np.ones((len(bag.features(mpp)), classes), bool) if given is None else given
        denied = allowed & (np.arange(classes) != positive)
        found[mpp] = np.where(denied.any(axis=1, keepdims=True), denied, allowed)
    return found
