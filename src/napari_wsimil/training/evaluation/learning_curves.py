"""How a training run went, drawn from its events: losses, and the figures of the validation slides, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.training.evaluation.plots import QUIET, curve_look, quiet_axes, whole_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_wsimil.training.events import Event

Curves = dict[str, dict[int, float]]
_WORDS = {
    "auc": "ROC AUC",
    "f1": "F1",
}
_LEFT_OUT = ("loss", "auc+f1")
"""What is no figure between 0 and 1 of its own."""


def learning_curves(events: Iterable[Event]) -> Figure | None:
    """Losses beside the figures of the validation slides, a row for each stage; None where no epoch has ended."""
    from matplotlib.figure import Figure

    stages: dict[str, list[Event]] = {}
    for event in events:
        if event.kind == "epoch":
            stages.setdefault(event.stage, []).append(event)
    if not stages:
        return None
    figure = Figure(figsize=(9, 0.6 + 3.1 * len(stages)), layout="constrained")
    figure.suptitle("Training", x=0.01, ha="left", fontsize=13, fontweight="bold")
    rows = figure.subplots(len(stages), 2, squeeze=False)
    for (stage, epochs), (left, right) in zip(stages.items(), rows, strict=True):
        _draw_stage(left, right, epochs, "" if len(stages) == 1 else f"{stage}: ")
    return figure


def _draw_stage(left: Axes, right: Axes, epochs: list[Event], prefix: str) -> None:
    losses, figures = _curves(epochs)
    best = epochs[-1].data.get("best_epoch")
    for axes, curves, title in ((left, losses, "losses"), (right, figures, "validation slides")):
        axes.set_title((prefix + title).capitalize(), loc="left", fontsize=10)
        for rank, (name, curve) in enumerate(curves.items()):
            marker = "." if len(curve) < 25 else None
            axes.plot([epoch + 1 for epoch in curve], list(curve.values()), marker=marker, label=name, **curve_look(rank))
        if best is not None and best >= 0:
            axes.axvline(best + 1, color=QUIET, linewidth=1, linestyle=":", label=f"best epoch, {best + 1}")
        axes.set_xlabel("Epoch")
        whole_numbers(axes.xaxis)
        quiet_axes(axes)
        if curves:
            axes.legend(framealpha=0.85, edgecolor="none", fontsize=8)
    left.set_ylabel("Loss")
    right.set_ylabel("Value")


def _curves(epochs: list[Event]) -> tuple[Curves, Curves]:
    """Name -> epoch -> value: losses (of both splits), and the other figures of the validation slides."""
    losses: Curves = {}
    figures: Curves = {}
    for event in epochs:
        _put(losses, "training: {}", event.epoch, _distinct(event.data.get("losses", {})))
        validation: Mapping[str, float] = event.data.get("validation", {})
        _put(losses, "validation: {}", event.epoch, {key: value for key, value in validation.items() if key == "loss"})
        _put(figures, "{}", event.epoch, {key: value for key, value in validation.items() if key not in _LEFT_OUT})
    return losses, figures


def _distinct(losses: Mapping[str, float]) -> Mapping[str, float]:
    """Without the part that is the whole: a method with one loss tells it twice."""
    return {"loss": losses["loss"]} if "loss" in losses and len(losses) == 2 else losses


def _put(curves: Curves, words: str, epoch: int, values: Mapping[str, float | None]) -> None:
    for name, value in values.items():
        if value is not None:
            curves.setdefault(words.format(_WORDS.get(name, name.replace("_", " "))), {})[epoch] = value
