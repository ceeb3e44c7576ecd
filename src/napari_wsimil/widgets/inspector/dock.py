"""The dock "Zoom inspector": one place at all magnifications, side by side."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QWidget

from napari_wsimil.widgets.docks import settle
from napari_wsimil.widgets.session import session_of


class ZoomInspector(QWidget):
    """Not built yet."""

    # napari hands over its viewer by this name; it can't read an annotation that is a string.
    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_of(napari_viewer)
        settle(self, "Zoom inspector")
