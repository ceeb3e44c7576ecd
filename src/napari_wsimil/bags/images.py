"""A bag whose instances are small images in memory, for encoders that are trained together with the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.patches import PatchGrid


class ImageBag:
    """Images of one size at one magnification; what it calls features are their pixels.

    Parameters
    ----------
    pixels
        (n, 3, h, w) uint8, red, green, blue; kept as they are, a byte each.
    mpp
        Micrometres per pixel; 1 where nobody knows.
    grid
        Where on a slide they lie, in the same order; None where they come from no slide.

    Raises
    ------
    ValueError
        There is no image, the pixels have another shape or type, or the grid has another length.
    """

    def __init__(self, pixels: Tensor, mpp: float = 1.0, grid: PatchGrid | None = None) -> None:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3 or not len(pixels):
            raise ValueError(
                f"Images of shape (n, 3, height, width) and type uint8 are needed, not {tuple(pixels.shape)} of {pixels.dtype}."
            )
        if grid is not None and len(grid) != len(pixels):
            raise ValueError(f"{len(pixels)} images do not belong to {len(grid)} patches.")
        self.pixels, self._mpp, self._grid = pixels, mpp, grid

    @property
    def mpps(self) -> tuple[float, ...]:
        """The one magnification."""
        return (self._mpp,)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.pixels.nbytes

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels)

    def grid(self, mpp: float) -> PatchGrid:
        """Return the patches at `mpp`; raises KeyError for images that come from no slide."""
        if mpp != self._mpp or self._grid is None:
            raise KeyError(mpp)
        return self._grid

    def features(self, mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> Tensor:
        """(n, 3, h, w) float32 pixels in 0 to 1, of `rows` or of all; KeyError for another magnification."""
        if mpp != self._mpp:
            raise KeyError(mpp)
        chosen = self.pixels if rows is None else self.pixels[torch.as_tensor(rows, device=self.pixels.device)]
        return chosen.float() / 255

    def children(self, mpp: float, finer_mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> NDArray[np.int64]:
        """Raises KeyError: there is no second magnification."""
        raise KeyError(finer_mpp)
