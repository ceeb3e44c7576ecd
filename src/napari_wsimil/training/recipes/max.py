"""Max pooling is trained as mean pooling is."""

from __future__ import annotations

from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.recipes.mean import COMMON, PoolingSettings

RECIPE = RecipeSpec("max", PoolingSettings, source=COMMON)
