"""Tiles around the view, decoded before they are asked for."""

from __future__ import annotations

import contextlib
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QTimer

from napari_wsimil.errors import WsimilError
from napari_wsimil.slides._window import Box
from napari_wsimil.widgets.job import any_running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_wsimil.slides import Level, Slide

SETTLE_MS = 120
"""How long after a move the view is looked at again."""

BUSY_MS = 1000
"""The same while a prediction runs, whose reads come first."""

MOST_BYTES = 48 << 20
"""Pixels decoded ahead for one view."""


class View(NamedTuple):
    """What napari shows of a slide: the number of the array of its pyramid, and the window in pixels of that array."""

    number: int
    window: Box


class Prefetcher:
    """Follows the view of one slide layer and decodes what it may show next into the slide's tile cache.

    Around the window that napari has loaded: the chunks beyond each edge, those ahead of the last move first, and the same
    place one level coarser. It stops as soon as another window is wanted.

    Parameters
    ----------
    camera
        The viewer's camera.
    layer
        The slide layer.
    busy
        Whether something more important reads slides.
    """

    def __init__(self, camera: Any, layer: Any, busy: Callable[[], bool] = any_running) -> None:
        self._layer = layer
        self._busy = busy
        self._done: View | None = None
        self._last: View | None = None
        self._moves: tuple[int, int] = (0, 0)
        self._stop = threading.Event()
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MS)
        self._timer.timeout.connect(self._look)
        for event in (camera.events.center, camera.events.zoom, layer.events.set_data, layer.events.visible):
            event.connect(self._moved)
        self._events = (camera.events.center, camera.events.zoom, layer.events.set_data, layer.events.visible)

    def close(self) -> None:
        """Stop for good."""
        self._stop.set()
        self._timer.stop()
        for event in self._events:
            event.disconnect(self._moved)

    def _moved(self, _: Any = None) -> None:
        if self._done is not None and shown(self._layer) != self._done:
            self._stop.set()
            self._done = None
        if not self._timer.isActive():
            self._timer.start(SETTLE_MS)

    def _look(self) -> None:
        """Start to decode around the view, unless that was done or the view itself is not there yet."""
        if not self._layer.visible or self._layer.locked_data_level is not None:
            return
        if self._busy() or not self._layer.loaded:
            self._timer.start(BUSY_MS if self._busy() else SETTLE_MS)
            return
        view = shown(self._layer)
        if view == self._done:
            return
        self._stop.set()
        self._stop = threading.Event()
        steps = list(self._steps(view))
        self._done = self._last = view
        _thread().submit(_decode, steps, _either(self._stop.is_set, self._busy))

    def _steps(self, view: View) -> Iterator[tuple[Slide, Level, Box]]:
        """What to decode, the most likely first, up to `MOST_BYTES`."""
        before = self._last
        if before is not None and before.number == view.number:
            self._moves = view.window.x - before.window.x, view.window.y - before.window.y
        room = MOST_BYTES
        for number, box in around(view, self._layer.data, self._moves):
            room -= box.width * box.height * 3
            if room < 0:
                return
            pixels = self._layer.data[number].pixels
            yield pixels.slide, pixels.level, box


def shown(layer: Any) -> View:
    """What napari has loaded, or is loading, of a slide layer."""
    (top, left), (bottom, right) = (corner[-2:] for corner in layer.corner_pixels.tolist())
    return View(layer.data_level, Box(left, top, right - left + 1, bottom - top + 1))


def around(view: View, arrays: Any, moves: tuple[int, int] = (0, 0)) -> Iterator[tuple[int, Box]]:
    """The strips of chunks beyond the four edges of a window, the one ahead first, and its place in the next coarser array.

    Parameters
    ----------
    view
        The window.
    arrays
        The pyramid, finest first.
    moves
        How far the window came in x and y.

    Yields
    ------
    Number of the array, and a window inside it.
    """
    window, shown_array = view.window, arrays[view.number]
    height, width = shown_array.shape[:2]
    down, across = (chunks[0] for chunks in shown_array.chunks[:2])
    xs = max(0, window.x - across), window.x, window.x + window.width, min(width, window.x + window.width + across)
    ys = max(0, window.y - down), window.y, window.y + window.height, min(height, window.y + window.height + down)
    sides = [
        (moves[0], Box(xs[2], ys[1], xs[3] - xs[2], window.height)),
        (-moves[0], Box(xs[0], ys[1], xs[1] - xs[0], window.height)),
        (moves[1], Box(xs[1], ys[2], window.width, ys[3] - ys[2])),
        (-moves[1], Box(xs[1], ys[0], window.width, ys[1] - ys[0])),
    ]
    corners = [Box(x0, y0, x1 - x0, y1 - y0) for y0, y1 in list(pairwise(ys))[::2] for x0, x1 in list(pairwise(xs))[::2]]
    ordered = [box for _, box in sorted(sides, key=lambda side: -side[0])]
    boxes = [(view.number, box) for box in ordered[:2]]
    if view.number + 1 < len(arrays):
        boxes.append((view.number + 1, coarser(window, shown_array, arrays[view.number + 1])))
    boxes += [(view.number, box) for box in (*ordered[2:], *corners)]
    yield from ((number, box) for number, box in boxes if box.width > 0 and box.height > 0)


def coarser(window: Box, array: Any, parent: Any) -> Box:
    """The window of the same size and centre in the next coarser array, in whole chunks as napari reads them: zooming out."""
    spans = []
    for axis, start, length in ((1, window.x, window.width), (0, window.y, window.height)):
        factor, chunk = parent.shape[axis] / array.shape[axis], parent.chunks[axis][0]
        first = (start + length / 2) * factor - length / 2
        low = max(0, math.floor(first / chunk) * chunk)
        high = min(parent.shape[axis], math.ceil((first + length) / chunk) * chunk)
        spans.append((low, high - low))
    (x, width), (y, height) = spans
    return Box(x, y, width, height)


def _either(*asked: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: any(ask() for ask in asked)


def _decode(steps: list[tuple[Slide, Level, Box]], should_stop: Callable[[], bool]) -> None:
    for slide, level, box in steps:
        if should_stop():
            return
        # The slide may be closed by now; what is wrong with its tiles is said when they are shown.
        with contextlib.suppress(WsimilError):
            slide.warm(level, box, should_stop)


@cache
def _thread() -> ThreadPoolExecutor:
    """One thread for all slides, of normal priority: a slow one that holds Python's lock keeps the window waiting."""
    return ThreadPoolExecutor(1, thread_name_prefix="wsi-prefetch")
