"""What a MIL model may ask of a slide: features at a magnification, for all patches or for some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.patches import PatchGrid


@runtime_checkable
class Bag(Protocol):
    """A slide as a bag of instances. Rows count the patches of one magnification's grid."""

    @property
    def mpps(self) -> tuple[float, ...]:
        """Magnifications in µm per pixel, coarse to fine."""

    def grid(self, mpp: float) -> PatchGrid:
        """Return the patches at `mpp`."""

    def features(self, mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> Tensor:
        """(n, D) float32 features of `rows`, or of all patches."""

    def children(self, mpp: float, finer_mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> NDArray[np.int64]:
        """(n, r) rows of the finer grid that lie in each of `rows`; -1 where there is no such patch."""


def row_array(rows: NDArray[np.int64] | Tensor | None, count: int) -> NDArray[np.int64]:
    """Rows as a NumPy array, all `count` for None."""
    if rows is None:
        return np.arange(count, dtype=np.int64)
    return np.asarray(rows.cpu() if isinstance(rows, torch.Tensor) else rows, dtype=np.int64)


class BagView:
    """A bag that answers as another does; a subclass changes what it wants to.

    Parameters
    ----------
    bag
        The other.
    """

    def __init__(self, bag: Bag) -> None:
        self._bag = bag

    @property
    def mpps(self) -> tuple[float, ...]:
        """Magnifications in µm per pixel, coarse to fine."""
        return self._bag.mpps

    def grid(self, mpp: float) -> PatchGrid:
        """Return the patches at `mpp`."""
        return self._bag.grid(mpp)

    def features(self, mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> Tensor:
        """(n, D) features of `rows`, or of all patches."""
        return self._bag.features(mpp, rows)

    def children(self, mpp: float, finer_mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> NDArray[np.int64]:
        """(n, r) rows of the finer grid; -1 where there is no such patch."""
        return self._bag.children(mpp, finer_mpp, rows)


class OneMagnification(BagView):
    """A bag of which one magnification is seen.

    Parameters
    ----------
    bag
        The other.
    mpp
        Of its magnifications.
    """

    def __init__(self, bag: Bag, mpp: float) -> None:
        super().__init__(bag)
        self._mpp = mpp

    @property
    def mpps(self) -> tuple[float, ...]:
        """The one magnification in µm per pixel."""
        return (self._mpp,)


class FeatureBag:
    """A bag whose features are in memory, for training and for features that came from elsewhere.

    Parameters
    ----------
    features
        mpp -> (N, D) features.
    grids
        mpp -> patches in the same order; may stay out for methods that ask for no places.

    Raises
    ------
    ValueError
        There is no magnification, a magnification has no patch, or a grid and its features differ in length.
    """

    def __init__(self, features: Mapping[float, Tensor], grids: Mapping[float, PatchGrid] | None = None) -> None:
        if not features:
            raise ValueError("A bag needs features of at least one magnification.")
        self._features = {mpp: features[mpp] for mpp in sorted(features, reverse=True)}
        self._grids = dict(grids or {})
        self._children: dict[tuple[float, float], NDArray[np.int64]] = {}
        for mpp, table in self._features.items():
            if table.ndim != 2 or len(table) == 0:
                raise ValueError(
                    f"The features at {mpp:g} µm per pixel have shape {tuple(table.shape)}; (N, D) with N > 0 is needed."
                )
            if mpp in self._grids and len(self._grids[mpp]) != len(table):
                raise ValueError(
                    f"{len(table)} features do not belong to {len(self._grids[mpp])} patches at {mpp:g} µm per pixel."
                )

    @property
    def mpps(self) -> tuple[float, ...]:
        """Magnifications in µm per pixel, coarse to fine."""
        return tuple(self._features)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(table.nbytes for table in self._features.values())

    def grid(self, mpp: float) -> PatchGrid:
        """Return the patches at `mpp`; raises KeyError where none were given."""
        return self._grids[mpp]

    def features(self, mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> Tensor:
        """(n, D) features of `rows`, or of all patches."""
        table = self._features[mpp]
        return table if rows is None else table[torch.as_tensor(rows, device=table.device)]

    def children(self, mpp: float, finer_mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> NDArray[np.int64]:
        """(n, r) rows of the finer grid; -1 where there is no such patch. Found once: training asks in every epoch."""
        if (mpp, finer_mpp) not in self._children:
            self._children[mpp, finer_mpp] = self.grid(mpp).children(self.grid(finer_mpp))
        return self._children[mpp, finer_mpp][row_array(rows, len(self.grid(mpp)))]
