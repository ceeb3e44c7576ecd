"""The networks that the prediction benchmarks compute, made here with random weights: as our encoders, and as plain modules."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_wsimil.encoders import load_encoder

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from napari_wsimil.encoders import Encoder

SIZE = 256
"""Side of the patches in pixels."""
MPP = 0.5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEPTHS = {
    "ResNet-18": ("basic", [2, 2, 2, 2], [64, 128, 256, 512]),
    "ResNet-50": ("bottleneck", [3, 4, 6, 3], [256, 512, 1024, 2048]),
}
FREE = "global mean"


@dataclass(frozen=True)
class Network:
    """One network in two forms with the same weights.

    Attributes
    ----------
    encoder
        As `load_encoder` gives it.
    module
        (n, 3, s, s) normalised float32 pixels -> (n, D) float32, as a library hands it out: what peers are given.
    side
        Side in pixels of the middle of a patch that it sees.
    """

    name: str
    encoder: Encoder
    module: nn.Module
    side: int


class Pooled(nn.Module):
    """The features of a network of `transformers`: float32 whatever it computed in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, D)."""
        return self.network(pixel_values=pixels).pooler_output.flatten(1).float()


class GlobalMean(nn.Module):
    """A network that costs nothing: the mean of each colour."""

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, 3)."""
        return pixels.mean((2, 3))


def resnet(name: str, folder: Path) -> Network:
    """A ResNet of `transformers` with random weights, by way of a folder as one downloads them, with its usual preprocessing.

    That is ImageNet's: the shorter side to 256 px, which patches have, and the 224 px in the middle.
    """
    from transformers import ResNetConfig, ResNetModel

    kind, depths, widths = DEPTHS[name]
    here = folder / name
    if not here.exists():
        torch.manual_seed(0)
        config = ResNetConfig(layer_type=kind, depths=depths, hidden_sizes=widths)
        ResNetModel(config).save_pretrained(here)
        pixels = {"image_processor_type": "ConvNextImageProcessor", "do_resize": True, "size": {"shortest_edge": 224}}
        pixels |= {"crop_pct": 0.875, "resample": 3, "do_normalize": True, "image_mean": MEAN, "image_std": STD}
        (here / "preprocessor_config.json").write_text(json.dumps(pixels))
    module = Pooled(ResNetModel.from_pretrained(here)).eval().requires_grad_(False)
    return Network(name, load_encoder(here), module, 224)


def free(folder: Path) -> Network:
    """The network that costs nothing; ours is told of it as a program."""
    path = folder / "free.pt"
    module = GlobalMean().eval()
    if not path.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is on its way out, but what it wrote is still about
            torch.jit.trace(module, torch.zeros(2, 3, SIZE, SIZE)).save(str(path))
        path.with_suffix(".json").write_text(json.dumps({"patch_size": SIZE, "mpp": MPP, "mean": MEAN, "std": STD}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is a program, and ours
        encoder = load_encoder(path, trust_code=True)
    return Network(FREE, encoder, module, SIZE)


def normalised(network: Network, pixels: Tensor) -> Tensor:
    """(n, 256, 256, 3) uint8 -> the (n, 3, side, side) float32 that the module takes."""
    margin = (SIZE - network.side) // 2
    seen = pixels[:, margin : margin + network.side, margin : margin + network.side].permute(0, 3, 1, 2)
    return ((seen.float() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)).contiguous()
