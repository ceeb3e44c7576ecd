"""Precisions, what a device can do of them, and networks that compute in them."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import nn

from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
AMPERE = (8, 0)
"""The first of NVIDIA's compute capabilities that has units for bf16."""


class PixelsToFeatures(nn.Module):
    """Scales pixels in float32, shows them to a network in its precision, and gives float32 features.

    Parameters
    ----------
    network
        (n, 3, h, w) scaled pixels -> (n, D).
    mean, scale
        (1, 3, 1, 1), of pixels in 0..255: what is taken off, and what the rest is multiplied by.
    precision
        What convolutions and matrix products are done in; autocast leaves normalisations and sums in float32.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, scale: Tensor, precision: Precision = "fp32") -> None:
        super().__init__()
        self.network, self.precision = network, precision
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) uint8 -> (n, D) float32, on the device where both are."""
        scaled = self._scaled(pixels)
        if self.precision == "fp32":
            return self.network(scaled).float()
        with torch.autocast(pixels.device.type, DTYPES[self.precision]):
            return self.network(scaled).float()

    def _scaled(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) float32, channels last.

        Row by row: over three channels that lie side by side, the processor would do three numbers at a time, which takes
        seventeen times as long.
        """
        count, _, height, width = pixels.shape
        rows = pixels.permute(0, 2, 3, 1).reshape(count * height, width * 3).float()
        rows.sub_(self.mean.view(3).repeat(width)).mul_(self.scale.view(3).repeat(width))
        return rows.view(count, height, width, 3).permute(0, 3, 1, 2)


def cast(network: nn.Module, precision: Precision) -> nn.Module:
    """Return a copy whose convolutions and linear layers keep their weights in `precision`.

    Autocast would cast them again for each batch (up to a tenth of the time of a small one); all else stays in float32, so
    that the features are those of autocast. A ViT with all of its weights cast is no faster and errs by three times as much.
    """
    copy = deepcopy(network)
    for module in copy.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(DTYPES[precision])
    return copy


def half_for(device: torch.device) -> Precision:
    """Return the half precision that a device is most likely to be fast in."""
    if device.type == "mps" or (device.type == "cuda" and torch.cuda.get_device_capability(device) < AMPERE):
        return "fp16"
    return "bf16"


def check_precision(name: str, device: torch.device) -> None:
    """Refuse what is no precision, or what a device of this kind is not made for.

    Raises
    ------
    ModelError
        It is unknown, or the device has no units for it.
    """
    if name != "auto" and name not in PRECISIONS:
        raise ModelError(f'There is no precision "{name}"; choose auto, {", ".join(PRECISIONS)}.')
    if name == "fp16" and device.type == "cpu":
        raise ModelError("A processor (CPU) does not compute in fp16 at any speed; choose auto, bf16 or fp32.")
    if name == "bf16" and device.type == "cuda" and torch.cuda.get_device_capability(device) < AMPERE:
        raise ModelError(f"{torch.cuda.get_device_name(device)} has no units for bf16; choose auto, fp16 or fp32.")
