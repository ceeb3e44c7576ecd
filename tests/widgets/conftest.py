"""A small slide, a small model with random weights, and a window with the dock."""

from __future__ import annotations

import gc
import time
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from queue import Empty, SimpleQueue
from types import SimpleNamespace

import numpy as np
import pytest

from napari_wsimil.inference import PatchScores, Progress, SlidePrediction
from napari_wsimil.inference.progress import Provisional

PATIENCE = 60_000
"""Milliseconds that a test waits at least for what is to come: a busy machine is no failure."""


@pytest.fixture(scope="session", autouse=True)
def short_collections():
    """napari collects garbage whenever a layer goes; what libraries keep for ever is not looked through each time."""
    import_module("torch")
    import_module("pandas")
    import_module("napari_wsimil.widgets.analysis")
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def qtbot(qtbot):
    """pytest-qt's, with patience."""

    def patient(wait):
        return lambda *what, timeout=0, **options: wait(*what, timeout=max(timeout, PATIENCE), **options)

    for name in ("waitUntil", "waitSignal", "waitSignals"):
        setattr(qtbot, name, patient(getattr(qtbot, name)))
    return qtbot


@pytest.fixture(autouse=True)
def own_preferences(tmp_path_factory, monkeypatch):
    """The plugin's preferences, in a folder of the test, of a user who was told about smooth panning."""
    from napari.settings import get_plugin_settings

    monkeypatch.setattr("napari.settings._PLUGIN_SETTINGS", {})
    slides = get_plugin_settings("napari-wsimil", path_dir=tmp_path_factory.mktemp("settings")).slides
    slides.tell_smooth_panning = False
    return slides


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Features are kept in a folder of the test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("NAPARI_WSIMIL_CACHE", str(folder))
    return folder


@pytest.fixture
def make_napari_viewer(make_napari_viewer, qtbot):
    """napari's own, which checks at the end that no window is left: one is, as long as its slices are still on their way."""
    made = []

    def make(*arguments, **options):
        made.append(make_napari_viewer(*arguments, **options))
        return made[-1]

    yield make
    for viewer in made:
        qtbot.waitUntil(lambda layers=viewer.layers: all(layer.loaded for layer in layers), timeout=20_000)
    made.clear()
    qtbot.wait(20)


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    from napari_wsimil.samples import make_sample_slide

    return make_sample_slide(tmp_path_factory.mktemp("slides") / "sample.tiff", size=2048)


@pytest.fixture(scope="session")
def no_mpp(tmp_path_factory):
    """A pyramid that says nothing of its pixel size."""
    import tifffile

    path = tmp_path_factory.mktemp("slides") / "unsized.tiff"
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (1024, 1536, 3), np.uint8)
    pixels[:, 768:] = 240
    pixels[:, :768, 1] //= 3
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels, tile=(256, 256), photometric="rgb", compression="jpeg", subifds=1, metadata=None)
        tiff.write(pixels[::2, ::2], tile=(256, 256), photometric="rgb", compression="jpeg", subfiletype=1, metadata=None)
    return path


@pytest.fixture
def package(random_model):
    """Folder of a model package that works and knows nothing."""
    return random_model.source


def made_up(slide, model="made-up", seed=0) -> SlidePrediction:
    """A prediction on a 6 x 5 grid: attention rises with the row of the patch."""
    mpp = slide.mpp or (1.0, 1.0)
    size = 128 / mpp[0]
    corners = np.array([(round(column * size), round(row * size)) for row in range(1, 6) for column in range(2, 8)], np.int64)
    values = np.arange(1, 31, dtype=np.float32)
    if seed:
        np.random.default_rng(seed).shuffle(values)
    tumour = values / 31
    return SlidePrediction(
        probabilities={"normal": 0.2, "tumour": 0.8},
        attention={0.5: PatchScores(corners, size, values / values.sum())},
        instances={0.5: PatchScores(corners, size, np.stack([1 - tumour, tumour], axis=1).astype(np.float32))},
        provenance={
            "slide": {
                "path": str(slide.path),
                "fingerprint": slide.fingerprint,
                "width": slide.width,
                "height": slide.height,
                "mpp": list(mpp),
                "origin": [0, 0],
            },
            "model": {"id": model, "digest": "0", "method": "abmil", "positive_class": "tumour"},
            "encoder": {"id": "none", "digest": "0"},
            "patches": {"mpp": [0.5], "size": 256, "stride": 256, "digest": {}, "counts": {}},
            "device": "cpu",
            "seconds": {"total": 3.2},
        },
    )


@pytest.fixture(name="made_up")
def _made_up():
    return made_up


class SlowJob:
    """Steps of 50 ms that a test can count; `closed` tells that the job let go of everything."""

    def __init__(self, count: int = 400) -> None:
        self.count = count
        self.done = 0
        self.closed = False

    def __call__(self, slide, model, **_):
        try:
            while self.done < self.count:
                time.sleep(0.05)
                self.done += 1
                yield Progress("Reading and encoding patches", self.done, self.count, 20.0, (self.count - self.done) / 20)
            return made_up(slide)
        finally:
            self.closed = True


@pytest.fixture
def slow_job():
    return SlowJob()


class Puppet:
    """A job that does what a test says, and notes what it was started with."""

    def __init__(self) -> None:
        self.settings: dict = {}
        self._orders: SimpleQueue = SimpleQueue()

    def __call__(self, slide, model, **settings):
        self.settings = settings
        progress = Progress("Reading and encoding patches", 0, 30)
        while True:
            with suppress(Empty):
                order = self._orders.get(timeout=0.02)
                if isinstance(order, Exception):
                    raise order
                if order is None:
                    return made_up(slide)
                progress = order
            yield progress
            progress = replace(progress, provisional=None)

    def show(self, slide, count, mpp=0.5):
        """Report attention of the first `count` patches; returns all scores."""
        scores = made_up(slide).attention[0.5]
        values = np.where(np.arange(30) < count, scores.values, np.nan).astype(np.float32)
        provisional = Provisional(mpp, replace(scores, values=values / np.nansum(values)))
        rates = {"read": 820.0, "encode": 33.0, "write": 5000.0}
        self._orders.put(Progress("Reading and encoding patches", count, 30, 33.0, 1.0, rates, provisional))
        return provisional.attention

    def end(self, error=None):
        """Give the prediction, or fail."""
        self._orders.put(error)


@pytest.fixture
def puppet():
    return Puppet()


@pytest.fixture
def settled(qtbot):
    """Call it to wait until the view of a window stays: napari fits it anew when the window and its docks get their places."""
    from qtpy.QtGui import QGuiApplication

    def wait(viewer):
        seen = []

        def stays():
            # the screen answers only after all that it was asked before
            QGuiApplication.primaryScreen().grabWindow(0, 0, 0, 1, 1)
            camera = viewer.scene.camera
            seen.append((tuple(camera.center), camera.zoom, tuple(viewer.canvas.size)))
            return len(seen) > 6 and len(set(seen[-6:])) == 1

        qtbot.waitUntil(stays)

    return wait


@pytest.fixture
def window(make_napari_viewer_proxy, qtbot, settled):
    """Call it to get a real window with the dock: `.viewer`, `.dock`, `.open(path)`, `.press(button)`, `.wait_end()`."""

    def build(width: int = 1280, height: int = 800) -> SimpleNamespace:
        from qtpy.QtCore import Qt

        viewer = make_napari_viewer_proxy(show=True)
        viewer.window.resize(width, height)
        _, dock = viewer.window.add_plugin_dock_widget("napari-wsimil", "Slide analysis")

        def open_path(path):
            layers = viewer.open(str(path), plugin="napari-wsimil")
            settled(viewer)
            return layers

        def press(button):
            qtbot.waitUntil(button.isVisible, timeout=3000)
            assert button.isEnabled(), button.objectName()
            qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

        def wait_end(timeout=60_000):
            qtbot.waitUntil(lambda: not dock.running, timeout=timeout)

        return SimpleNamespace(viewer=viewer, dock=dock, open=open_path, press=press, wait_end=wait_end)

    yield build
    from superqt.utils import WorkerBase

    WorkerBase.await_workers(20_000)


@pytest.fixture
def told():
    """The notifications of napari since the test began, as text."""
    from napari.utils.notifications import notification_manager

    before = len(notification_manager.records)

    def texts():
        return [str(record.message) for record in notification_manager.records[before:]]

    return texts
