"""A training as Python and as a command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_wsimil.widgets.recipes import Recipe, command_line, python_call, python_script

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.training.runs.plan import TrainingPlan


def training_command(plan: TrainingPlan, out: Path) -> str:
    """The line for a shell that trains the same in the folder `out`."""
    given = {**plan.parameters, **plan.settings}
    return command_line(
        "train",
        plan.manifest,
        method=plan.method,
        out=out,
        encoder=None if plan.encoder == "bundled" else plan.encoder,
        mpp=[f"{mpp:g}" for mpp in plan.mpps],
        patch_size=plan.patch_size,
        store=plan.store,
        set=[f"{name}={_typed(value)}" for name, value in given.items()],
        positive=plan.positive_class,
        device=None if plan.device == "auto" else plan.device,
        title=plan.title or None,
    )


def training_recipe(plan: TrainingPlan) -> Recipe:
    """How a model was trained; both ways train it again, beside the run, which is not touched."""
    again = plan.out.with_name(f"{plan.out.name}-again")
    call = python_call(
        "train",
        plan.manifest,
        plan.method,
        again,
        encoder=None if plan.encoder == "bundled" else plan.encoder,
        mpps=plan.mpps or None,
        patch_size=plan.patch_size,
        store=plan.store,
        parameters=dict(plan.parameters) or None,
        settings=dict(plan.settings) or None,
        positive_class=plan.positive_class,
        device=None if plan.device == "auto" else plan.device,
        title=plan.title or None,
    )
    return Recipe(
        f"Train {plan.title or plan.out.name}",
        python_script(f"run = {call}", "print(run.model, run.metrics)"),
        training_command(plan, again),
    )


def _typed(value: Any) -> str:
    """A value as `--set` reads it."""
    return value if isinstance(value, str) else json.dumps(value)
