"""AINet is trained by the losses of the slide, of its regions and of its features' consistency, which the model brings along.

Regions are made once for each slide and remembered (`mil.regions`): later epochs do not cluster again.
"""

from __future__ import annotations

from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.settings import OptimiserName, Selection, TrainingSettings, published

PAPER = "AINet (Zheng et al. 2026)"
LOST = "the text we have lost the number; the same first author's GMMamba and ACMIL use this"
SIBLING = "the same first author's GMMamba"


class AINetSettings(TrainingSettings):
    """The weights of the three losses are hyper-parameters of the method."""

    epochs: int = published("epochs", 100, PAPER)
    optimiser: OptimiserName = published("optimiser", "adamw", PAPER)
    learning_rate: float = published("learning_rate", 1e-4, LOST, guess=True)
    weight_decay: float = published("weight_decay", 1e-5, LOST, guess=True)
    patience: int = published("patience", 20, SIBLING, guess=True)
    patience_from: int = published("patience_from", 50, SIBLING, guess=True)
    select: Selection = published("select", "auc+f1", SIBLING, guess=True)
    select_from: float = published("select_from", 0.05, f"{SIBLING}: after epoch 5 of 100", guess=True)


RECIPE = RecipeSpec("ainet", AINetSettings, source=PAPER)
