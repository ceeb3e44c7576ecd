"""The encoder of WENO's experiments with CIFAR images (Qu et al., NeurIPS 2022), trained together with the MIL model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class SmallImageCNN(nn.Module):
    """An AlexNet for images of 32 px: 2,826,432 parameters, 1728 features.

    Convolutions of 3 px to 96, 192, 384, 384 and 192 channels, each with batch normalisation and ReLU; pooling over 3 px in
    steps of 2 after the first, second and last: 32 -> 15 -> 7 -> 3 px.
    """

    dimension = 1728

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, pooled in ((3, 96, True), (96, 192, True), (192, 384, False), (384, 384, False), (384, 192, True)):
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
            nn.init.normal_(convolution.weight, std=(2 / (9 * outputs)) ** 0.5)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
            layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            if pooled:
                layers.append(nn.MaxPool2d(3, stride=2))
        self.layers = nn.Sequential(*layers, nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, 32, 32) in 0 to 1 -> (n, 1728)."""
        features: Tensor = self.layers(images)
        return features
