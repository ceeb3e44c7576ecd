"""Regions in and out of files while the window goes on: one after the other, in workers, and nothing is lost in between."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_wsimil.widgets.annotate.brush import names_of
from napari_wsimil.widgets.annotate.files_panel import FilesPanel, Offer
from napari_wsimil.widgets.annotate.keeping import (
    draft_of,
    drop_draft,
    keep_draft,
    offered_file,
    own_file,
    painted_into_layer,
    read_into_layer,
    write_drawn,
)
from napari_wsimil.widgets.annotate.region_layer import drawn_on, is_drawn_on
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.parts import follow
from napari_wsimil.widgets.slide_layer import facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.slides import Slide
    from napari_wsimil.widgets.annotate.board import Board
    from napari_wsimil.widgets.annotate.keeping import Put

KEEP_MS = 1500
"""How long after a change it is kept in the cache."""


class Filing(QObject):
    """Reads, keeps, saves and exports what is drawn on a board.

    Parameters
    ----------
    board
        What is drawn on.
    parent
        The dock, with which this goes.

    Signals
    -------
    said
        A note and a problem, to be shown; either may be "".
    put
        Regions were added to the slide.
    offered
        Regions of an earlier time were found, and are offered.
    """

    said = Signal(str, str)
    put = Signal()
    offered = Signal()

    def __init__(self, board: Board, parent: QWidget) -> None:
        super().__init__(parent)
        self._board = board
        self.panel = FilesPanel()
        self.offer = Offer()
        self._slide: Slide | None = None
        self._waiting: list[Path] = []
        self._busy = False
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(KEEP_MS)
        self._soon.timeout.connect(self.keep)
        self.panel.save_to.connect(self._save)
        self.panel.export_to.connect(self._export)
        self.panel.import_from.connect(self.open_file)
        self.offer.accepted.connect(self.open_file)
        self.offer.declined.connect(self._decline)
        follow(board.file_read, self._was_read, parent)

    @property
    def busy(self) -> bool:
        """Whether regions are being read or made."""
        return self._busy

    @property
    def file(self) -> Path | None:
        """Where the regions of the slide were saved, or would be."""
        if self._slide is None:
            return None
        return self._board.files.get(self._slide.fingerprint) or own_file(self._slide)

    def show_slide(self, slide: Slide | None) -> None:
        """Another slide is meant: offer what was drawn on it before."""
        self.keep()
        self._slide = slide
        self._show_file()
        self._look_for_earlier()

    def show_state(self) -> None:
        """Whether there is anything to save, and whether it was."""
        brush, slide = self._board.brush, self._slide
        drawn = bool(self._board.names()) or (brush is not None and bool(brush.data.any()))
        self.panel.show_state(drawn=drawn, dirty=slide is not None and slide.fingerprint in self._board.dirty)

    def changed(self) -> None:
        """Something was drawn, changed or deleted."""
        if self._slide is not None:
            self._board.dirty.add(self._slide.fingerprint)
            self._board.unkept[self._slide.fingerprint] = self._slide
            self._soon.start()

    def keep(self, _: Any = None) -> None:
        """Keep what is not saved in the user's cache, so that it is there when the slide is opened again."""
        self._soon.stop()
        unkept = self._board.unkept
        while unkept:
            _, slide = unkept.popitem()
            if is_drawn_on(self._board.viewer, slide):  # layers that were closed are not empty
                drawn = drawn_on(self._board.viewer, slide)
                read_in_background("kept", partial(keep_draft, drawn, slide, self._board.book), self._kept)

    def open_file(self, path: str | Path) -> None:
        """Add the regions of a file to the slide, in a worker; a sentence where there is no slide, or no region."""
        if self._slide is None:
            self.said.emit("", f"Open the slide of {Path(path).name} first, then drop the file again.")
            return
        self._waiting.append(Path(path))
        self._read_next()

    def accept_offer(self) -> None:
        """Add the regions that are offered, if any are, as the user would."""
        if self.offer.path is not None:
            self.offer.open_button.click()

    def turn_into_regions(self) -> None:
        """Make regions of what is painted, in a worker."""
        slide, brush = self._slide, self._board.brush
        if self._busy or slide is None or brush is None:
            return
        self.said.emit("Making regions…", "")
        mask, names, step = brush.data.copy(), names_of(brush), facts(brush)["step"]
        self._start((slide, None), partial(painted_into_layer, mask, names, step, slide, *self._beside()))

    def _beside(self) -> tuple[Any, Any, float]:
        """What new regions are put beside, in which colours, and how wide outlines are."""
        return self._board.rows(), self._board.book.colour, self._board.line_width()

    def _read_next(self) -> None:
        slide = self._slide
        if self._busy or not self._waiting or slide is None:
            return
        path = self._waiting.pop(0)
        self.offer.show_file(None, None)
        self.said.emit(f"Reading {path.name}…", "")
        self._start((slide, path), partial(read_into_layer, path, slide, *self._beside()))

    def _start(self, key: Any, task: Callable[[], Put]) -> None:
        self._busy = True
        self.panel.import_button.setEnabled(False)
        read_in_background(key, task, self._done)

    def _done(self, done: tuple[Any, Any]) -> None:
        (slide, path), put = done
        self._busy = False
        self.panel.import_button.setEnabled(self._slide is not None)
        if isinstance(put, Exception):
            self.said.emit("", str(put))
        elif slide is self._slide:
            self._show(put, path)
        self._read_next()

    def _show(self, put: Put, path: Path | None) -> None:
        """Show what was read or painted, as regions."""
        board, slide = self._board, self._slide
        layer, brush, was_empty = board.layer, board.brush, not board.names()
        if layer is not None and len(layer.data) != put.before:
            self.said.emit("", "Regions were drawn meanwhile, so nothing was added; try again.")
            return
        board.put(put.layer)
        if path is None and brush is not None:
            board.viewer.layers.remove(brush)
        if slide is not None and was_empty and path == own_file(slide):
            self._board.files[slide.fingerprint] = path
            self._show_file()
        else:
            self.changed()
        board.file_read.emit(path)
        self.put.emit()
        self.said.emit(put.note, "")

    def _show_file(self) -> None:
        slide = self._slide
        self.panel.show_slide(slide, self._board.files.get(slide.fingerprint) if slide is not None else None)

    def _look_for_earlier(self) -> None:
        self.offer.show_file(None, None)
        if self._slide is not None and self._board.layer is None:
            read_in_background(self._slide, partial(offered_file, self._slide), self._show_earlier)

    def _show_earlier(self, found: tuple[Any, Any]) -> None:
        slide, path = found
        if slide is self._slide and isinstance(path, Path) and self._board.layer is None:
            self.offer.show_file(path, slide)
            self.offered.emit()

    def _was_read(self, path: Path | None) -> None:
        """Another dock may have put on the slide what is offered here."""
        if path is not None and path == self.offer.path:
            self.offer.show_file(None, None)
            self._show_file()

    def _decline(self, path: Path) -> None:
        if self._slide is not None and path == draft_of(self._slide):
            drop_draft(self._slide)
            self._look_for_earlier()

    def _kept(self, done: tuple[Any, Any]) -> None:
        if isinstance(done[1], Exception):
            self.said.emit("", f"What you draw can't be kept until it is saved: {done[1]}")
        elif self._board.layer is None:
            self._look_for_earlier()  # the layer was deleted: perhaps by mistake

    def _save(self, path: Path) -> None:
        slide, drawn = self._slide, self._board.drawn()
        if slide is not None and drawn is not None:
            self.keep()
            self._board.dirty.discard(slide.fingerprint)
            read_in_background(slide, partial(write_drawn, drawn, path, slide, self._board.book), self._saved)

    def _saved(self, done: tuple[Any, Any]) -> None:
        slide, path = done
        if isinstance(path, Exception):
            self._board.dirty.add(slide.fingerprint)
        else:
            self._board.files[slide.fingerprint] = path
            if slide.fingerprint not in self._board.dirty:
                drop_draft(slide)
        self.said.emit("", str(path) if isinstance(path, Exception) else "")
        self._show_file()
        self.show_state()

    def _export(self, path: Path) -> None:
        slide, drawn = self._slide, self._board.drawn()
        if slide is not None and drawn is not None:
            read_in_background("export", partial(write_drawn, drawn, path, slide, self._board.book), self._exported)

    def _exported(self, done: tuple[Any, Any]) -> None:
        path = done[1]
        self.said.emit(*("", str(path)) if isinstance(path, Exception) else (f"Exported to {path.name}.", ""))
