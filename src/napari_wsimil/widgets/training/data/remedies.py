"""Ways out of a problem: what is asked first, what takes long, and the change itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.training.data.asking import ask_folder, ask_mpp

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_wsimil.training.data.drafting import Draft, Remedy


class RemedyDoer(QObject):
    """Does what the button of a problem says.

    Signals
    -------
    refused
        A sentence: why it could not be done.
    """

    refused = Signal(str)

    def __init__(self, draft: Draft, parent: QWidget) -> None:
        super().__init__(parent)
        self._draft, self._widget = draft, parent

    def do(self, remedy: Remedy) -> None:
        """Ask what must be asked, then do it."""
        if remedy.asks == "folder":
            ask_folder(self._widget, "Where are they now?", lambda folder: self._go_on(remedy, folder))
        elif remedy.asks == "mpp":
            ask_mpp(self._widget, lambda mpp: self._go_on(remedy, mpp))
        else:
            self._go_on(remedy, "")

    def _go_on(self, remedy: Remedy, answer: Any) -> None:
        work = remedy.work
        if work is None:
            self._apply((remedy, answer))
        else:
            read_in_background(remedy, lambda: work(answer), self._apply)

    def _apply(self, answer: tuple[Remedy, Any]) -> None:
        remedy, found = answer
        if isinstance(found, Exception):
            self.refused.emit(str(found))
            return
        try:
            remedy.apply(self._draft, found)
        except WsimilError as error:
            self.refused.emit(str(error))
