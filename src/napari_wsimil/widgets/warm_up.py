"""What takes long and must be there at once, made ready in a thread while the window goes on being drawn.

The smallest level of a slide is decoded before napari asks for it, as napari waits for that one, asynchronous or not; and what
a dock needs is imported before napari makes the dock.
"""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from threading import Thread, current_thread, main_thread
from typing import TYPE_CHECKING

import numpy as np
from napari.utils import progress

from napari_wsimil.errors import WsimilError

if TYPE_CHECKING:
    from napari_wsimil.slides import Slide

PATIENCE = 0.04
"""Seconds that the window may stand still."""


def warm_up(slide: Slide) -> None:
    """Decode the coarsest array of the slide's pyramid into the tile cache; the window goes on being drawn meanwhile.

    That takes milliseconds where the file has a small level, and as long as decoding the whole slide where it has none. The
    first time it imports Dask as well, which takes longer than most slides.
    """
    _meanwhile(Thread(target=_read_coarsest, args=(slide,), name="wsi-overview", daemon=True), f"Opening {slide.name}")


def import_meanwhile(module: str, what: str) -> None:
    """Import a module, with all that it needs; the window goes on being drawn meanwhile, and says what it waits for.

    Must not be called while the package that holds the module is being imported: the thread would wait for it for ever.
    """
    _meanwhile(Thread(target=_import, args=(module,), name="wsi-import", daemon=True), what)


def _meanwhile(thread: Thread, what: str) -> None:
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive() and _in_window():
        _wait_drawing(thread, what)
    thread.join()


def _import(module: str) -> None:
    # What is wrong with it is said when it is imported where it is used.
    with contextlib.suppress(Exception):
        import_module(module)


def _read_coarsest(slide: Slide) -> None:
    # What is wrong is said when napari reads the same pixels.
    with contextlib.suppress(WsimilError):
        np.asarray(slide.pyramid()[-1])


def _in_window() -> bool:
    """Whether this is the thread of a running Qt application; asks without importing Qt where nobody has."""
    if "qtpy" not in sys.modules or current_thread() is not main_thread():
        return False
    from qtpy.QtWidgets import QApplication

    return QApplication.instance() is not None


def _wait_drawing(thread: Thread, what: str) -> None:
    """Run the event loop, but keep clicks and keys for later, until the thread has ended."""
    from qtpy.QtCore import QEventLoop, Qt, QTimer
    from qtpy.QtWidgets import QApplication

    loop, timer = QEventLoop(), QTimer()
    timer.timeout.connect(lambda: None if thread.is_alive() else loop.quit())
    timer.start(20)
    QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
    try:
        with progress(total=0, desc=what):
            loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    finally:
        timer.stop()
        QApplication.restoreOverrideCursor()
