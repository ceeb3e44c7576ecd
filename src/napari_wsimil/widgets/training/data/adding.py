"""Where slides come from: folders, manifests, the dock "Slides" and the open slide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_wsimil.slides import slide_kind
from napari_wsimil.training.data.drafting import DraftRow
from napari_wsimil.training.data.drafting.lenient import read_leniently
from napari_wsimil.training.data.drafting.sources import drawn_beside, rows_in_folder, rows_of_slides
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.docks import open_dock
from napari_wsimil.widgets.session import session_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.training.data.drafting import Draft

MANIFESTS = frozenset({".csv", ".tsv"})
NOTHING_OPEN = "No slide is open; open one, or add a folder."
NOTHING_LISTED = "The dock “Slides” lists no slides yet; open a folder there, then add them here."


@dataclass(frozen=True)
class Read:
    """What was found on the disk: rows, what is to be said of them, and the manifest that they are from."""

    rows: list[DraftRow]
    notices: tuple[str, ...] = ()
    manifest: Path | None = None


class SlideAdder(QObject):
    """Adds slides to a draft; what takes long is done in the background, one thing at a time.

    Signals
    -------
    begun
        What is being looked through, in words.
    added
        Sentences on what was found besides; a tuple.
    refused
        A sentence: why nothing was added.
    """

    begun = Signal(str)
    added = Signal(object)
    refused = Signal(str)

    def __init__(self, viewer: Any, draft: Draft, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer, self._draft = viewer, draft
        self._session = session_of(viewer)
        self.busy = False

    def add(self, paths: Sequence[Path]) -> None:
        """Add folders, manifests and slides."""
        if not self.busy and paths:
            self.busy = True
            self.begun.emit(f"Looking through {paths[0].name or paths[0]}" + (" …" if len(paths) == 1 else " and more …"))
            read_in_background(self, lambda: [_read(path) for path in paths], self._take)

    def add_open_slide(self) -> None:
        """Add the slide that is open, with the regions that were saved beside it."""
        slide = self._session.slide
        if slide is None:
            self.refused.emit(NOTHING_OPEN)
            return
        mpp = slide.mpp[0] if slide.mpp is not None and slide.mpp_source == "user" else None
        self._add([DraftRow(slide.path.stem, slide.path, annotation=drawn_beside(slide.path), mpp=mpp)])

    def add_listed(self) -> None:
        """Add the slides of the dock "Slides", with the labels that they have there."""
        rows = open_dock(self._viewer, "Slides").slides.rows
        if not rows:
            self.refused.emit(NOTHING_LISTED)
            return
        read_in_background(self, lambda: [Read([_listed(row) for row in rows])], self._take)

    def _add(self, rows: list[DraftRow], notices: tuple[str, ...] = (), manifest: Path | None = None) -> None:
        self.added.emit(notices + self._draft.take(rows, manifest=manifest))

    def _take(self, answer: tuple[Any, Any]) -> None:
        self.busy = False
        _, found = answer
        if isinstance(found, Exception):
            self.refused.emit(str(found))
            return
        for read in found:
            self._add(read.rows, read.notices, read.manifest)


def _read(path: Path) -> Read:
    if path.suffix.lower() in MANIFESTS and path.is_file():
        rows, notices = read_leniently(path)
        said = () if rows else (f"{path.name} names no slides yet; add some.",)
        return Read(rows, notices + said, path)
    if path.is_dir() and slide_kind(path) is None:
        found = rows_in_folder(path)
        return Read(found.rows, found.notices)
    return Read(rows_of_slides([path]))


def _listed(row: Any) -> DraftRow:
    return DraftRow(row.name, row.path, row.label or "", row.patient or "", annotation=drawn_beside(row.path), mpp=row.mpp)
