"""Curves and tables of an evaluation as figures, each with the number of slides and its intervals in words.

Drawn with matplotlib's figures alone, without pyplot, which keeps state that threads and napari's own windows would share.
Colours are those of Okabe and Ito (2008), which people who see few colours tell apart, and no two lines differ by colour alone.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_wsimil.training.evaluation.calibration import PREDICTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from napari_wsimil.training.evaluation.scoring import Scores

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", "-.", ":")
QUIET = "#6b6b6b"
SIDE = 5.0
"""Width of a figure in inches; a table of many classes is larger."""
_LONGEST_NAME = 24
Place = Literal["best", "lower right"]
_FEW = 8
"""Classes whose matrix has room for percentages."""


def roc(scores: Scores, metrics: Mapping[str, Any]) -> Figure:
    """ROC curve of the positive class, or of each class against the rest, with what `measure` found for `scores`."""
    from sklearn.metrics import roc_curve

    figure, (axes,) = _new("ROC curve", _caption(metrics, "roc_auc", "AUC"))
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":", label="by chance")
    for rank, (number, about) in enumerate(_shown(metrics)):
        false, true, _ = roc_curve(scores.targets == number, scores.probabilities[:, number])
        axes.plot(false, true, linewidth=2, label=f"{_name(about['class'])}, {about['roc_auc']:.3f}", **curve_look(rank))
    _limits(axes, "1 - specificity", "Sensitivity")
    _legend(axes, "AUC", "lower right")
    return figure


def precision_recall(scores: Scores, metrics: Mapping[str, Any]) -> Figure:
    """Precision-recall curve of the positive class, or of each class against the rest."""
    from sklearn.metrics import precision_recall_curve

    figure, (axes,) = _new("Precision and recall", _caption(metrics, "average_precision", "Average precision"))
    for rank, (number, about) in enumerate(_shown(metrics)):
        precision, recall, _ = precision_recall_curve(scores.targets == number, scores.probabilities[:, number])
        label = f"{_name(about['class'])}, {about['average_precision']:.3f}"
        axes.plot(recall, precision, drawstyle="steps-post", linewidth=2, label=label, **curve_look(rank))
        if metrics["positive_class"] is not None:
            share = about["cases"] / metrics["cases"]
            axes.axhline(share, color=QUIET, linewidth=1, linestyle=":", label=f"by chance, {share:.3f}")
    _limits(axes, "Recall (sensitivity)", "Precision")
    _legend(axes, "Average precision")
    return figure


def confusion_matrix(metrics: Mapping[str, Any]) -> Figure:
    """Counts of each true class by each predicted one, shaded by the share of the true class."""
    counts = np.asarray(metrics["confusion_matrix"])
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    classes = [_name(name) for name in metrics["classes"]]
    with_shares = len(classes) <= _FEW
    figure, (axes,) = _new(
        "Confusion matrix", _caption(metrics, "accuracy", "Accuracy"), width=max(SIDE, 2 + 0.7 * len(classes))
    )
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count}\n{shares[row, column]:.0%}" if with_shares and totals[row] else f"{count}"
        ink = "white" if shares[row, column] > 0.55 else "black"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=12 if len(classes) <= 4 else 9)
    many = len(classes) > 3
    axes.set_xticks(range(len(classes)), classes, rotation=45 if many else 0, ha="right" if many else "center")
    axes.set_yticks(range(len(classes)), classes)
    axes.tick_params(length=0)
    axes.set_xlabel("Predicted class (percent of the true class)" if with_shares else "Predicted class")
    axes.set_ylabel("True class")
    axes.spines[:].set_visible(False)
    return figure


def reliability_diagram(series: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Share that came true against probability, and below how many slides were given which.

    Parameters
    ----------
    series
        Name ("calibrated", "as the model gives them") -> what `calibration_figures` found; only the first has intervals.
    """
    first = next(iter(series.values()))
    errors = ", ".join(f"{about['ece']:.3f} {name}" for name, about in series.items())
    caption = (
        f"Expected calibration error {errors}; perfect calibration would show {first['chance']:.3f} on average on "
        f"{first['cases']} slides. Bars: 95 % intervals of groups of {first['table'][0]['cases']} slides or so."
    )
    figure, (axes, below) = _new("Reliability", caption, rows=2, height=6.4)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":", label="perfect calibration")
    for rank, (name, about) in enumerate(series.items()):
        _draw_reliability(axes, name, about["table"], rank)
        edges = np.linspace(0, 1, len(about["histogram"]) + 1)
        below.stairs(about["histogram"], edges, linewidth=1.5, **curve_look(rank))
    of_class = first["of"] != PREDICTED
    _limits(axes, "", f"Share of slides that are {_name(first['of'])}" if of_class else "Share of predictions that are right")
    _legend(axes)
    below.set(xlim=(-0.02, 1.02), xlabel=f"Probability of {_name(first['of'])}", ylabel="Slides")
    whole_numbers(below.yaxis, 4)
    quiet_axes(below)
    return figure


def _draw_reliability(axes: Axes, name: str, table: Sequence[Mapping[str, Any]], rank: int) -> None:
    across = [row["probability"] for row in table]
    share = np.array([row["share"] for row in table])
    spread = np.abs(np.array([[row["share_low"], row["share_high"]] for row in table]).T - share)
    look = curve_look(rank)
    if rank == 0:
        axes.errorbar(across, share, yerr=spread, capsize=3, linewidth=2, elinewidth=1, marker="o", label=name, **look)
    else:
        axes.plot(across, share, linewidth=1.2, marker="s", markerfacecolor="white", label=name, **look)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `name`.png and `name`.svg into `folder`; returns their paths."""
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    figure.savefig(paths[0], dpi=200, metadata={"Software": None})
    figure.savefig(paths[1], metadata={"Date": None, "Creator": None})
    return paths


def _shown(metrics: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """Number and table of the classes with a curve: the positive one, or the largest; none without slides of it and others."""
    wanted = [about for about in enumerate(metrics["per_class"]) if about[1]["roc_auc"] is not None]
    positive = metrics["positive_class"]
    if positive is None:
        largest = sorted(wanted, key=lambda about: -about[1]["cases"])[: len(COLOURS)]
        return [about for about in wanted if about in largest]
    return [about for about in wanted if about[1]["class"] == positive]


def _caption(metrics: Mapping[str, Any], name: str, title: str) -> str:
    found, counts = metrics["figures"][name], metrics["counts"]
    each = ", ".join(f"{count} {_name(label)}" for label, count in counts.items())
    slides = f"{metrics['cases']} slides" + (f" ({each})" if len(counts) <= 4 else f" of {len(counts)} classes")
    if metrics["patients"] is not None:
        slides += f" of {metrics['patients']} patients"
    if found["value"] is None:
        return f"{found['reason']} {slides}."
    over = "" if name == "accuracy" or metrics["positive_class"] is not None else ", mean of the classes"
    if over and len(counts) > len(COLOURS):
        slides += f", of which the {len(COLOURS)} largest are drawn"
    told = found["low"] is not None and found["low"] < found["high"]
    interval = "" if not told else f" (95 % interval {found['low']:.3f} to {found['high']:.3f})"
    return f"{title}{over} {found['value']:.3f}{interval}; {slides}."


def _new(
    title: str, caption: str, *, rows: int = 1, width: float = SIDE, height: float | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure with heading and caption, and its axes from top to bottom."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height or width + 0.5), layout="constrained")
    axes = figure.subplots(rows, 1, squeeze=False, gridspec_kw={"height_ratios": [3, 1][:rows]})
    figure.suptitle(title, x=0.02, ha="left", fontsize=13, fontweight="bold")
    wrapped = textwrap.fill(caption, round(14 * width))
    figure.supxlabel(wrapped, x=0.02, ha="left", fontsize=8.5, color=QUIET, linespacing=1.4)
    return figure, list(axes[:, 0])


def whole_numbers(axis: Axis, most: int = 9) -> None:
    """At most so many ticks, at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, integer=True))


def _legend(axes: Axes, title: str | None = None, place: Place = "best") -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc=place,
            frameon=True,
            framealpha=0.85,
            edgecolor="none",
            fontsize=9,
            title=title,
            title_fontsize=9,
            alignment="left",
        )


def _limits(axes: Axes, across: str, up: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=across, ylabel=up)
    quiet_axes(axes)


def quiet_axes(axes: Axes) -> None:
    """A light grid and no frame."""
    axes.grid(color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _name(text: str) -> str:
    """A name that fits, and in which a dollar sign is one and no mathematics."""
    return textwrap.shorten(text, _LONGEST_NAME, placeholder="…").replace("$", r"\$") or text[:_LONGEST_NAME]


def curve_look(rank: int) -> dict[str, Any]:
    """Colour and dashes of the line of this rank."""
    return {"color": COLOURS[rank % len(COLOURS)], "linestyle": STYLES[rank % len(STYLES)]}
