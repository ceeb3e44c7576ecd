"""What came of a training, on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wsimil.training.runs.study_run import TrainingRun

SHOWN = ("roc_auc", "balanced_accuracy", "accuracy", "f1_macro")


def tell_run(run: TrainingRun, *, as_json: bool) -> None:
    """Print a finished run."""
    if as_json:
        document = {"folder": str(run.folder), "folds": [str(fold.folder) for fold in run.folds], "metrics": run.metrics}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(run_text(run))


def run_text(run: TrainingRun) -> str:
    """Put the figures of a run in lines for people."""
    if run.folds and "folds" in run.metrics:
        from napari_wsimil.training.runs.cross_validation import summary_text

        told = ", ".join(
            f"{name.replace('_', ' ')} {summary_text(run.metrics, name)}" for name in SHOWN if name in run.metrics["figures"]
        )
        return f"{run.metrics['folds']} folds: {told}\n  wrote {run.folder}"
    return f"{figures_text(run.metrics)}\n  wrote {run.folder}"


def figures_text(metrics: Mapping[str, Any]) -> str:
    """Put the figures of `metrics.json` in a line."""
    told = []
    for name in SHOWN:
        figure = metrics["figures"].get(name)
        if figure is None or figure["value"] is None:
            continue
        interval = "" if figure["low"] is None else f" ({figure['low']:.3f} to {figure['high']:.3f})"
        told.append(f"{name.replace('_', ' ')} {figure['value']:.3f}{interval}")
    return f"{metrics['cases']} slides: {', '.join(told)}"
