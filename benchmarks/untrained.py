"""Encoders and model packages with random weights: what they cost does not depend on what they have learned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from napari_wsimil.bags import FeatureBag
from napari_wsimil.encoders import load_encoder
from napari_wsimil.mil import build_mil
from napari_wsimil.packages import EncoderReference, ModelSpec, save_model

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.packages import Model
    from napari_wsimil.patches import PatchGrid

CLASSES = ("non-cancerous", "precancerous", "cancerous")
"""Of BRIGHT."""
QUICK = {"depths": [1, 1, 1, 1], "embedding_size": 8, "hidden_sizes": [16, 16, 16, 16]}
"""Changes that make ResNet-50 tiny: for tests, not for figures."""


def resnet50(folder: Path, **changes: Any) -> str:
    """Name of ResNet-50 after its third stage (1024 features), as ZoomMIL's paper has it, with random weights.

    It takes patches as they are, 256 px, like the paper. `changes` are of its configuration, such as fewer layers for tests.
    """
    import transformers as hf

    if not (folder / "config.json").is_file():
        torch.manual_seed(0)
        hf.ResNetModel(hf.ResNetConfig(**changes)).eval().save_pretrained(folder)
        pixels = {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": False,
            "do_rescale": True,
            "do_normalize": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        }
        (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return f"{folder}#stage3"


def package(folder: Path, method: str, encoder: str, mpps: tuple[float, ...], *, seed: int = 0, **parameters: Any) -> Model:
    """Write a model package of a method for an encoder and return it."""
    loaded = load_encoder(encoder)
    # WENO tells two classes apart
    classes = CLASSES[::2] if method == "weno" else CLASSES
    spec = ModelSpec(
        id=folder.name,
        method=method,
        parameters=parameters,
        classes=classes,
        encoder=EncoderReference.to(loaded, encoder),
        mpps=mpps,
        training={"untrained": "random weights, for benchmarks"},
    )
    torch.manual_seed(seed)
    return save_model(folder, build_mil(method, loaded.dimension, len(classes), parameters), spec)


def head_flops(model: Model, grids: dict[float, PatchGrid]) -> int:
    """Floating-point operations of a MIL network on these patches, their features random; 2 for each MAC."""
    torch.manual_seed(0)
    bag = FeatureBag({mpp: torch.randn(len(grid), model.encoder.dimension) for mpp, grid in grids.items()}, grids)
    # the fused attention kernels hide their products from the counter
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model.mil(bag)
    return int(counter.get_total_flops())
