"""How each method is trained, one file per method; `RECIPES` holds them by name."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_wsimil.training.recipe import RecipeSpec


def _found() -> dict[str, RecipeSpec]:
    modules = [importlib.import_module(f"{__name__}.{entry.name}") for entry in pkgutil.iter_modules(__path__)]
    found: list[RecipeSpec] = [module.RECIPE for module in modules if hasattr(module, "RECIPE")]
    return {recipe.name: recipe for recipe in sorted(found, key=lambda recipe: recipe.name)}


RECIPES = _found()
"""Name of the method -> recipe: every module of `training.recipes` gives one."""
