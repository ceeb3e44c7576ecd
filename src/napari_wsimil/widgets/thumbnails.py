"""Pictures of patches, read in the background."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.pictures import to_image
from napari_wsimil.widgets.preferences import SRGB, preferences

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qtpy.QtGui import QImage
    from qtpy.QtWidgets import QWidget

    from napari_wsimil.patches.patch import Patch
    from napari_wsimil.slides import Slide
    from napari_wsimil.slides._colour import Colour

KEPT_BYTES = 64 << 20
"""Pixels of the pictures that one dock keeps."""


class Key(NamedTuple):
    """What tells one picture from another."""

    fingerprint: str
    patch: Patch
    side: int
    colour: Colour


class Thumbnails(QObject):
    """Reads pictures of patches in one background thread, those asked for last first, and keeps the latest of them.

    A patch that can't be read, because its slide was closed, say, gets no picture and makes no noise.

    Parameters
    ----------
    parent
        The widget that shows them; when it is gone, nothing is read any more.
    kept_bytes
        How much is kept.

    Signals
    -------
    ready
        Carries a `Patch` and its `QImage`.
    """

    ready = Signal(object, object)

    def __init__(self, parent: QWidget, kept_bytes: int = KEPT_BYTES) -> None:
        super().__init__(parent)
        self._most = kept_bytes
        self._size = 0
        self._kept: OrderedDict[Key, QImage] = OrderedDict()
        wishes = self._wishes = Wishes()
        self.destroyed.connect(lambda *_: wishes.close())

    def ask(self, slide: Slide, patches: Sequence[Patch], side: int) -> None:
        """Want pictures of patches, `side` device px wide: the first patch first, and all before those asked for earlier.

        Those that are there already come at once through `picture`, and not through `ready`.
        """
        keys = [_key(slide, patch, side) for patch in patches]
        if self._wishes.add(slide, [key for key in keys if key not in self._kept]):
            # superqt keeps a worker and its arguments for ever; what it has taken out of a list is let go.
            worker = create_worker(_read, [self._wishes], _ignore_errors=True)
            worker.yielded.connect(self._take)
            worker.start()

    def forget(self) -> None:
        """Want nothing any more of what was not read yet."""
        self._wishes.clear()

    def picture(self, slide: Slide, patch: Patch, side: int) -> QImage | None:
        """The picture of a patch, where it was read already."""
        key = _key(slide, patch, side)
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def _take(self, found: tuple[Key, QImage]) -> None:
        key, image = found
        self._size += image.sizeInBytes() - (self._kept[key].sizeInBytes() if key in self._kept else 0)
        self._kept[key] = image
        while self._size > self._most and len(self._kept) > 1:
            self._size -= self._kept.popitem(last=False)[1].sizeInBytes()
        self.ready.emit(key.patch, image)


class Wishes:
    """Pictures that are wanted, the next one last; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: OrderedDict[Key, Slide] = OrderedDict()
        self._read = False
        self._closed = False

    def add(self, slide: Slide, keys: Sequence[Key]) -> bool:
        """Want these before all others; returns whether somebody must start to read."""
        with self._lock:
            if self._closed or not keys:
                return False
            for key in reversed(keys):
                self._wanted[key] = slide
                self._wanted.move_to_end(key)
            idle, self._read = not self._read, True
            return idle

    def next(self) -> tuple[Key, Slide] | None:
        """Take the next one; None where there is none, and whoever reads is done then."""
        with self._lock:
            self._read = bool(self._wanted)
            return self._wanted.popitem() if self._wanted else None

    def clear(self) -> None:
        """Want nothing any more."""
        with self._lock:
            self._wanted.clear()

    def close(self) -> None:
        """Want nothing any more, and never again."""
        with self._lock:
            self._wanted.clear()
            self._closed = True


def _key(slide: Slide, patch: Patch, side: int) -> Key:
    return Key(slide.fingerprint, patch, side, "srgb" if preferences().colours == SRGB else "raw")


def _read(task: list[Wishes]) -> Iterator[tuple[Key, QImage]]:
    """Read what is wanted until nothing is."""
    wishes = task.pop()
    while (wish := wishes.next()) is not None:
        try:
            yield wish[0], _picture(*wish)
        except Exception:  # noqa: BLE001, S112 - a slide that was closed, a disk that is gone: the others are still wanted
            continue


def _picture(key: Key, slide: Slide) -> QImage:
    ratio = key.patch.size_level0 / key.side

    def read(colour: Colour) -> Any:
        corner = key.patch.x, key.patch.y
        return slide.read_downsampled(*corner, key.side, key.side, (ratio, ratio), colour=colour)

    try:
        return to_image(read(key.colour))
    except WsimilError:
        if key.colour == "raw":
            raise
        # a profile that is no good; whoever opened the slide was told
        return to_image(read("raw"))
