"""Mean pooling is trained by the slide's label alone."""

from __future__ import annotations

from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.settings import TrainingSettings, published

COMMON = "common practice on whole slides (CLAM, ACMIL: learning rate 1e-4, weight decay 1e-5)"


class PoolingSettings(TrainingSettings):
    """No paper trains pooling for its own sake; it gets what the methods that compare with it give it."""

    learning_rate: float = published("learning_rate", 1e-4, COMMON)
    weight_decay: float = published("weight_decay", 1e-5, COMMON)


RECIPE = RecipeSpec("mean", PoolingSettings, source=COMMON)
