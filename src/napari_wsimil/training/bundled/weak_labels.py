"""Train a MIL model from slide labels alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from napari_wsimil.bags import FeatureBag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.mil import MILModel


def train_from_slide_labels(
    model: MILModel,
    bags: Sequence[NDArray[np.float32]],
    labels: Sequence[int],
    *,
    mpp: float,
    epochs: int = 40,
    learning_rate: float = 2e-4,
    seed: int = 0,
    held_out: float = 0.2,
    on_epoch: Callable[[int, float, float], None] | None = None,
) -> MILModel:
    """Bag cross-entropy, one bag a step, AdamW; keeps the weights of the epoch with the least loss on held-out bags.

    Parameters
    ----------
    model
        Trained in place, left in evaluation mode.
    bags, labels
        (N, D) features and the number of the class for each slide.
    held_out
        Share of the bags that choose the epoch.
    on_epoch
        Called with (epoch, training loss, held-out loss).
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    made = [FeatureBag({mpp: torch.from_numpy(features)}) for features in bags]
    target = [torch.tensor(label) for label in labels]
    order = rng.permutation(len(made))
    split = max(1, round(len(made) * held_out))
    validation, train = order[:split], order[split:]
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2)
    best, kept = float("inf"), {name: value.clone() for name, value in model.state_dict().items()}
    for epoch in range(epochs):
        model.train()
        losses = []
        for row in rng.permutation(train):
            loss = functional.cross_entropy(model(made[row]).logits, target[row])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        model.eval()
        with torch.inference_mode():
            held = float(np.mean([functional.cross_entropy(model(made[row]).logits, target[row]).item() for row in validation]))
        if held < best:
            best, kept = held, {name: value.clone() for name, value in model.state_dict().items()}
        if on_epoch is not None:
            on_epoch(epoch, float(np.mean(losses)), held)
    model.load_state_dict(kept)
    return model.eval()
