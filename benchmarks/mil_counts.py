"""Parameters and multiply-accumulates (MACs) of a MIL method, counted in two ways.

*All products* are those of matrices, convolutions, einsum and scaled-dot-product attention, as fvcore has them.
*The papers' counter* is thop: only layers that are called as modules, a normalisation as 4 operations for each number; it does
not see products in between, nor what `nn.MultiheadAttention` does inside. Tables of the papers are made with it, and so is
section 7.2 of the specification. The papers call a MAC a FLOP.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from mil_bags import make_bag
from torch import nn
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from napari_wsimil.mil import METHODS, build_mil


@dataclass
class LeafCount:
    """What thop sees."""

    macs: float = 0
    executed: set[nn.Module] = field(default_factory=set)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for module in self.executed for p in module.parameters(recurse=False))

    def __call__(self, module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        self.executed.add(module)
        if isinstance(module, nn.Linear):
            self.macs += output.numel() * module.in_features
        elif isinstance(module, nn.Conv1d | nn.Conv2d):
            self.macs += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.LayerNorm):
            self.macs += 4 * output.numel()


@dataclass(frozen=True)
class Count:
    """Parameters in all, of layers that the papers' counter sees; MACs of all products, of those layers."""

    parameters: int
    leaf_parameters: int
    macs: float
    leaf_macs: float


def count(
    name: str, features: int, length: int, parameters: dict[str, object] | None = None, *, training: bool = False
) -> Count:
    """Count one bag of `length` instances with `features` numbers each, two classes; mostly without computing anything.

    What a method does for people to look at only, such as evidence, counts too; TransMIL and ILRA leave it out in training.
    """
    try:
        with FakeTensorMode():
            return _count(name, features, length, parameters, training)
    except (DataDependentOutputException, DynamicOutputShapeException):
        return _count(name, features, length, parameters, training)


def _count(name: str, features: int, length: int, parameters: dict[str, object] | None, training: bool) -> Count:
    network = build_mil(name, features, 2, parameters).train(training)
    leaves = LeafCount()
    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(leaves)
    bag = make_bag(name, length, features, places=METHODS[name].magnifications != (1, 1))
    # the fused attention kernels hide their products from the counter
    with FlopCounterMode(display=False) as flops, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(bag)
    total = sum(p.numel() for p in network.parameters())
    return Count(total, leaves.parameters, flops.get_total_flops() / 2, leaves.macs)


def resnet50_to_layer3(side: int = 256) -> int:
    """MACs of the convolutions of ResNet-50, cut off after its third layer, on a square patch."""
    side //= 2
    macs = side**2 * 3 * 64 * 49
    side //= 2
    inputs = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2)):
        for block in range(blocks):
            before, side = side, side // (stride if block == 0 else 1)
            macs += before**2 * inputs * width + side**2 * (9 * width**2 + 4 * width**2)
            if block == 0:
                macs += side**2 * inputs * 4 * width
            inputs = 4 * width
    return macs
