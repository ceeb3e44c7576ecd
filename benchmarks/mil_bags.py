"""Bags of random features for measuring MIL methods: a square of tissue without holes."""

from __future__ import annotations

import math

import numpy as np
import torch

from napari_wsimil.bags import FeatureBag
from napari_wsimil.mil import METHODS
from napari_wsimil.patches.grid import PatchGrid, child_offsets

MPPS = (1.0, 0.5)
"""Magnifications of methods that look at several: 10x and 20x, four children for each patch."""


class CountingBag(FeatureBag):
    """Counts the patches whose features were asked for: those that an encoder would have to encode."""

    asked = 0

    def features(self, mpp: float, rows: object = None) -> torch.Tensor:
        found = super().features(mpp, rows)  # type: ignore[arg-type]
        self.asked += len(found)
        return found


def grid(cells: np.ndarray, mpp: float) -> PatchGrid:
    """Patches of 256 px at these (column, row) cells, row by row."""
    cells = cells[np.lexsort((cells[:, 0], cells[:, 1]))].astype(np.int64)
    step = 256 * mpp / 0.25
    return PatchGrid((cells * step).astype(np.int64), cells, np.ones(len(cells), np.float32), mpp, 256, 256, step, step)


def pyramid(length: int, features: int, mpps: tuple[float, ...], device: str = "cpu") -> CountingBag:
    """A bag of `length` patches at the coarsest of `mpps` with all their children at the others."""
    width = math.isqrt(max(0, length - 1)) + 1
    coarse = np.stack(np.divmod(np.arange(length), width)[::-1], axis=1)
    grids = {}
    for mpp in mpps:
        k = round(mpps[0] / mpp)
        grids[mpp] = grid((coarse[:, None] * k + np.array(child_offsets(k))).reshape(-1, 2), mpp)
    torch.manual_seed(0)
    return CountingBag({mpp: torch.randn(len(its), features, device=device) for mpp, its in grids.items()}, grids)


def make_bag(name: str, length: int, features: int, device: str = "cpu", *, places: bool = True) -> FeatureBag:
    """A bag for a method; ZoomMIL's has `length` patches at the coarser of two magnifications."""
    bag = pyramid(length, features, MPPS if METHODS[name].magnifications != (1, 1) else MPPS[-1:], device)
    return bag if places else FeatureBag({mpp: bag.features(mpp) for mpp in bag.mpps})


def usual_parameters(name: str) -> dict[str, object]:
    """Hyper-parameters that differ from the defaults: ZoomMIL with as many magnifications as `make_bag` gives."""
    return {"magnifications": len(MPPS)} if name == "zoommil" else {}
