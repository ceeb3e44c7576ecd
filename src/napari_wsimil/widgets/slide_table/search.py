"""Slides looked for in the background: a folder may hold thousands, on a slow disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, TypeAlias

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_wsimil.cohorts.overview import slide_table, usual_results
from napari_wsimil.cohorts.slides import MANIFESTS
from napari_wsimil.errors import CancelledError
from napari_wsimil.widgets.background import read_in_background

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.cohorts.overview import SlideRow

Source: TypeAlias = "Path | tuple[Path, ...]"
TELL_MS = 200


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes
    ----------
    source
        A folder, a manifest, a list, or slides.
    results, writable
        Folder of the predictions, and whether it can be written to, or made.
    """

    source: Source
    rows: tuple[SlideRow, ...]
    results: Path
    writable: bool

    @property
    def manifest(self) -> Path | None:
        """The manifest that the slides are from."""
        return self.source if isinstance(self.source, Path) and self.source.suffix.lower() in MANIFESTS else None


def find(source: Source, results: Path | None, watch: Callable[[int], object]) -> Found:
    """List slides and what was predicted of each; takes as long as the disk."""
    given = source if isinstance(source, Path) else list(source)
    folder = usual_results(given) if results is None else results
    return Found(source, tuple(slide_table(given, folder, watch=watch)), folder, _writable(folder))


def _writable(folder: Path) -> bool:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return there.is_dir() and os.access(there, os.W_OK)


class SlideSearch(QObject):
    """One search at a time.

    Signals
    -------
    told
        How many slides were found so far.
    found
        A `Found`.
    refused
        One sentence: why there is none.
    """

    told = Signal(int)
    found = Signal(object)
    refused = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._count = [0]
        self._stop = Event()
        self._timer = QTimer(self)
        self._timer.setInterval(TELL_MS)
        self._timer.timeout.connect(lambda: self.told.emit(self._count[0]))
        parent.destroyed.connect(lambda *_: self._stop.set())

    @property
    def running(self) -> bool:
        """Whether slides are being looked for."""
        return self._timer.isActive()

    def start(self, source: Source, results: Path | None) -> None:
        """Look for slides; an earlier search is given up. `results` is the folder of the predictions, None: the usual one."""
        self.stop()
        self._stop, self._count = Event(), [0]
        stop, count = self._stop, self._count

        def watch(so_far: int) -> None:
            count[0] = so_far
            if stop.is_set():
                raise CancelledError("The search was given up.")

        read_in_background(stop, lambda: find(source, results, watch), self._take)
        self._timer.start()

    def stop(self) -> None:
        """Give up."""
        self._stop.set()
        self._timer.stop()

    def _take(self, answer: tuple[Any, Any]) -> None:
        key, found = answer
        if key is not self._stop:
            return
        self._timer.stop()
        if isinstance(found, Exception):
            self.refused.emit(str(found))
        else:
            self.found.emit(found)
