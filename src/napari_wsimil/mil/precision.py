"""Where half precision is not enough: sums over thousands of patches, softmax over them, and the choice of the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def precise(values: Tensor) -> Tensor:
    """`values` in float32 where they are float16 or bfloat16; float32 and float64 stay."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
