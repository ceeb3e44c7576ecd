"""Small pictures of slides, read in the background for the rows in view, the newest wish first."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon

from napari_wsimil.errors import WsimilError
from napari_wsimil.slides.thumbnail import thumbnail
from napari_wsimil.widgets.pictures import pixmap_for, to_image
from napari_wsimil.widgets.slide_layer import open_quietly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qtpy.QtGui import QImage
    from qtpy.QtWidgets import QWidget

MOST_WISHES = 60
"""More rows than a screen shows; what was scrolled past before that is not read."""

MOST_KEPT = 1000
"""Pictures in memory, 30 kB each."""

WIDTH, HEIGHT = 56, 36
"""Room for a picture in px."""

SHARPNESS = 2
"""Px read for each px of that room: enough for screens of double density."""


class Wishes:
    """What is wanted, newest first; the oldest are forgotten."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._wanted: OrderedDict[Path, None] = OrderedDict()

    def add(self, path: Path) -> None:
        """Want this before all others."""
        with self._lock:
            self._wanted[path] = None
            self._wanted.move_to_end(path)
            while len(self._wanted) > MOST_WISHES:
                self._wanted.popitem(last=False)

    def take(self) -> Path | None:
        """The newest wish, which is no more one then; or None."""
        with self._lock:
            return self._wanted.popitem()[0] if self._wanted else None

    def clear(self) -> None:
        """Want nothing."""
        with self._lock:
            self._wanted.clear()


def read_picture(path: Path) -> QImage | str:
    """Open a slide, read its picture and close it; a sentence where that can't be done."""
    try:
        with open_quietly(path) as slide:
            return to_image(thumbnail(slide, SHARPNESS * max(WIDTH, HEIGHT)))
    except (WsimilError, OSError, MemoryError) as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a decoder's fault must not end the reading of other slides
        return f"{path.name} can't be read ({type(error).__name__}: {error})."


def _read(wishes: Wishes) -> Iterator[tuple[Path, QImage | str]]:
    while (path := wishes.take()) is not None:
        yield path, read_picture(path)


class SlidePictures(QObject):
    """The pictures of a table.

    Signals
    -------
    ready
        The path of a slide whose picture, or whose fault, is known now.
    """

    ready = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._parent = parent
        self._known: OrderedDict[Path, QIcon | str] = OrderedDict()
        self._wishes = Wishes()
        self._worker: Any = None
        wishes = self._wishes
        parent.destroyed.connect(lambda *_: wishes.clear())

    def picture(self, path: Path) -> QIcon | None:
        """The picture of a slide; None where it is not known yet, which it will be soon, or can't be read."""
        found = self._known.get(path)
        if found is None:
            self._ask(path)
            return None
        self._known.move_to_end(path)
        return None if isinstance(found, str) else found

    def problem(self, path: Path) -> str:
        """Why a slide has no picture; empty where it has one, or nobody tried yet."""
        found = self._known.get(path)
        return found if isinstance(found, str) else ""

    def forget(self) -> None:
        """Other slides are shown: want nothing of what was, and read anew what is asked for again."""
        self._wishes.clear()
        self._known.clear()

    def _ask(self, path: Path) -> None:
        self._wishes.add(path)
        if self._worker is None:
            self._worker = create_worker(_read, self._wishes, _ignore_errors=True)
            self._worker.yielded.connect(self._take)
            self._worker.finished.connect(self._rest)
            self._worker.start()

    def _take(self, found: tuple[Path, QImage | str]) -> None:
        path, image = found
        self._known[path] = image if isinstance(image, str) else self._fitted(image)
        while len(self._known) > MOST_KEPT:
            self._known.popitem(last=False)
        self.ready.emit(path)

    def _fitted(self, image: QImage) -> QIcon:
        shrink = min(WIDTH / image.width(), HEIGHT / image.height())
        pixmap = pixmap_for(image, image.width() * shrink, image.height() * shrink, self._parent.devicePixelRatioF())
        icon = QIcon(pixmap)
        # else Qt tints the picture of a selected row
        icon.addPixmap(pixmap, QIcon.Mode.Selected)
        return icon

    def _rest(self) -> None:
        self._worker = None
        # a wish may have come after the worker had looked for the last time
        path = self._wishes.take()
        if path is not None:
            self._ask(path)
