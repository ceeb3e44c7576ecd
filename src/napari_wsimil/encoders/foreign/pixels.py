"""How pixels are made ready for a network: resized, cut and scaled, as its own configuration says."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import interpolate

from napari_wsimil.errors import ModelError

Side = Annotated[int, Field(ge=1, le=8192)]
Positive = Annotated[float, Field(gt=0)]
Interpolation = Literal["nearest-exact", "bilinear", "bicubic"]


class PixelSpec(BaseModel):
    """What happens to patches before a network sees them, in this order.

    Attributes
    ----------
    resize
        (height, width) in pixels that every patch is brought to; None: as it comes.
    interpolation
        How, always with smoothing when it gets smaller.
    crop
        (height, width) of the middle that is kept; None: all.
    mean, std
        Of RGB in 0..1; taken off, and divided by.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    resize: tuple[Side, Side] | None = None
    interpolation: Interpolation = "bilinear"
    crop: tuple[Side, Side] | None = None
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]

    @property
    def side(self) -> int | None:
        """Side of the square patches that need no resizing, in pixels; None where any size goes in as it is."""
        return None if self.resize is None else min(self.resize)

    def output(self, side: int) -> tuple[int, int]:
        """Return (height, width) that the network sees of patches with `side` px."""
        return self.crop or self.resize or (side, side)


def fitted(pixels: Tensor, spec: PixelSpec) -> Tensor:
    """Resize and cut uint8 pixels on the CPU: (n, 3, h, w) -> (n, 3, H, W) uint8.

    Done in uint8 with the same filters as Pillow and torchvision: it differs from Pillow by rounding (256 to 224 px: by 1 of
    255 in 0.3 % of the pixels), takes a tenth of its time, and is the same whatever device the network is on.

    Raises
    ------
    ModelError
        The patches are smaller than what is to be cut out of them.
    """
    if spec.resize is not None and tuple(pixels.shape[2:]) != spec.resize:
        smooth = spec.interpolation != "nearest-exact"
        pixels = interpolate(pixels, size=spec.resize, mode=spec.interpolation, antialias=smooth)
    if spec.crop is None:
        return pixels
    (height, width), (tall, wide) = pixels.shape[2:], spec.crop
    if tall > height or wide > width:
        raise ModelError(
            f"Patches of {width} x {height} px are too small, {wide} x {tall} px are cut out of them; take larger ones."
        )
    top, left = (height - tall) // 2, (width - wide) // 2
    return pixels[:, :, top : top + tall, left : left + wide].contiguous(memory_format=torch.channels_last)
