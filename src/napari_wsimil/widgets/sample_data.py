"""File > Open Sample > Whole-slide MIL."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal

from napari import current_viewer

from napari_wsimil.samples import make_sample_slide
from napari_wsimil.widgets.reader import read_slide

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_wsimil.widgets.reader import LayerData

    Kind = Literal["tumour", "normal"]

DONE = object()
PLACEHOLDER = "Making the sample slide"


def tumour_slide() -> list[LayerData]:
    """The H&E-like sample slide with tumour foci; made on first use, then kept."""
    return _sample("tumour")


def normal_slide() -> list[LayerData]:
    """The H&E-like sample slide without tumour; made on first use, then kept."""
    return _sample("normal")


def _sample(kind: Kind) -> list[LayerData]:
    """The layer; in a window an empty one that gives way to it as soon as the slide is made: the window never waits."""
    viewer = current_viewer()
    if viewer is None:
        return read_slide(str(make_sample_slide(kind=kind)))
    from napari.qt.threading import create_worker

    worker = create_worker(paint, kind, _progress={"total": 100, "desc": PLACEHOLDER})
    worker.returned.connect(lambda path: _show(viewer, path))
    worker.errored.connect(lambda _: _show(viewer, None))
    worker.start()
    # napari takes an empty list for a failure.
    return [([], {"name": PLACEHOLDER}, "points")]


def _show(viewer: Any, path: Path | None) -> None:
    """Put the slide, if there is one, in the place of the empty layer."""
    for layer in [layer for layer in viewer.layers if layer.name == PLACEHOLDER]:
        viewer.layers.remove(layer)
    if path is not None:
        viewer.open(str(path), plugin="napari-wsimil")


def paint(kind: Kind, **options: Any) -> Generator[int, None, Path | None]:
    """Make the slide in a thread of its own and report each per cent, for a progress bar of 100 steps."""
    news: SimpleQueue[Any] = SimpleQueue()
    made: list[Any] = []

    def work() -> None:
        try:
            made.append(make_sample_slide(kind=kind, progress=lambda done, total: news.put(100 * done // total), **options))
        except Exception as error:  # noqa: BLE001 - raised again in the worker, which tells the user
            made.append(error)
        news.put(DONE)

    Thread(target=work, daemon=True).start()
    shown = 0
    while (percent := news.get()) is not DONE:
        yield from range(shown + 1, percent + 1)
        shown = percent
    if isinstance(made[0], Exception):
        raise made[0]
    return made[0]
