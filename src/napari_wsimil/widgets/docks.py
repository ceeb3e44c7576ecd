"""The docks of this plugin: what they are called, where they stand, and how one opens another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtCore import QSize
    from qtpy.QtWidgets import QWidget

PLUGIN = "napari-wsimil"

AREAS: dict[str, Qt.DockWidgetArea] = {
    "Slide analysis": Qt.DockWidgetArea.RightDockWidgetArea,
    "Slide overview": Qt.DockWidgetArea.RightDockWidgetArea,
    "Compare": Qt.DockWidgetArea.RightDockWidgetArea,
    "Annotate": Qt.DockWidgetArea.RightDockWidgetArea,
    "Training": Qt.DockWidgetArea.RightDockWidgetArea,
    "Regions": Qt.DockWidgetArea.BottomDockWidgetArea,
    "Zoom inspector": Qt.DockWidgetArea.BottomDockWidgetArea,
    "Slides": Qt.DockWidgetArea.BottomDockWidgetArea,
}
"""Name in the Plugins menu -> where it stands: tables and pictures below the slide, the rest beside it."""

TABS = {"Slide analysis": "Analysis", "Slide overview": "Overview"}
"""What tabs call a dock whose whole name is cut off where several stand in one place."""

_OURS = "wsimil"
"""Property by which a dock is known as one of these."""


_SIZE = "wsimil_size"
"""Property of a window: how large it was before a dock came that is not in its place yet."""

TRIES, TRY_MS = 8, 100
FRONT_MS = 150


def open_dock(viewer: Any, name: str) -> Any:
    """Open a dock of this plugin by its name, or bring it to the front; returns the widget in it."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    dock.show()
    dock.raise_()
    return widget


def settle(widget: QWidget, name: str) -> None:
    """Put a dock into its place when it is first shown; call it at the end of a dock's `__init__`.

    napari opens every dock on the right, one below the other, until none has the room it needs. A dock that the user moves
    later stays where it was put.
    """
    windows = [window for window in QApplication.topLevelWidgets() if isinstance(window, QMainWindow)]
    before = {id(window): window.property(_SIZE) or window.size() for window in windows}
    for window in windows:
        window.setProperty(_SIZE, before[id(window)])
    soon = QTimer(widget)  # gone with the widget, should that be gone before
    soon.setSingleShot(True)
    soon.timeout.connect(lambda: _settle(widget, name, before))
    soon.start(0)


def dock_around(widget: QWidget) -> QDockWidget | None:
    """The dock that a widget stands in, or None where it is used by itself."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent


def stay_in_front(widget: QWidget) -> None:
    """Bring the dock around a widget to the front again, once another one that was just opened has taken its place."""
    soon = QTimer(widget)
    soon.setSingleShot(True)
    soon.timeout.connect(lambda: _raise(widget))
    soon.timeout.connect(soon.deleteLater)
    soon.start(FRONT_MS)


def _raise(widget: QWidget) -> None:
    dock = dock_around(widget)
    if dock is not None:
        dock.raise_()


def _settle(widget: QWidget, name: str, before: Mapping[int, QSize]) -> None:
    """Move the dock that a widget stands in; `before` is how large windows were."""
    dock = dock_around(widget)
    window = dock.parentWidget() if dock is not None else None
    if dock is None or not isinstance(window, QMainWindow):
        return
    area = AREAS[name]
    dock.setProperty(_OURS, name)
    dock.setWindowTitle(TABS.get(name, name))
    if window.dockWidgetArea(dock) != area:
        window.addDockWidget(area, dock)
    others = [
        other
        for other in window.findChildren(QDockWidget)
        if other is not dock and other.property(_OURS) and window.dockWidgetArea(other) == area and not other.isFloating()
    ]
    if others and not any(other in window.tabifiedDockWidgets(dock) for other in others):
        window.tabifyDockWidget(others[0], dock)
    dock.raise_()
    if id(window) in before:
        _give_back(widget, before[id(window)], TRIES)


def _give_back(widget: QWidget, size: QSize, tries: int) -> None:
    """Make the window as large as it was before Qt made it larger, perhaps than the screen, for a dock below all others.

    Docks take a moment until they know how little they need in their new place.
    """
    # found anew: a function that a timer keeps must not keep the window
    window: Any = widget.window()
    if window.size() != size and not (window.isMaximized() or window.isFullScreen()):
        window.resize(size)
        if window.size() != size and tries:
            again = QTimer(widget)
            again.setSingleShot(True)
            again.timeout.connect(lambda: _give_back(widget, size, tries - 1))
            again.start(TRY_MS)
            return
    window.setProperty(_SIZE, None)
