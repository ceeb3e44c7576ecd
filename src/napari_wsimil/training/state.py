"""All tensors and numbers that a recipe goes on from, flat and by name, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_wsimil.training.recipe import Recipe

MODULES, OPTIMISERS = "modules/", "optimisers/"


def tensors_of(recipe: Recipe) -> dict[str, Tensor]:
    """Weights, buffers and what optimisers remember of each weight."""
    found = {MODULES + name: tensor for name, tensor in recipe.modules.state_dict().items()}
    for optimiser_name, optimiser in recipe.optimisers.items():
        for index, remembered in optimiser.state_dict()["state"].items():
            for name, value in remembered.items():
                if isinstance(value, torch.Tensor):
                    found[f"{OPTIMISERS}{optimiser_name}/{index}/{name}"] = value
    return found


def numbers_of(recipe: Recipe) -> dict[str, Any]:
    """Learning rates and what the recipe wants kept."""
    rates = {name: [group["lr"] for group in optimiser.param_groups] for name, optimiser in recipe.optimisers.items()}
    return {"rates": rates, "recipe": recipe.numbers()}


def restore(recipe: Recipe, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    """Bring a recipe that was made anew to the state that was kept."""
    weights = {name.removeprefix(MODULES): tensor for name, tensor in tensors.items() if name.startswith(MODULES)}
    recipe.modules.load_state_dict(weights)
    for name, optimiser in recipe.optimisers.items():
        _restore_optimiser(optimiser, f"{OPTIMISERS}{name}/", tensors, numbers["rates"][name])
    recipe.set_numbers(numbers["recipe"])


def _restore_optimiser(
    optimiser: torch.optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor], rates: list[float]
) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            index, _, what = name.removeprefix(prefix).partition("/")
            state.setdefault(int(index), {})[what] = tensor
    # momentum that SGD has not begun is None there, and missing here
    groups = optimiser.state_dict()["param_groups"]
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
    optimiser.load_state_dict({"state": state, "param_groups": groups})
