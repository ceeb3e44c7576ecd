"""A model package or a saved prediction, dropped on the window."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from napari.components import ViewerModel
from napari.settings import get_settings
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication

import napari_wsimil as ws
from napari_wsimil.widgets import reader
from napari_wsimil.widgets.analysis import SlideAnalysis
from napari_wsimil.widgets.slide_layer import facts


@pytest.fixture
def broken(package, tmp_path):
    """A package whose method nobody knows."""
    folder = Path(shutil.copytree(package, tmp_path / "broken"))
    spec = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**spec, "method": "magic"}))
    return folder


def drop(viewer, *paths):
    """As the mouse does it, on the canvas."""
    viewer.window.activate()
    canvas = max(
        (widget for widget in QApplication.allWidgets() if isinstance(widget, QOpenGLWidget) and widget.isVisible()),
        key=lambda widget: widget.width() * widget.height(),
    )
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    target = canvas
    while target.parentWidget() is not None and not target.acceptDrops():
        target = target.parentWidget()
    middle = target.rect().center()
    what = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(middle, *what)
    QApplication.sendEvent(target, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(target, QDropEvent(QPointF(middle), *what))


def test_what_is_a_package(package, tmp_path):
    assert reader.get_reader(package) is reader.read_package
    assert reader.get_reader(str(Path(package) / "model.json")) is reader.read_package
    (tmp_path / "model.json").mkdir()
    assert reader.get_reader(str(tmp_path)) is None
    assert reader.get_reader(str(tmp_path / "model.json")) is None
    assert reader.get_reader(str(Path(package) / "weights.safetensors")) is None


def test_without_a_window(package, told):
    assert reader.read_package(package) == reader.NOTHING
    (sentence,) = told()
    assert "no picture" in sentence
    assert ViewerModel().layers == []


@pytest.mark.gui
def test_packages_and_predictions(
    make_napari_viewer_proxy, package, broken, sample, made_up, told, qtbot, tmp_path, monkeypatch
):
    viewer = make_napari_viewer_proxy(show=True)
    drop(viewer, Path(package) / "model.json")
    dock = next(widget for widget in QApplication.allWidgets() if isinstance(widget, SlideAnalysis))
    qtbot.waitUntil(lambda: dock.models.model == package, timeout=20_000)
    assert dock.isVisible()
    qtbot.waitUntil(lambda: told() == ["random is the chosen model now; press Predict to use it."], timeout=5000)
    viewer.open(str(broken), plugin="napari-wsimil")
    qtbot.waitUntil(lambda: len(told()) == 2, timeout=20_000)
    assert "magic" in told()[1]
    assert "\n" not in told()[1]
    assert dock.models.model == package, "what is broken is not chosen"
    assert len(viewer.layers) == 0
    with ws.open_slide(sample) as slide:
        saved = made_up(slide).save(tmp_path / "mine.prediction.h5")
    # napari asks which reader to use where it has more than one; this user has said it once
    monkeypatch.setitem(get_settings().plugins.extension2reader, "*.prediction.h5", "napari-wsimil")
    drop(viewer, saved)
    qtbot.waitUntil(lambda: dock.prediction is not None, timeout=10_000)
    assert facts(viewer.layers[0])["kind"] == "slide"
    assert dock.result.isVisible()
