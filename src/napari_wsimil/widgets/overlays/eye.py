"""The eye that shows and hides a layer, as in napari's own layer list."""

from __future__ import annotations

from typing import Any

from napari.resources import get_colorized_svg, get_icon_path
from napari.utils.theme import get_theme
from qtpy.QtCore import QByteArray, QSize
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QToolButton

SIDE = 16
"""Side of the icon in px."""

FAINT = 0.5
"""Opacity of the eye that is shut."""


class EyeButton(QToolButton):
    """A button that stays down while what it stands for is shown.

    Parameters
    ----------
    name
        Its object name.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setCheckable(True)
        self.setAutoRaise(True)
        self.setIconSize(QSize(SIDE, SIDE))
        self.setStyleSheet("QToolButton, QToolButton:checked, QToolButton:hover { background: transparent; border: none; }")

    def tell(self, what: str) -> None:
        """Say what it shows or hides."""
        self.setToolTip(f"Show or hide {what}")
        self.setAccessibleName(f"Show {what}")

    def follow_theme(self, name: str) -> None:
        """Draw the eye in the colours of a napari theme."""
        colour = get_theme(name).icon.as_hex()
        icon = QIcon()
        for state, file, opacity in (
            (QIcon.State.On, "visibility", 1.0),
            (QIcon.State.Off, "visibility_off", FAINT),
        ):
            icon.addPixmap(_picture(file, colour, opacity), QIcon.Mode.Normal, state)
        self.setIcon(icon)


def _picture(file: str, colour: str, opacity: float) -> QPixmap:
    drawn: Any = QPixmap()
    # large enough for the densest screens; Qt makes it smaller
    svg = get_colorized_svg(get_icon_path(file), colour, opacity)
    drawn.loadFromData(QByteArray(svg.encode()), "SVG")
    return drawn
