"""Train the bundled encoder: tissue types of generated patches, under strong changes of stain, sharpness and size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from napari_wsimil.encoders import CompactCNN

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

MEAN = (0.80, 0.65, 0.78)
STD = (0.18, 0.22, 0.16)


def train_encoder(
    patches: NDArray[np.uint8],
    shares: NDArray[np.float32],
    *,
    epochs: int,
    seed: int = 0,
    batch: int = 48,
    on_epoch: Callable[[int, float, float], None] | None = None,
) -> CompactCNN:
    """Learn features that tell tissue types apart.

    Parameters
    ----------
    patches, shares
        From `tissue_types.sample_patches`; the last twentieth is held out for the figure of the report.
    on_epoch
        Called with (epoch, training loss, held-out accuracy on patches with one type above 80 %).

    Returns
    -------
    The network in evaluation mode, on the CPU.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    held = max(batch, len(patches) // 20)
    order = rng.permutation(len(patches))
    test, train = order[:held], order[held:]
    network = CompactCNN().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    head = nn.Linear(CompactCNN.dimension, shares.shape[1])
    parameters = [*network.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-3)
    steps = epochs * (len(train) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps, pct_start=0.15)
    for epoch in range(epochs):
        network.train()
        losses = []
        for rows in np.array_split(rng.permutation(train), len(train) // batch):
            x = augment(_to_tensor(patches[rows]))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                features = network(normalise(x))
            loss = F.cross_entropy(head(F.dropout(features.float(), 0.2)), torch.from_numpy(shares[rows]), label_smoothing=0.02)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        if on_epoch is not None:
            on_epoch(epoch, float(np.mean(losses)), _accuracy(network, head, patches[test], shares[test]))
    return network.eval()


def normalise(x: Tensor) -> Tensor:
    """(n, 3, h, w) in 0..1 -> what the network takes."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def augment(x: Tensor) -> Tensor:
    """Other laboratories and scanners: stain, hue, brightness, blur, noise, size, turns, mirrors; (n, 3, h, w) in 0..1."""
    n = len(x)
    strength = torch.empty(n, 1, 1, 1).uniform_(0.65, 1.4) * torch.empty(n, 3, 1, 1).uniform_(0.85, 1.18)
    x = x.clamp_min(1 / 255) ** strength  # optical density times `strength`
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * torch.empty(n, 1, 1, 1).uniform_(0.6, 1.3)
    x = x * torch.empty(n, 1, 1, 1).uniform_(0.92, 1.05) + torch.empty(n, 3, 1, 1).uniform_(-0.03, 0.03)
    if torch.rand(()) < 0.3:
        x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    if torch.rand(()) < 0.5:
        side = int(torch.randint(184, 257, ()))
        top, left = torch.randint(0, 257 - side, (2,)).tolist()
        x = F.interpolate(x[:, :, top : top + side, left : left + side], size=(256, 256), mode="bilinear", antialias=True)
    x = x + torch.randn_like(x) * 0.015
    turns = int(torch.randint(0, 4, ()))
    x = torch.rot90(x, turns, (2, 3))
    return (x.flip(3) if torch.rand(()) < 0.5 else x).clamp(0, 1)


def _to_tensor(patches: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(patches).permute(0, 3, 1, 2).float() / 255


@torch.inference_mode()
def _accuracy(network: CompactCNN, head: nn.Linear, patches: NDArray[np.uint8], shares: NDArray[np.float32]) -> float:
    network.eval()
    clear = shares.max(1) > 0.8
    found = [head(network(normalise(_to_tensor(part)))).argmax(1).numpy() for part in np.array_split(patches[clear], 16)]
    return float((np.concatenate(found) == shares[clear].argmax(1)).mean())
