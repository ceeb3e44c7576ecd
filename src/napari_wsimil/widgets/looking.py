"""Tells a running job where the user looks, so that those patches are encoded first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject
from superqt.utils import QSignalThrottler

from napari_wsimil.bags.focus import Focus
from napari_wsimil.widgets.parts import follow
from napari_wsimil.widgets.view_geometry import view_corners

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

TELL_MS = 100
"""Time between two looks at the camera while it moves."""


class Looking(QObject):
    """Follows the camera of a viewer while a job runs, and only then.

    Parameters
    ----------
    viewer
        The napari viewer.
    parent
        The dock; nothing is followed once it is gone.
    """

    def __init__(self, viewer: Any, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Any = None
        self._focus = Focus()
        self._throttle = QSignalThrottler(parent=self)
        self._throttle.setTimeout(TELL_MS)
        self._throttle.triggered.connect(self._tell)
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        for event in (camera.center, camera.zoom, camera.angles, viewer.canvas.events.size, dims.ndisplay, dims.order):
            follow(event, self._moved, parent)

    def begin(self, slide_layer: Any) -> Focus:
        """A job starts on a slide; what is returned knows the view of it from now on."""
        self._layer, self._focus = slide_layer, Focus()
        self._tell()
        return self._focus

    def end(self) -> None:
        """The job has ended."""
        self._layer = None

    def _moved(self, _: Any = None) -> None:
        if self._layer is not None:
            self._throttle.throttle()

    def _tell(self) -> None:
        """Pass on the view; where the slide is not seen from above, the last one holds."""
        corners = None if self._layer is None else view_corners(self._viewer, self._layer)
        if corners is not None:
            (x0, y0), (x1, y1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
            self._focus.look_at(x0, y0, x1, y1)
