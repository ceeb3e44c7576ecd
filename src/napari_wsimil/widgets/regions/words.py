"""A region in words, short enough to stand below its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.widgets.slide_words import UM_PER_PIXEL_AT_1X, number
from napari_wsimil.widgets.words import share

if TYPE_CHECKING:
    from napari_wsimil.inference.ranking import RankedPatch, Ranking

KINDS = {
    "attention": "By attention",
    "instances": "By probability",
    "class attention": "By attention for",
    "anchors": "Anchors",
    "zoom": "Zoomed into",
    "uncertainty": "Most uncertain",
    "disagreement": "Teacher and student disagree",
}
"""What can be ranked by, whichever the class."""


def kind_text(ranking: Ranking, among: int) -> str:
    """What a ranking is about without its class, for a list; with the magnification where there are several."""
    scale = f" at {magnification(ranking.mpp)}" if among > 1 else ""
    return KINDS[ranking.by] + scale


def magnification(mpp: float) -> str:
    """The field's label of a magnification: "20x"."""
    return f"{number(UM_PER_PIXEL_AT_1X / mpp)}x" if mpp > 0 else "?"


def score_text(region: RankedPatch) -> str:
    """A score as people read it: a probability in per cent, others with three digits."""
    return share(region.score) if region.ranking.by == "instances" else f"{region.score:.3g}"


def caption(region: RankedPatch) -> str:
    """What stands below the picture: score and magnification, and the class in a line of its own."""
    first = f"{score_text(region)} · {magnification(region.patch.mpp)}"
    return f"{first}\n{region.ranking.class_name}" if region.ranking.class_name else first


def layer_text(ranking: Ranking, *, lowest: bool) -> str:
    """What the boxes on the slide are called: "Top regions" where they are those of the result."""
    if ranking.by == "attention" and not lowest:
        return "Top regions"
    return f"{'Lowest' if lowest else 'Top'} regions · {small(ranking.label)}"


def small(label: str) -> str:
    """The label of a ranking inside a text."""
    return label[:1].lower() + label[1:]


def told(region: RankedPatch) -> str:
    """All about a region in one line, for a tooltip and for screen readers."""
    x, y = region.patch.centre
    place = f"centre at x {x:,.0f}, y {y:,.0f} px"
    return (
        f"Region {region.rank}: {small(region.ranking.label)} {region.score:.3g} · {magnification(region.patch.mpp)} · {place}"
    )
