"""A slide as one napari layer, and back."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import SlideWarning
from napari_wsimil.slides import open_slide

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.slides import Slide
    from napari_wsimil.slides._colour import Colour

KEY = "wsimil"
"""Where this plugin keeps its own facts in `layer.metadata`."""

ANNOTATIONS = "annotations"
"""The kind of a layer that holds what was drawn on a slide."""


def facts(layer: Any) -> dict[str, Any]:
    """What this plugin noted on a layer; empty for layers of others."""
    found = layer.metadata.get(KEY)
    return found if isinstance(found, dict) else {}


def is_slide(layer: Any) -> bool:
    """Whether the layer shows a slide that this plugin opened; one of its channels or levels, taken out by napari, is none."""
    return facts(layer).get("kind") == "slide" and bool(getattr(layer, "rgb", False) and layer.multiscale)


def open_quietly(path: str | Path, mpp: float | tuple[float, float] | None = None) -> Slide:
    """Open a slide without Python warnings: the window shows `Slide.notices` instead, once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlideWarning)
        return open_slide(path, mpp=mpp)


def slide_layer(slide: Slide, colour: Colour = "raw") -> tuple[list[Any], dict[str, Any], str]:
    """One multiscale RGB image, placed in µm with the slide's first pixel at 0, as a napari LayerData tuple.

    Parameters
    ----------
    slide
        The open slide.
    colour
        "raw" as scanned, or "srgb" by the slide's ICC profile; for the eyes only, models always read raw pixels.
    """
    return (
        slide.pyramid(colour),
        {
            "name": slide.name,
            "rgb": True,
            "multiscale": True,
            # The slide caches its tiles itself: napari's cache of Dask results would keep every window once more, unbounded.
            "cache": False,
            # A list of arrays has no dtype: napari would rescan the pixels for a range.
            "contrast_limits": (0, 255),
            # napari draws without mip-maps, so that "nearest" sparkles when zoomed out.
            "interpolation2d": "linear",
            "axis_labels": ("y", "x"),
            "metadata": {KEY: slide_facts(slide)},
            **placement(slide.mpp),
        },
        "image",
    )


def placement(mpp: tuple[float, float] | None) -> dict[str, Any]:
    """`scale` and `units` of a layer whose data are level-0 pixels of `mpp` (x, y) µm; pixels where that is not known."""
    if mpp is None:
        return {"scale": (1.0, 1.0), "units": ("pixel", "pixel")}
    return {"scale": (mpp[1], mpp[0]), "units": ("um", "um")}


def slide_facts(slide: Slide) -> dict[str, Any]:
    """What the dock, exports and other plugins may want to know; `slide` is the open slide and lives as long as its layer."""
    return {
        "kind": "slide",
        "slide": slide,
        "path": str(slide.path),
        "fingerprint": slide.fingerprint,
        "mpp": slide.mpp,
        "mpp_source": slide.mpp_source,
        "objective_power": slide.objective_power,
        "vendor": slide.vendor,
        "width": slide.width,
        "height": slide.height,
        "notices": slide.notices,
    }


def set_mpp(layer: Any, mpp: float) -> Slide:
    """Give a slide layer the pixel size that the user typed in: the layer grows at once and predictions use it.

    Returns
    -------
    Slide
        The slide opened anew with that pixel size; the layer's facts hold it too.
    """
    slide = open_quietly(facts(layer)["path"], mpp=mpp)
    layer.metadata = {**layer.metadata, KEY: slide_facts(slide)}
    where = placement(slide.mpp)
    layer.units = where["units"]
    layer.scale = where["scale"]
    return slide
