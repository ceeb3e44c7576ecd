"""The dock "Zoom inspector" in a real window: what it shows of the place under the cursor, and of one that is held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QColor, QMouseEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_wsimil.inference import PatchScores, PatchSet
from napari_wsimil.patches.patch import Patch
from napari_wsimil.widgets.docks import open_dock
from napari_wsimil.widgets.results import show_prediction
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_layer import facts
from napari_wsimil.widgets.view_geometry import centre_on


@pytest.fixture
def zooming(made_up):
    """A prediction with patches of 512 px at 1 µm/px and of 256 px at 0.5 µm/px, the latter only on the left."""

    def make(slide, model="zooming"):
        x, y = np.meshgrid(np.arange(4) * 512, np.arange(4) * 512)
        coarse = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.int64)
        x, y = np.meshgrid(np.arange(4) * 256, np.arange(8) * 256)
        fine = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.int64)
        values = np.arange(1, 33, dtype=np.float32) / 528
        plain = made_up(slide, model)
        return replace(
            plain,
            attention={
                1.0: PatchScores(coarse, 512.0, np.arange(1, 17, dtype=np.float32) / 136),
                0.5: PatchScores(fine, 256.0, values),
            },
            instances={},
            zoom={1.0: PatchSet(coarse[[5]], 512.0, np.array([0.75], np.float32))},
        )

    return make


def texts(dock):
    plain = str.maketrans({"\xa0": " ", "\u2060": ""})
    return [(card.title.text().translate(plain), card.scores.text()) for card in dock.cards if not card.isHidden()]


def pixel(widget, x, y):
    """Red, green and blue that a widget shows."""
    colour = QColor(widget.grab().toImage().pixel(int(x * widget.devicePixelRatioF()), int(y * widget.devicePixelRatioF())))
    return np.array([colour.red(), colour.green(), colour.blue()])


@pytest.mark.gui
def test_a_place_at_all_magnifications(make_napari_viewer_proxy, qtbot, sample, made_up, zooming):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1280, 800)
    viewer.open(str(sample), plugin="napari-wsimil")
    layer = viewer.layers[0]
    slide = facts(layer)["slide"]
    dock = open_dock(viewer, "Zoom inspector")
    assert "Predict" in dock.hint.text()
    show_prediction(viewer, zooming(slide), 5)
    session = session_of(viewer)
    qtbot.waitUntil(lambda: "cursor" in dock.hint.text())
    canvas = canvas_of(viewer, qtbot)

    def cursor_to(x, y):
        """Move the mouse to a level-0 pixel, which comes into the middle of the view."""
        centre_on(viewer, layer, x, y)
        middle = QPoint(canvas.width() // 2, canvas.height() // 2)
        nothing, modifiers = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
        where = QPointF(middle), QPointF(canvas.mapToGlobal(middle))
        QApplication.sendEvent(canvas, QMouseEvent(QEvent.Type.MouseMove, *where, nothing, nothing, modifiers))
        return middle

    def until(holds, x, y):
        """Keep the mouse there until something holds; under Xvfb, the server's own pointer may get in between."""

        def look():
            cursor_to(x, y)
            return holds()

        qtbot.waitUntil(look, timeout=10_000)

    # live: parent, its children with the one under the cursor, and that one
    until(lambda: dock.family is not None and dock.family.patch.patch == Patch(1.0, 512, 512, 512.0), 600, 700)
    assert [title for title, _ in texts(dock)] == ["1 µm/px", "Inside, 0.5 µm/px", "0.5 µm/px"]
    scores = [words for _, words in texts(dock)]
    assert scores[0] == "Attention 0.0441\nPercentile 38\nZoom score 0.75"
    assert scores[1] == "4 patches inside\nAttention 0.021 to 0.03"
    assert scores[2].startswith("Attention 0.0208\n")
    parent, inside, finest = (card.picture for card in dock.cards)
    slide_pixels = slide.read_region(512, 512, 512, 512, level=0).reshape(-1, 3).mean(axis=0)

    def pictures_come():
        seen = (
            parent.grab()
            .toImage()
            .scaled(1, 1, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation)
        )
        colour = QColor(seen.pixel(0, 0))
        return np.abs(np.array([colour.red(), colour.green(), colour.blue()]) - slide_pixels).max() < 30

    qtbot.waitUntil(pictures_come, timeout=10_000)
    # the frame has the colour that the overlay has
    overlay = next(one for one in viewer.layers if facts(one).get("kind") == "attention" and facts(one)["mpp"] == 0.5)
    overlay.contrast_limits = (0.0, 11 / 528)
    hot = 255 * np.asarray(overlay.colormap.map(np.array([1.0]))[0][:3])
    until(lambda: np.abs(pixel(finest, finest.width() / 2, 1) - hot).max() < 12, 603, 700)

    # a click holds the place; the cursor then changes nothing, another click does
    middle = cursor_to(600, 700)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=middle)
    assert not dock.follow_button.isChecked()
    assert "held" in dock.hint.text()
    cursor_to(1700, 1700)
    qtbot.wait(150)
    assert dock.family.patch.patch.box[:2] == (512, 512)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(canvas.width() // 2, canvas.height() // 2))
    assert dock.family.patch.patch.box[:2] == (1536, 1536)
    assert texts(dock)[1] == ("0.5 µm/px", "Not looked at here")

    # a patch that another dock points out
    session.choose_patch(Patch(0.5, 256, 256, 256.0))
    assert [title for title, _ in texts(dock)] == ["1 µm/px", "Inside, 0.5 µm/px", "0.5 µm/px"]
    assert dock.cards[2].title.font().bold()
    assert dock.family.patch.patch.box[:2] == (0, 0)
    # the child in the upper right, clicked
    side = inside.width()
    qtbot.mouseClick(inside, Qt.MouseButton.LeftButton, pos=QPoint(3 * side // 4, side // 4))
    assert session.patch == Patch(0.5, 256, 0, 256.0)
    # twice: the camera goes there
    qtbot.mouseClick(parent, Qt.MouseButton.LeftButton)
    qtbot.mouseDClick(parent, Qt.MouseButton.LeftButton)
    x, y = (viewer.scene.camera.center[-1] / 0.5, viewer.scene.camera.center[-2] / 0.5)
    assert (x, y) == (pytest.approx(256, abs=2), pytest.approx(256, abs=2))

    # following again
    qtbot.mouseClick(dock.follow_button, Qt.MouseButton.LeftButton, pos=QPoint(8, dock.follow_button.height() // 2))
    assert dock.follow_button.isChecked()
    until(lambda: dock.family.patch.patch.box[:2] == (0, 1536), 100, 1900)

    # a model of one magnification: more of the surroundings, and closer
    show_prediction(viewer, made_up(slide, "plain"), 5)
    qtbot.waitUntil(lambda: session.prediction.attention.keys() == {0.5} and dock._levels is not None)
    until(lambda: len(texts(dock)) == 3 and texts(dock)[0][0].startswith("Around"), 700, 500)
    assert [title for title, _ in texts(dock)] == ["Around it, 2 µm/px", "0.5 µm/px", "Closer, 0.125 µm/px"]
    assert texts(dock)[1][1].startswith("Attention ")
    assert "Tumour" in texts(dock)[1][1]
    assert texts(dock)[0][1] == "Not scored"
    # beside all patches
    until(lambda: "no patch" in dock.hint.text(), 2000, 2000)

    viewer.layers.clear()
    assert texts(dock) == []
    viewer.window.remove_dock_widget(dock)


def canvas_of(viewer, qtbot):
    """The widget that gets the mouse of the canvas, once it is shown."""

    def found():
        names = ("CanvasBackendDesktop",)
        return [
            widget
            for window in QApplication.topLevelWidgets()
            for widget in window.findChildren(QWidget)
            if type(widget).__name__ in names and widget.isVisible()
        ]

    qtbot.waitUntil(lambda: bool(found()), timeout=5000)
    return found()[0]
