"""Pictures of patches from a thread: the newest wish first, bounded, and quiet about what can't be read."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import napari_wsimil as ws
from napari_wsimil.patches.patch import Patch

pytestmark = pytest.mark.gui

PATCHES = [Patch(0.5, 256 * column, 256 * row, 256.0) for row in range(1, 4) for column in range(1, 5)]


class Slow:
    """A slide whose reads wait until a test lets them go, and fail where it says so."""

    def __init__(self, slide, broken=()):
        self.slide, self.broken = slide, broken
        self.fingerprint = slide.fingerprint
        self.go, self.begun, self.read = threading.Event(), threading.Event(), []

    def read_downsampled(self, x, y, *rest, **options):
        self.begun.set()
        assert self.go.wait(10)
        self.read.append((x, y))
        if (x, y) in self.broken:
            raise RuntimeError("a broken tile")
        return self.slide.read_downsampled(x, y, *rest, **options)


@pytest.fixture
def parent(qtbot):
    from qtpy.QtWidgets import QWidget

    widget = QWidget()
    qtbot.addWidget(widget)
    yield widget
    from superqt.utils import WorkerBase

    WorkerBase.await_workers(10_000)


@pytest.fixture
def slide(tiny_slide):
    with ws.open_slide(tiny_slide) as opened:
        yield opened


def collected(thumbnails):
    got = []
    thumbnails.ready.connect(lambda patch, image: got.append((patch, image)))
    return got


def test_pictures_are_those_of_the_patches(parent, slide, qtbot):
    from napari_wsimil.widgets.thumbnails import Thumbnails

    thumbnails = Thumbnails(parent)
    got = collected(thumbnails)
    assert thumbnails.picture(slide, PATCHES[0], 64) is None
    thumbnails.ask(slide, PATCHES, 64)
    qtbot.waitUntil(lambda: len(got) == len(PATCHES), timeout=10_000)
    assert [patch for patch, _ in got] == PATCHES, "in the order of the wish"
    image = thumbnails.picture(slide, PATCHES[3], 64)
    pixels = slide.read_region(PATCHES[3].x, PATCHES[3].y, 64, 64, mpp=2.0)
    assert image.pixelColor(20, 30).getRgb()[:3] == tuple(pixels[30, 20].tolist())
    thumbnails.ask(slide, PATCHES, 64)
    qtbot.wait(50)
    assert len(got) == len(PATCHES), "what is there is not read again"


def test_the_newest_wish_comes_first_and_what_is_forgotten_never(parent, slide, qtbot):
    from napari_wsimil.widgets.thumbnails import Thumbnails

    slow = Slow(slide)
    thumbnails = Thumbnails(parent)
    got = collected(thumbnails)
    thumbnails.ask(slow, PATCHES[:4], 32)
    assert slow.begun.wait(10)
    thumbnails.ask(slow, PATCHES[4:6], 32)
    slow.go.set()
    qtbot.waitUntil(lambda: len(got) == 6, timeout=10_000)
    assert [patch for patch, _ in got] == [PATCHES[0], *PATCHES[4:6], *PATCHES[1:4]]
    slow.go.clear()
    slow.begun.clear()
    thumbnails.ask(slow, PATCHES[6:10], 32)
    assert slow.begun.wait(10)
    thumbnails.forget()
    slow.go.set()
    qtbot.waitUntil(lambda: len(got) == 7, timeout=10_000)
    qtbot.wait(50)
    assert len(got) == 7


def test_what_cannot_be_read_makes_no_noise_and_stops_nothing(parent, slide, qtbot, tiny_slide):
    from napari_wsimil.widgets.thumbnails import Thumbnails

    broken = Slow(slide, broken=[(PATCHES[1].x, PATCHES[1].y)])
    broken.go.set()
    thumbnails = Thumbnails(parent)
    got = collected(thumbnails)
    gone = ws.open_slide(tiny_slide)
    gone.close()
    thumbnails.ask(gone, PATCHES[3:5], 48)
    thumbnails.ask(broken, PATCHES[:3], 32)
    qtbot.waitUntil(lambda: len(got) == 2, timeout=10_000)
    assert [patch for patch, _ in got] == [PATCHES[0], PATCHES[2]]
    assert thumbnails.picture(slide, PATCHES[1], 32) is None


def test_only_so_much_is_kept(parent, slide, qtbot):
    from napari_wsimil.widgets.thumbnails import Thumbnails

    thumbnails = Thumbnails(parent, kept_bytes=3 * 32 * 32 * 4)
    got = collected(thumbnails)
    thumbnails.ask(slide, PATCHES[:3], 32)
    qtbot.waitUntil(lambda: len(got) == 3, timeout=10_000)
    assert thumbnails.picture(slide, PATCHES[0], 32) is not None, "used last, so it stays longest"
    thumbnails.ask(slide, PATCHES[3:4], 32)
    qtbot.waitUntil(lambda: len(got) == 4, timeout=10_000)
    kept = [thumbnails.picture(slide, patch, 32) is not None for patch in PATCHES[:4]]
    assert kept == [True, False, True, True]


def test_the_widget_may_go_while_pictures_are_read(slide, qtbot):
    from qtpy.QtWidgets import QApplication, QWidget
    from superqt.utils import WorkerBase

    from napari_wsimil.widgets.thumbnails import Thumbnails

    slow, widget = Slow(slide), QWidget()
    thumbnails = Thumbnails(widget)
    got = collected(thumbnails)
    thumbnails.ask(slow, PATCHES, 32)
    assert slow.begun.wait(10)
    widget.deleteLater()
    qtbot.waitUntil(
        lambda: QApplication.instance() is not None and not np.any([one is widget for one in QApplication.allWidgets()])
    )
    slow.go.set()
    WorkerBase.await_workers(10_000)
    qtbot.wait(20)
    assert got == []
    assert len(slow.read) == 1, "the others are not read any more"
