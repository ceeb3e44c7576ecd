"""Optimisers and learning rates by name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import optim

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch.nn import Parameter

    from napari_wsimil.training.settings import TrainingSettings


class LookaheadRAdam(optim.RAdam):
    """RAdam, after every few steps of which slow weights follow (Zhang et al., NeurIPS 2019), as TransMIL is trained.

    Parameters
    ----------
    every, share
        After how many steps the slow weights go how much of the way to the fast ones, which then start there; the defaults are
        those of the form that TransMIL uses (timm's).
    """

    def __init__(self, parameters: Iterable[Parameter], *, every: int = 6, share: float = 0.5, **settings: Any) -> None:
        super().__init__(parameters, **settings)
        self.every, self.share = every, share

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of RAdam; the slow weights stand in the state, so that they are stored with it."""
        parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        before = {p: p.clone() for p in parameters if "slow" not in self.state[p]}
        loss = super().step(closure)
        for p in parameters:
            state = self.state[p]
            if p in before:
                state["slow"] = before[p]
            if int(state["step"]) % self.every == 0:
                state["slow"].lerp_(p, self.share)
                p.copy_(state["slow"])
        return loss


def make_optimiser(settings: TrainingSettings, parameters: Iterable[Parameter], **changed: Any) -> optim.Optimizer:
    """Return the optimiser that `settings` ask for, over the parameters that are to be trained.

    Parameters
    ----------
    changed
        Settings that differ for these parameters: `learning_rate`, `weight_decay`.
    """
    trained = [p for p in parameters if p.requires_grad]
    named: dict[str, Any] = {
        "lr": changed.get("learning_rate", settings.learning_rate),
        "weight_decay": changed.get("weight_decay", settings.weight_decay),
    }
    if settings.optimiser == "sgd":
        return optim.SGD(trained, momentum=settings.momentum, **named)
    named["betas"] = settings.betas
    kinds = {"adam": optim.Adam, "adamw": optim.AdamW, "radam": optim.RAdam, "lookahead-radam": LookaheadRAdam}
    return kinds[settings.optimiser](trained, **named)


def scheduled(settings: TrainingSettings, epoch: int) -> float | None:
    """By what the first learning rate is multiplied in `epoch` (from 0); None where it follows the validation loss."""
    if settings.schedule == "cosine":
        end = settings.schedule_end / settings.learning_rate
        return end + (1 - end) * (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
    if settings.schedule == "steps":
        return float(settings.schedule_factor ** sum(epoch >= at for at in settings.schedule_at))
    return 1.0 if settings.schedule == "constant" else None
