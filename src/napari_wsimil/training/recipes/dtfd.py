"""DTFD's two tiers are trained side by side: each has its optimiser, its schedule and its limits of gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.mil.end_to_end import EndToEnd
from napari_wsimil.training.optimisers import make_optimiser
from napari_wsimil.training.recipe import BagRecipe, RecipeSpec
from napari_wsimil.training.settings import OptimiserName, ScheduleName, Selection, TrainingSettings, published

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn, optim

    from napari_wsimil.mil import MILModel
    from napari_wsimil.training.bag_sets import BagSet

CODE = "DTFD-MIL, official code (hrzhang1123/DTFD-MIL 10964f4)"

TIERS = {
    "pseudo_bags": (("embed",), ("attention",), ("group_classifier",)),
    "slide": (("slide_attention", "classifier"),),
}
"""Optimiser -> the groups of parts of `DTFD` whose gradients are limited together."""


class DTFDSettings(TrainingSettings):
    """Gradients are limited for each part by itself; the epoch is chosen among the last fifth."""

    epochs: int = published("epochs", 200, CODE)
    optimiser: OptimiserName = published("optimiser", "adam", CODE)
    learning_rate: float = published("learning_rate", 1e-4, CODE)
    weight_decay: float = published("weight_decay", 1e-4, CODE)
    schedule: ScheduleName = published("schedule", "steps", CODE)
    schedule_factor: float = published("schedule_factor", 0.2, CODE)
    schedule_at: tuple[int, ...] = published("schedule_at", (100,), CODE)
    clip: float = published("clip", 5.0, CODE)
    patience: int = published("patience", 0, CODE)
    select: Selection = published("select", "auc", CODE)
    select_from: float = published("select_from", 0.8, CODE)


class DTFDRecipe(BagRecipe):
    """Two optimisers over the two tiers.

    One backward pass serves both: the embeddings handed on are cut off from the first tier (the method's `detach`), so each
    tier's gradient is that of its own loss, as in the official code, which clears the other's. There the second loss is passed
    back after the first tier has changed, which PyTorch refuses by now.
    """

    def __init__(self, model: MILModel, bags: BagSet, settings: TrainingSettings) -> None:
        super().__init__(model, bags, settings)
        # images: the encoder learns with the first tier, but its gradients have their own limit
        tiered = model.model if isinstance(model, EndToEnd) else model
        made = {name: _optimiser(settings, tiered, tiers) for name, tiers in TIERS.items()}
        if isinstance(model, EndToEnd):
            made["encoder"] = make_optimiser(settings, model.encoder.parameters())
        self.optimisers = {name: optimiser for name, optimiser in made.items() if optimiser is not None}


def _optimiser(settings: TrainingSettings, model: nn.Module, tiers: Sequence[Sequence[str]]) -> optim.Optimizer | None:
    """One group of parameters for each group of parts that is trained; None where none is."""
    groups = [[p for part in parts for p in model.get_submodule(part).parameters() if p.requires_grad] for parts in tiers]
    trained = [group for group in groups if group]
    if not trained:
        return None
    optimiser = make_optimiser(settings, trained[0])
    for group in trained[1:]:
        optimiser.add_param_group({"params": group})
    return optimiser


RECIPE = RecipeSpec("dtfd", DTFDSettings, DTFDRecipe, source=CODE)
