"""What is wrong with the looks and the manners of a dock, as sentences."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QRadioButton,
    QScrollBar,
    QWidget,
)
from superqt import QElidingLabel

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTROLS = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit, QAbstractItemView, QAbstractSlider)
INSIDE_OF = (QComboBox, QAbstractSpinBox, QAbstractItemView)
"""Their parts are their own business."""
SAME_ROW = 14
"""Pixels by which the tops of controls beside each other may differ."""


def controls(dock: QWidget) -> Iterator[Any]:
    """The controls that a user sees in a dock, without the parts that Qt makes them of."""
    for widget in dock.findChildren(QWidget):
        parents = list(_parents(widget, dock))
        part = isinstance(widget, QScrollBar) or any(isinstance(parent, INSIDE_OF) for parent in parents)
        if isinstance(widget, CONTROLS) and widget.isVisible() and not part:
            yield widget


def called(widget: QWidget) -> str:
    """How a sentence names a control."""
    text = widget.text() if hasattr(widget, "text") and not isinstance(widget, QAbstractSpinBox) else ""
    return f"{type(widget).__name__} {widget.objectName() or text or widget.toolTip()!r}"


def unexplained(dock: QWidget) -> list[str]:
    """Enabled controls that say nothing of what they do, or have no name for a screen reader."""
    labelled = {label.buddy() for label in dock.findChildren(QLabel) if label.buddy() is not None}
    found = []
    for widget in controls(dock):
        words = widget.text() if isinstance(widget, QAbstractButton) else ""
        told = (
            words.strip("+-<>▸▾…⇅× ") or widget.toolTip() or (isinstance(widget, QAbstractItemView) and widget.accessibleName())
        )
        if widget.isEnabled() and not told:
            found.append(f"{called(widget)} has no tooltip")
        named = widget.accessibleName() or words or widget in labelled or getattr(widget, "placeholderText", str)()
        if not named:
            found.append(f"{called(widget)} has no accessible name")
    return found


def clipped(dock: QWidget) -> list[str]:
    """Texts that have less room than they need."""
    found = []
    for widget in dock.findChildren(QWidget):
        if not widget.isVisible() or not widget.visibleRegion().boundingRect().height():
            continue
        if isinstance(widget, QElidingLabel):
            continue
        if isinstance(widget, QLabel) and widget.text() and not widget.pixmap().width():
            short = _label_short_of(widget)
        elif isinstance(widget, QCheckBox | QRadioButton):
            short = widget.sizeHint().width() - widget.width()
        elif isinstance(widget, QAbstractButton) and widget.text() and not isinstance(widget.parentWidget(), INSIDE_OF):
            short = widget.fontMetrics().horizontalAdvance(widget.text().replace("&", "")) + 4 - widget.width()
        else:
            continue
        if short > 1:
            found.append(f"{called(widget)} lacks {short} px for {widget.text()[:60]!r}")
    return found


def _label_short_of(label: QLabel) -> int:
    if label.wordWrap():
        return max(label.heightForWidth(label.width()) - label.height(), _longest_word(label) - label.width())
    return max(label.sizeHint().width() - label.width(), label.sizeHint().height() - label.height() - 4)


def _longest_word(label: QLabel) -> int:
    return max((label.fontMetrics().horizontalAdvance(word) for word in label.text().split()), default=0)


def beyond(dock: QWidget) -> list[str]:
    """Controls that reach beyond the right edge of what holds them."""
    found = []
    for widget in controls(dock):
        parent = widget.parentWidget()
        if parent is not None and widget.geometry().right() > parent.width() + 1:
            found.append(f"{called(widget)} reaches {widget.geometry().right() - parent.width()} px beyond its place")
    return found


def jumps(dock: QWidget) -> list[str]:
    """Steps of the Tab key that lead back up."""
    ring = [widget for widget in _focus_ring(dock) if widget.focusPolicy() & Qt.FocusPolicy.TabFocus]
    places = [(widget, widget.mapTo(dock, QPoint(0, 0))) for widget in ring]
    return [
        f"Tab leads from {called(first)} up to {called(second)}"
        for (first, place), (second, after) in pairwise(places)
        if after.y() < place.y() - SAME_ROW
    ]


def _focus_ring(dock: QWidget) -> list[Any]:
    """The controls of a dock in the order of the Tab key, from the first one."""
    wanted = set(controls(dock))
    ring: list[Any] = []
    widget: Any = dock
    while True:
        widget = widget.nextInFocusChain()
        if widget is None or widget is dock or widget in ring:
            return ring
        if widget in wanted:
            ring.append(widget)


def _parents(widget: QWidget, top: QWidget) -> Iterator[QWidget]:
    parent = widget.parentWidget()
    while parent is not None and parent is not top:
        yield parent
        parent = parent.parentWidget()


def contrast(first, second):
    """The ratio of WCAG 2 of two colours (r, g, b), 0 to 255."""

    def luminance(rgb):
        parts = [part / 255 for part in rgb]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
