"""Multiply-accumulates and parameters as the papers' tables have them, and with the products that those leave out."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from napari_wsimil.bags import FeatureBag
from napari_wsimil.mil import build_mil


@dataclass
class LeafCount:
    """What thop sees: linear layers, convolutions and normalisations that are called as modules."""

    macs: float = 0
    executed: set[nn.Module] = field(default_factory=set)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for module in self.executed for p in module.parameters())

    def __call__(self, module, _inputs, output):
        self.executed.add(module)
        if isinstance(module, nn.Linear):
            self.macs += output.numel() * module.in_features
        elif isinstance(module, nn.Conv2d):
            self.macs += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.LayerNorm):
            self.macs += 4 * output.numel()


def count(name: str, features: int, length: int, parameters: dict | None = None) -> tuple[LeafCount, float]:
    """(what thop sees, MACs with all matrix products) of a step in training mode; nothing is computed."""
    with FakeTensorMode():
        network = build_mil(name, features, 2, parameters).train()
        leaves = LeafCount()
        for module in network.modules():
            if not list(module.children()):
                module.register_forward_hook(leaves)
        # the fused attention kernels hide their products from the counter
        with FlopCounterMode(display=False) as flops, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            network(FeatureBag({0.5: torch.empty(length, features)}))
    return leaves, flops.get_total_flops() / 2
