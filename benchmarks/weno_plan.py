"""With which encoder, widths and settings WENO's table is run: the official script's on a GPU, smaller and faster ones else.

Without a GPU (one core of a processor, about an hour for twelve cells) the differences are these, the same for all four
methods: three convolutions instead of five, images mirrored at random, narrower heads with less dropout, PyTorch's usual
start of linear layers but an even one of what ranks patches, Adam with decoupled weight decay and a falling rate instead of
plain SGD, some ten epochs instead of 1500, four slides in a step of the teacher.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from weno_data import CRC_SIDE, FEATURE_WIDTH

from napari_wsimil.encoders.small_images import SmallImageCNN
from napari_wsimil.mil.end_to_end import ImageEncoder, end_to_end
from napari_wsimil.mil.methods.weno import WENO
from napari_wsimil.training.recipes.weno import WENOSettings

if TYPE_CHECKING:
    from napari_wsimil.mil import MILModel

STATISTICS = ((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))


@dataclass(frozen=True)
class Plan:
    """Everything that all cells of a table share.

    Attributes
    ----------
    encoder
        "paper", "small" or "imagenet": the last does not learn, what learns is a projection of its features.
    side, length
        Pixels of an image's edge (0: features), images in a bag.
    epochs
        Of a cell, by the share of positive images; the key 0 is for all others.
    model
        Widths of teacher and student, and what else `WENO` takes.
    settings
        Of `WENOSettings`.
    """

    encoder: str
    side: int
    length: int
    epochs: dict[float, int]
    model: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


PUBLISHED = Plan(
    "paper",
    side=32,
    length=100,
    epochs={0: 1500},
    settings={"student_batch": 256, "mine_after": 150, "patience": 0, "select_from": 0.9999, "precision": "bf16"},
)
PUBLISHED_CRC = replace(PUBLISHED, side=CRC_SIDE, settings=PUBLISHED.settings | {"mine_after": 100})
SMALL = Plan(
    "small",
    side=32,
    length=100,
    epochs={0: 11, 0.2: 9, 0.5: 16, 0.7: 20},
    model={"hidden": 256, "attention": 128, "student": 256, "dropout": 0.25},
    settings={
        "optimiser": "adamw",
        "learning_rate": 5e-4,
        "weight_decay": 0.05,
        "schedule": "cosine",
        "accumulate": 4,
        "student_batch": 256,
        "mine_after": 10_000,
        "patience": 0,
        "select_from": 0.9999,
        "precision": "bf16",
    },
)
FEATURES = Plan(
    "imagenet",
    side=0,
    length=100,
    epochs={0: 10},
    model={"projection": 128, "hidden": 128, "attention": 64, "student": 128, "dropout": 0.5},
    settings=SMALL.settings | {"learning_rate": 1e-3, "precision": "full"},
)
TINY = Plan(
    "small",
    side=16,
    length=20,
    epochs={0: 4},
    model={"hidden": 16, "attention": 8, "student": 16},
    settings=SMALL.settings | {"learning_rate": 5e-3, "precision": "full"},
)


def plan_for(data: str, device: torch.device) -> Plan:
    """The plan of a set of images on a device."""
    with_gpu = {"cifar": PUBLISHED, "crc": PUBLISHED_CRC, "tiny": TINY}
    without = {"cifar": SMALL, "crc": FEATURES, "tiny": TINY}
    return (with_gpu if device.type == "cuda" else without)[data]


def make_settings(plan: Plan, epochs: int, seed: int) -> WENOSettings:
    """Settings of a cell."""
    return WENOSettings.model_validate({**plan.settings, "epochs": epochs, "seed": seed})


def make_model(plan: Plan, teacher: str, *, with_weno: bool) -> MILModel:
    """WENO, or its teacher alone, over images; from one seed encoder and teacher start the same in both."""
    chosen = {"teacher": teacher, "answer": "student" if with_weno else "teacher", **plan.model}
    if plan.encoder == "imagenet":
        return _started(WENO(FEATURE_WIDTH, 2, **chosen))
    paper = plan.encoder == "paper"
    encoder = ImageEncoder(SmallImageCNN()) if paper else ImageEncoder(small_encoder(), *STATISTICS, mirror=True)
    with torch.no_grad():
        width = encoder.eval()(torch.zeros(1, 3, plan.side, plan.side)).shape[1]
    network = WENO(width, 2, projection=0, **chosen)
    return end_to_end(encoder, network if paper else _started(network))


def _started(network: WENO) -> WENO:
    """Begin as a few epochs need it; see the head of this file."""
    network.apply(_usual_start)
    _even_start(network.teacher)
    return network


def _usual_start(layer: nn.Module) -> None:
    """PyTorch's own; from the published one, of standard deviation 0.01, a few epochs are too short a way."""
    if isinstance(layer, nn.Linear):
        layer.reset_parameters()


def _even_start(teacher: nn.Module) -> None:
    """No patch is preferred at first: a random preference for the wrong patches may never be unlearned at 10 %."""
    for name, layer in teacher.named_modules():
        if name in ("score.2", "patches"):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


def small_encoder() -> nn.Sequential:
    """Three convolutions, 5 px to 48 and 3 px to 96 and 128 channels, each with normalisation, ReLU and pooling: 512 features.

    5 million multiply-accumulates for an image of 32 px; the paper's takes 171.
    """
    layers: list[nn.Module] = []
    for inputs, outputs, kernel, stride in ((3, 48, 5, 2), (48, 96, 3, 1), (96, 128, 3, 1)):
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    layers[-1] = nn.AdaptiveMaxPool2d(2)
    return nn.Sequential(*layers, nn.Flatten())
