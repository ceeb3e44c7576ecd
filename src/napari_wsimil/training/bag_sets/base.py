"""The protocol of a set of bags, sets in memory, and parts of sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch

from napari_wsimil.bags import FeatureBag
from napari_wsimil.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.bags import Bag


@runtime_checkable
class BagSet(Protocol):
    """Slides with their classes, as a trainer asks for them."""

    @property
    def names(self) -> Sequence[str]:
        """Name of each slide."""

    @property
    def targets(self) -> NDArray[np.int64]:
        """(n,) number of each slide's class, -1 where it is not known."""

    def __len__(self) -> int:
        """Return the number of slides."""

    def bag(self, row: int) -> Bag:
        """Return the bag of a slide; may read or compute. Any thread may ask."""

    def instance_labels(self, row: int) -> Mapping[float, NDArray[np.int64]] | None:
        """Mpp -> (N,) class of each patch, -1 where not known; None where nothing is known of any."""


class NoBags:
    """The set without slides: of a training that nothing validates."""

    names: tuple[str, ...] = ()
    targets: NDArray[np.int64] = np.empty(0, np.int64)

    def __len__(self) -> int:
        return 0

    def bag(self, row: int) -> Bag:
        """There is none."""
        raise IndexError(row)

    def instance_labels(self, row: int) -> None:
        """There is none."""
        raise IndexError(row)


class NamedBags:
    """What all sets have: names and targets.

    Raises
    ------
    TrainingError
        There is no slide.
    """

    def __init__(self, names: Sequence[str], targets: Sequence[int] | NDArray[np.int64]) -> None:
        self.names = tuple(names)
        self.targets = np.asarray(targets, dtype=np.int64).reshape(-1)
        if not self.names:
            raise TrainingError("There is no slide to learn from; check the manifest and its splits.")
        if len(self.names) != len(self.targets):
            raise ValueError(f"{len(self.names)} names do not belong to {len(self.targets)} targets.")

    def __len__(self) -> int:
        return len(self.names)

    def instance_labels(self, row: int) -> Mapping[float, NDArray[np.int64]] | None:
        """Nothing is known of single patches."""
        return None


class MemoryBags(NamedBags):
    """Bags that are in memory already.

    Parameters
    ----------
    bags
        One for each slide; an (N, D) array stands for a bag of one magnification.
    targets
        Number of the class for each.
    names
        By default "bag 0", "bag 1" ...
    instance_labels
        For each bag mpp -> (N,), or just (N,) where there is one magnification; None where nothing is known.
    mpp
        µm per pixel of bags that are given as arrays.

    Raises
    ------
    TrainingError
        There is no bag, or features are not finite or differ in width.
    """

    def __init__(
        self,
        bags: Sequence[Bag | NDArray[np.float32] | torch.Tensor],
        targets: Sequence[int] | NDArray[np.int64],
        *,
        names: Sequence[str] | None = None,
        instance_labels: Sequence[Mapping[float, NDArray[np.int64]] | NDArray[np.int64] | None] | None = None,
        mpp: float = 0.5,
    ) -> None:
        super().__init__(names if names is not None else [f"bag {row}" for row in range(len(bags))], targets)
        if len(bags) != len(self.names):
            raise ValueError(f"{len(self.names)} names do not belong to {len(bags)} bags.")
        self._bags = [_bag(bag, mpp) for bag in bags]
        for name, given, bag in zip(self.names, bags, self._bags, strict=True):
            if given is not bag:
                self._check(name, bag.features(mpp), self._bags[0])
        self._instances = [
            _labels(labels, bag) for labels, bag in zip(instance_labels or [None] * len(bags), self._bags, strict=True)
        ]

    def bag(self, row: int) -> Bag:
        """Return the bag of a slide."""
        return self._bags[row]

    def instance_labels(self, row: int) -> Mapping[float, NDArray[np.int64]] | None:
        """Mpp -> (N,) class of each patch."""
        return self._instances[row]

    def _check(self, name: str, features: torch.Tensor, first: Bag) -> None:
        width = first.features(first.mpps[-1], np.zeros(1, np.int64)).shape[1]
        if features.shape[1] != width:
            raise TrainingError(f"{name} has {features.shape[1]} features for each patch, {self.names[0]} {width}.")
        if not bool(torch.isfinite(features).all()):
            raise TrainingError(f"{name} has features that are not finite; compute them again.")


def _bag(given: Bag | NDArray[np.float32] | torch.Tensor, mpp: float) -> Bag:
    if isinstance(given, np.ndarray | torch.Tensor):
        return FeatureBag({mpp: torch.as_tensor(given, dtype=torch.float32)})
    return given


def _labels(
    labels: Mapping[float, NDArray[np.int64]] | NDArray[np.int64] | None, bag: Bag
) -> Mapping[float, NDArray[np.int64]] | None:
    if isinstance(labels, np.ndarray):
        return {bag.mpps[-1]: labels.astype(np.int64)}
    return labels


class ChosenBags(NamedBags):
    """Some of the bags of a set, in the order of `rows`."""

    def __init__(self, bags: BagSet, rows: Sequence[int] | NDArray[np.int64]) -> None:
        self._bags = bags
        self._rows = np.asarray(rows, dtype=np.int64).reshape(-1)
        super().__init__([bags.names[row] for row in self._rows.tolist()], bags.targets[self._rows])

    def bag(self, row: int) -> Bag:
        """Return the bag of a slide."""
        return self._bags.bag(int(self._rows[row]))

    def instance_labels(self, row: int) -> Mapping[float, NDArray[np.int64]] | None:
        """Mpp -> (N,) class of each patch."""
        return self._bags.instance_labels(int(self._rows[row]))
