"""The bundled encoder's network: a residual CNN small enough for a laptop without a GPU."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (32, 64, 128, 256)


class ConvNorm(nn.Sequential):
    """A convolution without bias and the batch normalisation behind it."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def fold(self) -> None:
        """Put the normalisation's running statistics into the convolution: the same numbers, one pass over memory less."""
        convolution, norm = self[0], self[1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            self[0] = fuse_conv_bn_eval(convolution, norm)
            self[1] = nn.Identity()


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the first one halves the side where `stride` is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, stride=stride)
        self.second = ConvNorm(outputs, outputs)
        same = inputs == outputs and stride == 1
        self.shortcut: nn.Module = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride, 0)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""
        y: Tensor = self.second(self.relu(self.first(x)))
        added: Tensor = self.relu(y + self.shortcut(x))
        return added


class CompactCNN(nn.Module):
    """Patches to features: 4x4 patch stem, four residual stages, global average; 1.2 M parameters, 0.26 GMAC per 256-px patch.

    A 256-px patch is 64, 32, 16 and 8 pixels wide in the stages, so one output pixel of the last stage stands for 32 px
    (16 µm at 0.5 mpp, about a nucleus and its surroundings) and sees most of the patch.
    """

    dimension = WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, WIDTHS[0], kernel=4, stride=4, padding=0)
        self.relu = nn.ReLU(inplace=True)
        self.stages = nn.Sequential(
            ResidualBlock(WIDTHS[0], WIDTHS[0]),
            *(ResidualBlock(inputs, outputs, stride=2) for inputs, outputs in pairwise(WIDTHS)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) normalised pixels -> (n, 256) features."""
        return self.feature_map(x).mean(dim=(2, 3))

    def feature_map(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) normalised pixels -> (n, 256, h / 32, w / 32), what `forward` takes the mean of."""
        cells: Tensor = self.stages(self.relu(self.stem(x)))
        return cells

    def folded(self) -> CompactCNN:
        """Return a copy for inference whose normalisations are folded into the convolutions."""
        copy = deepcopy(self).eval()
        for module in copy.modules():
            if isinstance(module, ConvNorm):
                module.fold()
        return copy
