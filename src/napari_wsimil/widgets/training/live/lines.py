"""Which curves of a run are shown together, and what they are called; no window needed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from napari_wsimil.training.history import OF_STEPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.training.history import History

MOST_DRAWN = 150
"""Points of a line: a plot is some 250 px wide, and Qt draws more of them slowly."""

MOST_PARTS = 3
ENOUGH_EPOCHS = 20
"""After so many the epochs alone tell how it goes, and single steps are noise."""

TAUGHT = ("teacher", "student")
PARTS = {"bag": "slide labels", "polygons": "marks"}
"""Part of the loss, as a recipe calls it -> in plain words."""

FIGURES = (("roc auc", "ROC AUC"), ("balanced accuracy", "balanced accuracy"), ("f1", "F1"))


@dataclass(frozen=True)
class Line:
    """One curve of a plot.

    Attributes
    ----------
    name
        In the legend.
    xs, ys
        Its points.
    rank
        Of its colour.
    dashed
        Of the validation slides rather than of those that teach; or the second of two that belong together.
    faint
        Single steps, behind what matters.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    rank: int
    dashed: bool = False
    faint: bool = False

    def drawn(self) -> tuple[list[float], list[float]]:
        """As many points as are seen: means of neighbours, but the newest point as it is."""
        count = len(self.xs)
        if count <= MOST_DRAWN:
            return list(self.xs), list(self.ys)
        edges = [round(at * (count - 1) / (MOST_DRAWN - 1)) for at in range(MOST_DRAWN)]
        cells = [range(first, last) for first, last in pairwise(edges)]
        xs = [self.xs[cell[-1]] for cell in cells]
        ys = [sum(self.ys[at] for at in cell) / len(cell) for cell in cells]
        return [*xs, self.xs[-1]], [*ys, self.ys[-1]]

    def value_at(self, x: float) -> float | None:
        """Of the last point that is not right of `x`; None before the first."""
        found = None
        for at, value in zip(self.xs, self.ys, strict=True):
            if at > x:
                break
            found = value
        return found


def loss_lines(history: History, stage: str | None = None) -> list[Line]:
    """Training and validation; teacher and student by themselves; parts of the loss where there are several."""
    parts = history.parts(stage)
    both = set(TAUGHT) <= set(parts)
    steps = history.curves(stage)
    named = [name for name in TAUGHT if both or f"{name}{OF_STEPS}" in steps] or ["loss"]
    wanted = [(name, "training" if name == "loss" else name, False) for name in named]
    wanted.append(("validation loss", "validation", True))
    wanted += [(part, PARTS.get(part, part.replace("_", " ")), False) for part in parts if part not in named][:MOST_PARTS]
    lines = []
    if history.slow_epochs(stage) and len(history.curve("loss", stage)[0]) < ENOUGH_EPOCHS:
        lines = [
            _line(history, stage, f"{name}{OF_STEPS}", _of_steps(name), rank, faint=True) for rank, name in enumerate(named)
        ]
    lines += [_line(history, stage, key, name, rank, dashed=dashed) for rank, (key, name, dashed) in enumerate(wanted)]
    return [line for line in lines if line.xs]


def figure_lines(history: History, stage: str | None = None) -> list[Line]:
    """Figures of the validation slides between 0 and 1; ROC AUC for teacher and student where there are both."""
    taught = [(f"validation {name} auc", f"ROC AUC of the {name}") for name in TAUGHT]
    both = all(key in history.curves(stage) for key, _ in taught)
    wanted = [*taught, *FIGURES[1:]] if both else list(FIGURES)
    lines = [_line(history, stage, key, name, rank, dashed=rank == 1) for rank, (key, name) in enumerate(wanted)]
    return [line for line in lines if line.xs]


def rate_lines(history: History, stage: str | None = None) -> list[Line]:
    """The learning rate."""
    line = _line(history, stage, "learning rate", "learning rate", 0)
    return [line] if line.xs else []


def _of_steps(name: str) -> str:
    return "single steps" if name == "loss" else f"steps of the {name}"


def _line(
    history: History, stage: str | None, key: str, name: str, rank: int, *, dashed: bool = False, faint: bool = False
) -> Line:
    xs, ys = history.curve(key, stage)
    return Line(name, xs, ys, rank, dashed, faint)
