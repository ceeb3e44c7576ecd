"""The button that copies what was done, as Python or as a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QMenu, QPushButton

from napari_wsimil.widgets.parts import follow

if TYPE_CHECKING:
    from napari_wsimil.widgets.recipes import Recipe
    from napari_wsimil.widgets.session import Session

NOT_YET = "Nothing was done yet. After a prediction, this copies it as a Python script or as a command"
TEXT = "Copy as…"
COPIED = "Copied"
COPIED_MS = 1500


class CopyButton(QPushButton):
    """A menu: the last thing that was done, as Python and as a command, and below it what was done before.

    Parameters
    ----------
    session
        Remembers what was done.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.setObjectName("copy_recipe")
        self.setAccessibleName("Copy what was done")
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        menu.aboutToShow.connect(self._fill)
        self.setMenu(menu)
        self._sign = QTimer(self)
        self._sign.setSingleShot(True)
        self._sign.timeout.connect(lambda: self.setText(TEXT))
        self.setText(TEXT)
        follow(session.done, self._follow, self)
        self._follow()

    def copy(self, text: str) -> None:
        """Put a text on the clipboard, and say so for a moment."""
        clipboard: Any = QGuiApplication.clipboard()
        clipboard.setText(text)
        self.setText(COPIED)
        self._sign.start(COPIED_MS)

    def _follow(self, _: Any = None) -> None:
        done = self._session.deeds
        self.setEnabled(bool(done))
        self.setToolTip(f"Copy what was done last ({done[0].title}) as a Python script or as a command" if done else NOT_YET)

    def _fill(self) -> None:
        menu = self.menu()
        assert menu is not None  # noqa: S101 - made in `__init__`
        for old in menu.findChildren(QMenu):
            old.deleteLater()
        menu.clear()
        last, *before = self._session.deeds
        menu.addSection(_for_menu(last.title))
        self._offer(menu, last)
        if before:
            menu.addSection("Before")
        for recipe in before:
            self._offer(menu.addMenu(_for_menu(recipe.title)), recipe)

    def _offer(self, menu: Any, recipe: Recipe) -> None:
        for text, told in (("Copy as Python", recipe.python), ("Copy as command", recipe.command)):
            action = menu.addAction(text)
            action.setToolTip(_shortened(told))
            action.triggered.connect(lambda _=False, told=told: self.copy(told))


def _for_menu(title: str) -> str:
    """A title as it is: in a menu an ampersand marks a key."""
    return title.replace("&", "&&")


def _shortened(text: str, most: int = 600) -> str:
    return text if len(text) <= most else text[:most] + "…"
