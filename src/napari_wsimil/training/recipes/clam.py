"""CLAM is trained by the slide's label and by its surest patches, whose loss the model brings along."""

from __future__ import annotations

from typing import Literal

from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.settings import OptimiserName, Selection, TrainingSettings, published

CODE = "CLAM, official code (mahmoodlab/CLAM 53e2409)"
PAPER = "Lu et al. 2021, methods"


class CLAMSettings(TrainingSettings):
    """The weights of the two losses (0.7 and 0.3) and B = 8 are hyper-parameters of the method."""

    epochs: int = published("epochs", 200, CODE)
    optimiser: OptimiserName = published("optimiser", "adam", CODE)
    learning_rate: float = published("learning_rate", 1e-4, CODE)
    weight_decay: float = published("weight_decay", 1e-5, CODE)
    balanced: Literal["none", "sampling", "loss"] = published("balanced", "sampling", PAPER)
    patience: int = published("patience", 20, CODE)
    patience_from: int = published("patience_from", 50, CODE)
    select: Selection = published("select", "loss", CODE)


RECIPE = RecipeSpec("clam", CLAMSettings, source=PAPER)
