"""Pixels of the patches of slides, for whoever trains an encoder."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from napari_wsimil.errors import TrainingError
from napari_wsimil.patches import find_tissue, patch_grid
from napari_wsimil.slides import open_slide

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.encoders import EncoderSpec
    from napari_wsimil.patches import PatchGrid, PatchSpec
    from napari_wsimil.slides import Slide

OPEN_SLIDES = 16
"""Slides that stay open: files and their tile memory are dear, opening is cheap."""


class PatchPixels(Protocol):
    """Pixels of patches, by the rows of a set of bags. Any thread may ask."""

    def grids(self, row: int) -> dict[float, PatchGrid]:
        """Mpp -> the patches of a slide."""

    def read(self, row: int, mpp: float, xy: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(n, size, size, 3) pixels of the patches with corners `xy` (n, 2), in level-0 pixels."""

    def fingerprint(self, row: int) -> str:
        """Tell the pixels of one slide from those of others."""


class SlidePixels:
    """Patches of slide files, cut as `specs` say; slides are opened when asked for.

    Parameters
    ----------
    paths
        One for each row.
    specs
        One for each magnification, all with the same tissue method.
    mpps
        For each slide the µm per pixel of level 0 where its file does not say, else None; None: all files say.

    Raises
    ------
    TrainingError
        From any method: a slide does not say how many micrometres a pixel measures.
    """

    def __init__(self, paths: Sequence[Path], specs: Sequence[PatchSpec], mpps: Sequence[float | None] | None = None) -> None:
        self._paths = tuple(paths)
        self._mpps = tuple(mpps) if mpps is not None else (None,) * len(self._paths)
        self._specs = {spec.mpp: spec for spec in sorted(specs, key=lambda spec: -spec.mpp)}
        self._open: OrderedDict[int, Slide] = OrderedDict()
        self._lock = threading.Lock()

    def grids(self, row: int) -> dict[float, PatchGrid]:
        """Mpp -> the patches on tissue, coarse to fine, as a bag of this slide has them."""
        slide = self._slide(row)
        tissue = find_tissue(slide, next(iter(self._specs.values())).tissue_method)
        return {
            mpp: patch_grid(slide, mpp=mpp, size=spec.size, tissue=tissue, stride=spec.stride, min_tissue=spec.min_tissue)
            for mpp, spec in self._specs.items()
        }

    def read(self, row: int, mpp: float, xy: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(n, size, size, 3) pixels of the patches with corners `xy` (n, 2), in level-0 pixels."""
        spec = self._specs[mpp]
        return self._slide(row).read_patches(xy, spec.size, mpp, resampling=spec.resampling, colour=spec.colour)

    def fingerprint(self, row: int) -> str:
        """Tell the pixels of one slide from those of others."""
        return self._slide(row).fingerprint

    def _slide(self, row: int) -> Slide:
        with self._lock:
            slide = self._open.pop(row, None)
            if slide is None:
                slide = open_slide(self._paths[row], mpp=self._mpps[row])
                if slide.mpp is None:
                    raise TrainingError(
                        f"{self._paths[row]} does not say how many micrometres a pixel measures; write it into a column 'mpp'."
                    )
            self._open[row] = slide
            if len(self._open) > OPEN_SLIDES:
                # not closed here: another thread may be reading from it; it closes when nobody holds it any more
                self._open.popitem(last=False)
        return slide


def normalised(pixels: NDArray[np.uint8], spec: EncoderSpec, device: torch.device) -> Tensor:
    """(n, h, w, 3) uint8 pixels -> (n, 3, h, w) float32 as the network of an encoder takes them."""
    table = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2).float()
    mean, scale = (255 * torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    return (table - mean) / scale
