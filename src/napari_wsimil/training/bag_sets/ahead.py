"""Bags before they are asked for: read ahead in a thread, and kept in memory as far as there is room."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

import psutil
import torch

from napari_wsimil.bags.prefetch import in_thread
from napari_wsimil.training.bag_sets.base import NamedBags

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.bags import Bag
    from napari_wsimil.training.bag_sets.base import BagSet


def load_ahead(bags: BagSet, order: Iterable[int], ahead: int = 2) -> Generator[tuple[int, Bag], None, None]:
    """Give (row, bag) in this order, read in a thread while the last one is learned from.

    Closing the iterator stops the thread after the bag that it is reading; what reading raises is raised here, in its turn.

    Parameters
    ----------
    ahead
        How many bags wait at most, besides the one that is being read; 0: each is read when asked for.
    """
    pairs = ((int(row), bags.bag(int(row))) for row in order)
    if ahead < 1:
        yield from pairs
        return
    with in_thread(pairs, ahead) as ready:
        for pair in ready:
            if pair is not None:
                yield pair


class KeptBags(NamedBags):
    """A set of bags that keeps in memory what it gave, as long as there is room.

    Nothing is thrown away for something newer: an epoch asks for every bag once, so the oldest is the next one wanted.

    Parameters
    ----------
    limit
        Bytes; 0 keeps nothing. Where None, all such sets of this process together take up to a quarter of the memory that
        would be free without them.
    """

    def __init__(self, bags: BagSet, limit: int | None = None) -> None:
        super().__init__(bags.names, bags.targets)
        self._bags, self._limit = bags, limit
        self._kept: dict[int, Bag] = {}
        counts = getattr(bags, "counts", None)
        if counts is not None:
            # so that nobody reads bags to learn how long they are
            self.counts = counts
        self.nbytes = 0
        """Bytes that are kept."""
        if limit is None:
            _SHARING.add(self)

    def bag(self, row: int) -> Bag:
        """Return the bag of a slide."""
        kept = self._kept.get(row)
        if kept is not None:
            return kept
        # what is read while a model is judged must serve while it learns, too: no tensors for inference only
        with torch.inference_mode(mode=False):
            bag = self._bags.bag(row)
        size = _size_of(bag)
        with _KEEPING:
            if row not in self._kept and self._fits(size):
                self._kept[row] = bag
                self.nbytes += size
        return bag

    def instance_labels(self, row: int) -> Mapping[float, NDArray[np.int64]] | None:
        """Mpp -> (N,) class of each patch."""
        return self._bags.instance_labels(row)

    def _fits(self, size: int) -> bool:
        if self._limit is not None:
            return self.nbytes + size <= self._limit
        kept = sum(bags.nbytes for bags in _SHARING)
        return kept + size <= (psutil.virtual_memory().available + kept) / 4


_SHARING: WeakSet[KeptBags] = WeakSet()
_KEEPING = threading.Lock()


def _size_of(bag: Bag) -> int:
    """Bytes of a bag in memory: what it says, or its features."""
    size = getattr(bag, "nbytes", None)
    return sum(bag.features(mpp).nbytes for mpp in bag.mpps) if size is None else int(size)
