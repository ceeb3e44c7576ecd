"""From the options of `train` to a plan."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
    from napari_wsimil.training.runs.plan import TrainingPlan


def pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    """Values of NAME=VALUE by their names."""
    values = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f"{option} takes NAME=VALUE, not {text!r}.")
        values[name.strip()] = value.strip()
    return values


def parsed(given: tuple[str, ...]) -> dict[str, Any]:
    """Settings by their names: JSON where a value is some, several with commas between, else text."""
    return {name.replace("-", "_"): _value(value) for name, value in pairs(given, "--set").items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    return [_value(part.strip()) for part in text.split(",") if part.strip()] if "," in text else text


def _chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    shortcuts = {name: options[name] for name in ("epochs", "seed") if options[name] is not None}
    return {**parsed(options["given"]), **shortcuts}


def training_plan(out: Path, options: Mapping[str, Any]) -> TrainingPlan:
    """What `train` without --from is asked to do."""
    from napari_wsimil.training.runs.plan import TrainingPlan, sorted_out

    if not options["method"]:
        raise click.UsageError("Say which method to train with --method (see `napari-wsimil methods`), or --from a package.")
    parameters, settings = sorted_out(options["method"], _chosen(options))
    classes = options["classes"]
    return TrainingPlan(
        manifest=options["manifest"],
        method=options["method"],
        out=out,
        encoder=options["encoder"],
        mpps=tuple(sorted(options["mpps"], reverse=True)),
        patch_size=options["patch_size"],
        store=options["store"],
        features=options["features"],
        parameters=parameters,
        settings=settings,
        classes=tuple(name.strip() for name in classes.split(",")) if classes else None,
        positive_class=options["positive"],
        validation=options["validation"],
        test=0.15 if options["test"] is None else options["test"],
        folds=options["folds"],
        fold=options["fold"],
        device=options["device"],
        title=options["title"],
        command=command_line(),
    )


def tuning_plan(out: Path, options: Mapping[str, Any]) -> FineTuningPlan:
    """What `train --from` is asked to do."""
    from napari_wsimil.packages import load_model
    from napari_wsimil.training.fine_tuning.plan import FineTuningPlan

    for name in ("method", "classes", "positive", "folds", "fold", "mpps", "patch_size"):
        if options[name]:
            raise click.UsageError(
                f"--{name.replace('_', '-').rstrip('s')} can't be chosen with --from: the model has its own."
            )
    return FineTuningPlan(
        model=load_model(options["package"], trust_code=options["trust_code"]),
        manifest=options["manifest"],
        out=out,
        settings={"tune": options["tune"], "learn_from": options["learn_from"], **_chosen(options)},
        features=options["features"],
        store=options["store"],
        rehearsal=options["rehearsal"],
        names=pairs(options["means"], "--means"),
        validation=options["validation"],
        test=options["test"] or 0.0,
        device=options["device"],
        title=options["title"],
        command=command_line(),
    )


def command_line() -> str:
    """Return the command as it would be typed again."""
    return shlex.join(["napari-wsimil", *sys.argv[1:]])
