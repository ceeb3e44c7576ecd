"""What the user can set in napari under Preferences, Plugins, Whole-slide MIL; declared in `napari.yaml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.settings import get_plugin_settings
from napari.utils.notifications import show_warning

from napari_wsimil.errors import WsimilError

if TYPE_CHECKING:
    from napari_wsimil.slides import Slide
    from napari_wsimil.slides._colour import Colour

AS_SCANNED = "as scanned"
SRGB = "sRGB by the slide's ICC profile"


def preferences() -> Any:
    """The settings about slides: `smooth_panning`, `tell_smooth_panning`, `colours`; napari keeps them and tells of changes.

    Each has an event, for example `preferences().events.colours`.
    """
    return get_plugin_settings("napari-wsimil").slides


def feature_preferences() -> Any:
    """The settings about features: `keep`, whether they are kept, and `most_gb`, how much of them at most."""
    return get_plugin_settings("napari-wsimil").features


def annotation_preferences() -> Any:
    """The settings about regions drawn by hand: `classes`, "name #rrggbb" with ";" between."""
    return get_plugin_settings("napari-wsimil").annotations


def colour_for(slide: Slide) -> Colour:
    """The chosen colours as `Slide.pyramid` names them; as scanned, and a warning, where its profile is no good."""
    if preferences().colours != SRGB:
        return "raw"
    try:
        slide.read_region(0, 0, 1, 1, colour="srgb")
    except WsimilError as error:
        show_warning(str(error))
        return "raw"
    return "srgb"
