"""Regions of a slide: its patches in groups of neighbours, in an order in which one group follows the next."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from napari_wsimil.mil.hilbert import hilbert_order
from napari_wsimil.mil.kmeans import cluster_means, spatial_kmeans

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.bags import Bag

Regioning = Literal["kmeans", "balanced"]

REMEMBERED = 20_000_000
"""Patches whose regions are kept for the next time that their slide comes, some 160 MB."""


@dataclass(frozen=True)
class Regions:
    """A partition of the N rows of a bag.

    Attributes
    ----------
    order
        (N,) int64 rows of the bag, one region after the other, ascending within a region.
    sizes
        How many rows each region has, none of them 0.
    """

    order: Tensor
    sizes: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.sizes)

    @classmethod
    def from_labels(cls, labels: Tensor) -> Regions:
        """Regions from the (N,) region of each row; empty ones are dropped, the order of the others stays."""
        return cls(torch.argsort(labels, stable=True), tuple(torch.unique(labels, return_counts=True)[1].tolist()))

    def rows(self) -> tuple[Tensor, ...]:
        """Rows of the bag of each region."""
        return self.order.split(self.sizes)

    def labels(self) -> Tensor:
        """(N,) int64 region of each row of the bag."""
        sizes = torch.tensor(self.sizes, device=self.order.device)
        numbers = torch.repeat_interleave(torch.arange(len(self), device=self.order.device), sizes, output_size=len(self.order))
        return torch.empty_like(numbers).scatter_(0, self.order, numbers)

    def to(self, device: torch.device) -> Regions:
        """Regions on a device."""
        return Regions(self.order.to(device), self.sizes)


class _Memory:
    """Regions of the slides seen last: the next epoch asks for the same."""

    def __init__(self, largest: int) -> None:
        self._largest, self._held = largest, 0
        self._known: OrderedDict[bytes, Regions] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Regions | None:
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def put(self, key: bytes, regions: Regions) -> None:
        with self._lock:
            if key not in self._known:
                self._known[key] = regions
                self._held += len(regions.order)
            while self._held > self._largest:
                self._held -= len(self._known.popitem(last=False)[1].order)


_memory = _Memory(REMEMBERED)


def bag_regions(bag: Bag, mpp: float, count: int, regioning: Regioning, largest: int) -> Regions:
    """Regions of a bag at one magnification, remembered by the places of its patches.

    Parameters
    ----------
    count
        How many regions R are wanted; there are at most as many as patches.
    regioning
        See `regions_of`. A bag without places (features that came without a grid) is cut in runs of equal length in its order.
    largest
        Patches in a region on average at most: where R regions would be larger, there are more of them. 0: no limit.
    """
    if torch.compiler.is_compiling():
        # the compiler would take NumPy's part for torch's; a decorator would do the same but loads the compiler at import
        return torch.compiler.disable(_bag_regions)(bag, mpp, count, regioning, largest)
    return _bag_regions(bag, mpp, count, regioning, largest)


def _bag_regions(bag: Bag, mpp: float, count: int, regioning: Regioning, largest: int) -> Regions:
    try:
        places = bag.grid(mpp).xy
    except KeyError:
        length = len(bag.features(mpp))
        return Regions(torch.arange(length), _equal_sizes(length, _count(length, count, largest)))
    count = _count(len(places), count, largest)
    key = hashlib.blake2b(f"{count} {regioning} ".encode() + np.ascontiguousarray(places).tobytes(), digest_size=16).digest()
    known = _memory.get(key)
    if known is None:
        # made while predicting they would be of no use in training: autograd does not take tensors of inference mode
        with torch.inference_mode(mode=False):
            known = regions_of(places, count, regioning)
        _memory.put(key, known)
    return known


def _count(length: int, count: int, largest: int) -> int:
    return min(length, max(count, -(-length // largest) if largest else 0))


def regions_of(places: NDArray[np.int64], count: int, regioning: Regioning) -> Regions:
    """Divide (N, 2) places in at most `count` regions that follow each other along Hilbert's curve.

    Parameters
    ----------
    regioning
        "kmeans": compact regions of unequal size; "balanced": equal runs of the curve itself.
    """
    if regioning == "balanced":
        along, sizes = hilbert_order(places), _equal_sizes(len(places), count)
        runs = np.split(along, np.cumsum(sizes)[:-1])
        return Regions(torch.from_numpy(np.concatenate([np.sort(run) for run in runs])), sizes)
    scaled = places.astype(np.float64)
    clusters = spatial_kmeans(scaled, count)
    along = hilbert_order(cluster_means(scaled, clusters))
    number = np.empty_like(along)
    number[along] = np.arange(len(along))
    return Regions.from_labels(torch.from_numpy(number[clusters]))


def _equal_sizes(length: int, count: int) -> tuple[int, ...]:
    """Sizes of `count` parts of `length` that differ by 1 at most, the larger ones first."""
    least, larger = divmod(length, count)
    return (least + 1,) * larger + (least,) * (count - larger)
