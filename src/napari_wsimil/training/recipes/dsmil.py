"""DSMIL is trained by binary cross-entropy of its two streams, which the model brings along."""

from __future__ import annotations

from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.settings import OptimiserName, ScheduleName, Selection, TrainingSettings, published

CODE = "DSMIL, official code (binli123/dsmil-wsi 80465ed)"


class DSMILSettings(TrainingSettings):
    """Older forms of the code trained with 2e-4 and weight decay 5e-3 for 40 to 200 epochs."""

    epochs: int = published("epochs", 50, CODE)
    optimiser: OptimiserName = published("optimiser", "adam", CODE)
    learning_rate: float = published("learning_rate", 1e-4, CODE)
    betas: tuple[float, float] = published("betas", (0.5, 0.9), CODE)
    weight_decay: float = published("weight_decay", 1e-3, CODE)
    schedule: ScheduleName = published("schedule", "cosine", CODE)
    schedule_end: float = published("schedule_end", 5e-6, CODE)
    patience: int = published("patience", 10, CODE)
    select: Selection = published(
        "select", "auc", f"{CODE}: the mean of AUC and of accuracy at a threshold tuned on the same slides", guess=True
    )


RECIPE = RecipeSpec("dsmil", DSMILSettings, source=CODE)
