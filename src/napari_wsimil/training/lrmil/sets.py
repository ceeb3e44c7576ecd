"""The sets of bags that LRMIL's stages learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_wsimil.bags import FeatureBag
from napari_wsimil.training.bag_sets.base import NamedBags

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.data.pixels import PatchPixels
    from napari_wsimil.training.lrmil.tables import SlideTables


class OneMagnification(NamedBags):
    """Slides of which one magnification is shown: fine ones to the teacher, coarse ones to the student.

    Parameters
    ----------
    bags
        Whose names and targets.
    mpp
        The magnification.
    read
        Row -> (N, D) features.
    """

    def __init__(self, bags: BagSet, mpp: float, read: Callable[[int], Tensor]) -> None:
        super().__init__(tuple(bags.names), bags.targets)
        self._mpp, self._read = mpp, read

    def bag(self, row: int) -> FeatureBag:
        """Return the bag of a slide."""
        return FeatureBag({self._mpp: self._read(row)})


class CoarsePatch(FeatureBag):
    """A coarse patch as a bag of its children.

    Parameters
    ----------
    mpp
        Of the children.
    features
        (r, D) of the children, 0 where one is absent.
    layers
        (r, sum of D_l), what the layers of the frozen encoder said of them.
    present
        (r,) bool, which there are.
    attention
        (r,) what the teacher paid to them, 0 where one is absent.
    pixels
        (size, size, 3) uint8 of the coarse patch itself.
    """

    def __init__(
        self,
        mpp: float,
        features: Tensor,
        *,
        layers: Tensor,
        present: Tensor,
        attention: Tensor,
        pixels: NDArray[np.uint8],
    ) -> None:
        super().__init__({mpp: features})
        self.final, self.layers, self.present, self.attention, self.pixels = features, layers, present, attention, pixels


class CoarsePatches(NamedBags):
    """All coarse patches of some slides that have a child, for an encoder to learn from.

    Parameters
    ----------
    bags
        The slides; their pixels are those of `pixels`.
    mpps
        Coarse and fine.
    fine, taught
        Tables of stage 1 and of stage 2.

    Attributes
    ----------
    slides
        (n,) row of the slide of each patch.
    """

    def __init__(
        self, bags: BagSet, pixels: PatchPixels, mpps: tuple[float, float], fine: SlideTables, taught: SlideTables
    ) -> None:
        there = [np.flatnonzero((fine.table(row, "children") >= 0).any(axis=1)) for row in range(len(bags))]
        self.slides = np.repeat(np.arange(len(there)), [len(rows) for rows in there])
        self._patches = np.concatenate(there)
        super().__init__([bags.names[row] for row in self.slides.tolist()], bags.targets[self.slides])
        self._pixels, self._mpps, self._fine, self._taught = pixels, mpps, fine, taught

    def bag(self, row: int) -> CoarsePatch:
        """Read one coarse patch with what is known of its children."""
        slide, patch = int(self.slides[row]), int(self._patches[row])
        children = np.array(self._fine.table(slide, "children")[patch])
        corner = np.array(self._fine.table(slide, "corners")[patch : patch + 1])
        present = children >= 0
        known = {name: self._fine.table(slide, name) for name in ("features", "layers")}
        known["attention"] = self._taught.table(slide, "attention")
        of_child = {name: _of_children(table, children, present) for name, table in known.items()}
        return CoarsePatch(
            self._mpps[1],
            of_child["features"],
            layers=of_child["layers"],
            present=torch.from_numpy(present),
            attention=of_child["attention"],
            pixels=self._pixels.read(slide, self._mpps[0], corner)[0],
        )


class TaughtSlide(FeatureBag):
    """A slide's features at both magnifications, with `children` (Nc, r) int64 and the teacher's `attention` (N,)."""

    def __init__(self, features: dict[float, Tensor], children: Tensor, attention: Tensor) -> None:
        super().__init__(features)
        self.children_rows, self.attention = children, attention


class TaughtSlides(NamedBags):
    """Slides for an adapter to learn from: features only.

    Parameters
    ----------
    bags
        With both magnifications.
    mpps
        Coarse and fine.
    fine, taught
        Tables of stage 1 and of stage 2.
    """

    def __init__(self, bags: BagSet, mpps: tuple[float, float], fine: SlideTables, taught: SlideTables) -> None:
        super().__init__(tuple(bags.names), bags.targets)
        self._bags, self._mpps, self._fine, self._taught = bags, mpps, fine, taught

    def bag(self, row: int) -> TaughtSlide:
        """Return the bag of a slide."""
        bag = self._bags.bag(row)
        children = torch.from_numpy(np.array(self._fine.table(row, "children")))
        attention = torch.from_numpy(np.array(self._taught.table(row, "attention")))
        return TaughtSlide({mpp: bag.features(mpp) for mpp in self._mpps}, children, attention)


def _of_children(table: NDArray[np.floating], children: NDArray[np.int64], present: NDArray[np.bool_]) -> Tensor:
    """Rows of the children as float32, 0 where one is absent."""
    found = np.zeros((len(children), *table.shape[1:]), np.float32)
    found[present] = table[children[present]]
    return torch.from_numpy(found)
