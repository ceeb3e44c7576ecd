"""The parts of a slide that a figure can show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_wsimil.widgets.view_geometry import view_corners

if TYPE_CHECKING:
    from napari_wsimil.exports.figures.options import Region
    from napari_wsimil.widgets.session import Session

VIEW, WHOLE, PATCH = "What the view shows", "The whole slide", "The marked patch"
NOTHING = {VIEW: "The view does not show the slide now.", PATCH: "No patch is marked now."}


def offered(viewer: Any, session: Session) -> dict[str, bool]:
    """Area -> whether there is one now."""
    return {VIEW: view_region(viewer, session) is not None, WHOLE: True, PATCH: session.patch is not None}


def region_of(area: str, viewer: Any, session: Session) -> Region | None:
    """(x0, y0, x1, y1) in level-0 pixels; None for the whole slide, also where there is no such area any more."""
    if area == PATCH and session.patch is not None:
        return session.patch.box
    return view_region(viewer, session) if area == VIEW else None


def view_region(viewer: Any, session: Session) -> Region | None:
    """The box around what the canvas shows; None where it does not show the slide."""
    layer, slide = session.slide_layer, session.slide
    corners = None if layer is None else view_corners(viewer, layer)
    if corners is None or slide is None:
        return None
    (x0, y0), (x1, y1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    beside = x0 >= slide.width or y0 >= slide.height or x1 <= 0 or y1 <= 0
    return None if beside or not (x0 < x1 and y0 < y1) else (x0, y0, x1, y1)
