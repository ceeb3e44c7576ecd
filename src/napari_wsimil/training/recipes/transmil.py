"""TransMIL is trained by the slide's label, two slides a step."""

from __future__ import annotations

from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.settings import OptimiserName, Selection, TrainingSettings, published

CODE = "TransMIL, official code (szc19990412/TransMIL 9d6aee5), Camelyon/TransMIL.yaml"


class TransMILSettings(TrainingSettings):
    """Published with 16-bit numbers on a GPU (precision fp16 here); full precision is ours, so that it trains everywhere."""

    epochs: int = published("epochs", 200, CODE)
    optimiser: OptimiserName = published("optimiser", "lookahead-radam", CODE)
    learning_rate: float = published("learning_rate", 2e-4, CODE)
    weight_decay: float = published("weight_decay", 1e-5, CODE)
    accumulate: int = published("accumulate", 2, CODE)
    patience: int = published("patience", 10, CODE)
    select: Selection = published("select", "loss", CODE)


RECIPE = RecipeSpec("transmil", TransMILSettings, source=CODE)
