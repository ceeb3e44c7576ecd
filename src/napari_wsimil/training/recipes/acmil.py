"""ACMIL is trained by the losses of the slide, of its branches and of their likeness, which the model brings along."""

from __future__ import annotations

from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.settings import OptimiserName, ScheduleName, Selection, TrainingSettings, published

CODE = "ACMIL, official code (dazhangyu123/ACMIL e53d19c)"


class ACMILSettings(TrainingSettings):
    """The published cosine falls with every slide; here it falls from epoch to epoch."""

    epochs: int = published("epochs", 50, CODE)
    optimiser: OptimiserName = published("optimiser", "adamw", CODE)
    learning_rate: float = published("learning_rate", 1e-4, CODE)
    weight_decay: float = published("weight_decay", 1e-5, CODE)
    schedule: ScheduleName = published("schedule", "cosine", CODE)
    patience: int = published("patience", 0, CODE)
    select: Selection = published("select", "auc+f1", CODE)


RECIPE = RecipeSpec("acmil", ACMILSettings, source=CODE)
