"""ILRA is trained by the slide's label alone."""

from __future__ import annotations

from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.settings import OptimiserName, ScheduleName, Selection, TrainingSettings, published

CODE = "ILRA, official code (jinxixiang/low_rank_wsi bb45b9b), config_ilra_camelyon16_imagenet.yaml"


class ILRASettings(TrainingSettings):
    """The cosine reaches 0 at the last epoch (T_max = epochs); nothing stops the training before."""

    epochs: int = published("epochs", 100, CODE)
    optimiser: OptimiserName = published("optimiser", "adam", CODE)
    learning_rate: float = published("learning_rate", 1e-4, CODE)
    schedule: ScheduleName = published("schedule", "cosine", CODE)
    patience: int = published("patience", 0, CODE)
    select: Selection = published("select", "loss", CODE)


RECIPE = RecipeSpec("ilra", ILRASettings, source=CODE)
