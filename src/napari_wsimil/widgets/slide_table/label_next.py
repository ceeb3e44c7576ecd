"""Which slide to label next, and the patches on it that are worth a look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_wsimil.cohorts.overview import label_next
from napari_wsimil.widgets.docks import open_dock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.cohorts.overview import SlideRow

NONE_LEFT = "Every slide that the model is unsure of has been proposed."


class LabelNext:
    """Proposes slides one after the other, each once in a round.

    Parameters
    ----------
    viewer
        The napari viewer, whose dock "Regions" shows the patches.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._proposed: set[str] = set()
        self._waiting = ""

    def propose(self, rows: Sequence[SlideRow]) -> SlideRow | None:
        """The most useful slide that was not proposed yet; None, and a new round begins, where there is none."""
        left = [row for row in label_next(rows) if row.name not in self._proposed]
        if not left:
            self._proposed.clear()
            return None
        self._proposed.add(left[0].name)
        self._waiting = left[0].name
        return left[0]

    def show_patches(self, name: str) -> None:
        """A slide is open: where it is the one proposed, show the patches that the model is least sure of."""
        if name == self._waiting:
            self._waiting = ""
            open_dock(self._viewer, "Regions").rank_by("disagreement", "uncertainty", "attention")


def reason(row: SlideRow) -> str:
    """Why a slide was proposed, one sentence."""
    if row.label is not None:
        return f"{row.name} is labelled {row.label}, but the model says {row.predicted_class} ({row.confidence:.0%})."
    if (row.disagreement or 0.0) > (row.uncertainty or 0.0):
        return f"Label {row.name}: teacher and student are {row.disagreement:.0%} apart on its patches."
    return f"Label {row.name}: the model says {row.predicted_class} with only {row.confidence:.0%}."
