"""ABMIL is trained by the slide's label alone."""

from __future__ import annotations

from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.recipes.mean import COMMON
from napari_wsimil.training.settings import TrainingSettings, published


class ABMILSettings(TrainingSettings):
    """Ilse et al. 2018 trained 20 epochs on small images (Adam 5e-4, weight decay 1e-4); slides are trained as CLAM does."""

    learning_rate: float = published("learning_rate", 1e-4, COMMON)
    weight_decay: float = published("weight_decay", 1e-5, COMMON)


RECIPE = RecipeSpec("abmil", ABMILSettings, source=COMMON)
