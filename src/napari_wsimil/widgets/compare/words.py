"""What is said of a comparison: on the canvas, and in the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.components.overlays import TextOverlay

from napari_wsimil.inference.comparison import top_words
from napari_wsimil.widgets.words import share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wsimil.inference.comparison import Comparison, Row

FONT_SIZE = 10
LETTER = 11
"""Width in px of a letter on the canvas, on average, and some more."""

LONGEST = 40
"""Letters of a name on the canvas, where there is room."""

CORNERS = {"top_left": "wsimil_compared_left", "top_right": "wsimil_compared_right"}
"""Corner of the canvas -> name of the text among the viewer's canvas overlays."""


class CanvasWords:
    """Texts in the upper corners of the canvas."""

    def __init__(self, viewer: Any) -> None:
        self._overlays = viewer.canvas.overlays

    def show(self, texts: Mapping[str, str]) -> None:
        """Show these texts by corner, and no others."""
        for corner, name in CORNERS.items():
            if name not in self._overlays and corner in texts:
                self._overlays[name] = TextOverlay(position=corner, font_size=FONT_SIZE, box=True)
            if name in self._overlays:
                self._overlays[name].text = texts.get(corner, "")
                self._overlays[name].visible = corner in texts


def shortened(name: str, room: float) -> str:
    """A name without its middle where it is too long for so many px of the canvas."""
    half = max(2, min(LONGEST, int(room / LETTER)) // 2 - 1)
    return name if len(name) <= 2 * half + 1 else f"{name[:half]}…{name[-half:]}"


def unit_words(comparison: Comparison) -> str:
    """What the numbers of its layers are: "attention percentile", "tumour probability"."""
    if comparison.by == "instances":
        return f"{comparison.class_name} probability"
    of = f" for {comparison.class_name}" if comparison.by == "class attention" else ""
    return f"attention{of}, percentile" if comparison.scale == "percentile" else f"attention{of}, times the average"


def figures_text(comparison: Comparison) -> str:
    """The figures below the verdict; what can't be said is left out."""
    lines = []
    if comparison.overlap is not None:
        lines.append(f"Of the {top_words(comparison.top)} of both, {share(comparison.overlap)} are shared")
    if comparison.pearson is not None:
        lines.append(f"Correlation of the values {comparison.pearson:.2f}")
    side = comparison.first.size_level0
    lines.append(f"{comparison.places:,} place{'s' * (comparison.places != 1)} of {side:.0f} px compared")
    return "\n".join(lines)


def row_texts(row: Row) -> tuple[str, str, str, str]:
    """A line of the table as it is shown."""
    if not row.what.startswith("probability"):
        what = row.what if row.what.startswith("µ") else row.what[0].upper() + row.what[1:]
        return what, *("" if value is None else f"{value:,.4g}" for value in row[1:])  # type: ignore[return-value]
    first, second = ("not a class" if value is None else share(value) for value in (row.first, row.second))
    # + 0.0: of a difference that rounds to nothing the sign goes too
    points = "" if row.difference is None else f"{round(100 * row.difference, 1) + 0.0:+.1f}"
    return row.what.removeprefix("probability of "), first, second, points
