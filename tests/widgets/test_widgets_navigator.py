"""Navigator and slide panel in a real window."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_wsimil.errors import WsimilError
from napari_wsimil.slides import open_slide
from napari_wsimil.widgets.navigator import NO_MPP
from napari_wsimil.widgets.slide_layer import facts
from napari_wsimil.widgets.view_geometry import screen_pixel, view_corners

pytestmark = pytest.mark.gui


@pytest.fixture
def overview(make_napari_viewer_proxy, qtbot, settled):
    """Call it to get a real window with the dock: `.viewer`, `.dock`, `.map`, `.camera`, `.open(path)`."""

    def build(width: int = 1280, height: int = 900) -> SimpleNamespace:
        viewer = make_napari_viewer_proxy(show=True)
        viewer.window.resize(width, height)
        holder, dock = viewer.window.add_plugin_dock_widget("napari-wsimil", "Slide overview")

        def open_path(path):
            (layer,) = viewer.open(str(path), plugin="napari-wsimil")
            qtbot.waitUntil(lambda: dock.navigator.map.has_image, timeout=10_000)
            settled(viewer)
            return layer

        return SimpleNamespace(
            viewer=viewer, dock=dock, holder=holder, map=dock.navigator.map, camera=viewer.scene.camera, open=open_path
        )

    yield build
    from superqt.utils import WorkerBase

    WorkerBase.await_workers(20_000)


def widget_point(w, x, y):
    """Where the level-0 pixel (x, y) lies on the overview, in whole px."""
    return QPoint(*np.round(w.map.to_widget(np.array([(x, y)], float))[0]).astype(int).tolist())


def middle(w):
    return view_corners(w.viewer, w.dock.layer).mean(axis=0)


def looks_at(w, qtbot, centre, zoom):
    w.camera.center, w.camera.zoom = centre, zoom
    qtbot.waitUntil(lambda: np.allclose(w.map.corners, view_corners(w.viewer, w.dock.layer)), timeout=2000)
    return w.map.corners


def test_mark_mouse_keys_and_buttons(overview, sample, qtbot, monkeypatch):
    w = overview()
    w.open(sample)
    the_mark_is_the_view(w, qtbot)
    a_click_goes_there(w, qtbot)
    dragging_goes_along_and_stays_on_the_slide(w, qtbot)
    the_wheel_zooms_about_the_point_below_it_and_keys_move_the_view(w, qtbot)
    magnification_buttons(w, qtbot, monkeypatch)


def the_mark_is_the_view(w, qtbot):
    # 1 canvas px shows 1 / 0.8 µm, which are 2.5 level-0 px; napari's µm 300, 400 is the centre of pixel 600, 800.
    corners = looks_at(w, qtbot, (300.0, 400.0), 0.8)
    height, width = w.viewer.canvas.size
    left, top, right, bottom = 800.5 - 1.25 * width, 600.5 - 1.25 * height, 800.5 + 1.25 * width, 600.5 + 1.25 * height
    np.testing.assert_allclose(corners, [(left, top), (right, top), (right, bottom), (left, bottom)], atol=1e-6)
    place = w.map.place()
    assert place.width() == pytest.approx(place.height()), "the slide is square"
    drawn = w.map.to_widget(corners)[0]
    np.testing.assert_allclose(
        drawn, (place.x() + left * place.width() / 2048, place.y() + top * place.width() / 2048), atol=1e-6
    )
    assert w.dock.navigator.magnification.text() == "8x · 1.2 µm/px"


def test_the_view_of_a_rotated_slide_and_of_one_seen_in_3d(overview, sample, qtbot):
    w = overview()
    layer = w.open(sample)
    straight = looks_at(w, qtbot, (500.0, 500.0), 2.0)
    layer.rotate = 30
    qtbot.waitUntil(lambda: not np.allclose(w.map.corners, straight), timeout=2000)
    # World (row, column) = R data with R = [[cos, -sin], [sin, cos]]: data = R^T world.
    angle = np.deg2rad(30)
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = ((straight - 0.5)[:, ::-1] @ back.T)[:, ::-1] + 0.5
    np.testing.assert_allclose(w.map.corners, turned, atol=1e-6)
    layer.rotate = 0
    w.viewer.dims.ndisplay = 3
    w.camera.angles = (30, 0, 0)
    w.camera.center, w.camera.zoom = (0.0, 500.0, 500.0), 2.0
    w.dock.navigator.refresh()
    relative = straight - straight.mean(axis=0)
    np.testing.assert_allclose(w.map.corners.mean(axis=0), (1000.5, 1000.5), atol=1e-6)
    sides = np.diff(w.map.corners, axis=0)
    np.testing.assert_allclose(np.hypot(*sides.T), np.hypot(*np.diff(relative, axis=0).T), rtol=1e-6)
    assert abs(np.degrees(np.arctan2(*sides[0][::-1]))) == pytest.approx(30, abs=1e-6)
    w.camera.angles = (0, 0, 90)
    w.dock.navigator.refresh()
    assert w.map.corners is None, "the slide is seen edge-on"


def a_click_goes_there(w, qtbot):
    looks_at(w, qtbot, (500.0, 500.0), 4.0)
    for order in (1, -1):
        point = widget_point(w, 1500, 300)
        qtbot.mouseClick(w.map, Qt.MouseButton.LeftButton, pos=point)
        x, y = w.map.to_slide(point.x(), point.y())
        assert (x, y) == pytest.approx((1500, 300), abs=2048 / w.map.place().width())
        np.testing.assert_allclose(w.camera.center[-2:], ((y - 0.5) * 0.5, (x - 0.5) * 0.5)[::order], atol=1e-6)
        np.testing.assert_allclose(middle(w), (x, y), atol=1e-6)
        assert order == -1 or w.camera.zoom == pytest.approx(4.0)
        w.viewer.dims.transpose()


def dragging_goes_along_and_stays_on_the_slide(w, qtbot):
    seen = []
    w.camera.events.center.connect(lambda _: seen.append(middle(w)))
    qtbot.mousePress(w.map, Qt.MouseButton.LeftButton, pos=widget_point(w, 500, 500))
    for x in (700, 900):
        point = widget_point(w, x, 500)
        move = _mouse_move(w.map, point)
        QApplication.sendEvent(w.map, move)
        np.testing.assert_allclose(seen[-1], w.map.to_slide(point.x(), point.y()), atol=1e-6)
    QApplication.sendEvent(w.map, _mouse_move(w.map, QPoint(-400, w.map.height() // 2)))
    assert seen[-1][0] == pytest.approx(0, abs=1e-6), "the edge is as far as it goes"
    qtbot.mouseRelease(w.map, Qt.MouseButton.LeftButton, pos=widget_point(w, 900, 500))
    count = len(seen)
    QApplication.sendEvent(w.map, _mouse_move(w.map, QPoint(10, 10), Qt.MouseButton.NoButton))
    assert len(seen) == count


def _mouse_move(widget, point, button=Qt.MouseButton.LeftButton):
    where = QPointF(point)
    modifiers = Qt.KeyboardModifier.NoModifier
    return QMouseEvent(
        QEvent.Type.MouseMove, where, QPointF(widget.mapToGlobal(point)), Qt.MouseButton.NoButton, button, modifiers
    )


def the_wheel_zooms_about_the_point_below_it_and_keys_move_the_view(w, qtbot):
    before = looks_at(w, qtbot, (500.0, 500.0), 1.0)
    point = widget_point(w, 1400, 700)
    at = np.array(w.map.to_slide(point.x(), point.y()))
    share = (at - before[0]) / (before[2] - before[0])
    wheel = QWheelEvent(
        QPointF(point),
        QPointF(w.map.mapToGlobal(point)),
        QPoint(),
        QPoint(0, 240),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(w.map, wheel)
    assert w.camera.zoom == pytest.approx(1.25**2)
    after = view_corners(w.viewer, w.dock.layer)
    np.testing.assert_allclose((at - after[0]) / (after[2] - after[0]), share, atol=1e-6)
    corners = looks_at(w, qtbot, (500.0, 500.0), 4.0)
    wide = np.ptp(corners[:, 0])
    qtbot.keyClick(w.map, Qt.Key.Key_Right)
    np.testing.assert_allclose(middle(w), (1000.5 + wide / 4, 1000.5), atol=1e-6)
    qtbot.keyClick(w.map, Qt.Key.Key_Plus)
    assert w.camera.zoom == pytest.approx(5.0)
    qtbot.keyClick(w.map, Qt.Key.Key_Minus)
    assert w.camera.zoom == pytest.approx(4.0)
    qtbot.keyClick(w.map, Qt.Key.Key_Home)
    np.testing.assert_allclose(middle(w), (1024, 1024), atol=1e-6)
    assert np.all(view_corners(w.viewer, w.dock.layer)[0] < 0)


def magnification_buttons(w, qtbot, monkeypatch):
    navigator = w.dock.navigator
    for power, button in navigator.magnification_buttons.items():
        before = middle(w)
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        assert w.camera.zoom == pytest.approx(power / 10), "20x: one canvas px per 0.5 µm"
        np.testing.assert_allclose(middle(w), before, atol=1e-6)
    qtbot.waitUntil(lambda: navigator.magnification.text() == "40x · 0.25 µm/px", timeout=2000)
    qtbot.mouseClick(navigator.full_button, Qt.MouseButton.LeftButton)
    assert w.camera.zoom == pytest.approx(2.0), "0.5 µm per px of the screen"
    monkeypatch.setattr(navigator, "devicePixelRatioF", lambda: 2.0)
    navigator.magnify(20)
    assert w.camera.zoom == pytest.approx(1.0), "a canvas px is two px of the screen across"
    navigator.refresh()
    assert navigator.magnification.text() == "20x · 0.5 µm/px"
    qtbot.mouseClick(navigator.fit_button, Qt.MouseButton.LeftButton)
    shares = 2048 / np.ptp(view_corners(w.viewer, w.dock.layer), axis=0)
    assert shares.max() == pytest.approx(0.95)


def test_units_of_other_layers(overview, sample, qtbot):
    """napari draws everything in the smallest unit of all layers."""
    w = overview()
    layer = w.open(sample)
    w.viewer.add_image(np.zeros((8, 8)), scale=(100, 100), units="nm")
    assert w.dock.layer == layer
    w.dock.navigator.magnify(20)
    assert w.camera.zoom == pytest.approx(0.002)
    w.dock.navigator.fit()
    np.testing.assert_allclose(w.camera.center[-2:], (511_750, 511_750))
    w.viewer.add_image(np.zeros((3, 8, 8)), units="um")
    w.dock.navigator.fit()
    np.testing.assert_allclose(middle(w), (1024, 1024), atol=1e-6)


def test_a_slide_without_pixel_size_then_with_one(overview, no_mpp, qtbot):
    from napari_wsimil.widgets.slide_layer import set_mpp

    w = overview()
    layer = w.open(no_mpp)
    navigator = w.dock.navigator
    for button in navigator.magnification_buttons.values():
        assert not button.isEnabled()
        assert button.toolTip() == NO_MPP
    assert navigator.magnification.text().endswith("% of full resolution")
    assert w.dock.panel.facts["Pixel size"].text() == "not known"
    assert "Slide analysis" in w.dock.panel.notice.text()
    qtbot.mouseClick(navigator.full_button, Qt.MouseButton.LeftButton)
    assert w.camera.zoom == pytest.approx(1.0)
    set_mpp(layer, 0.25)
    assert all(button.isEnabled() for button in navigator.magnification_buttons.values())
    assert w.dock.panel.facts["Pixel size"].text() == "0.25 µm"
    assert not w.dock.panel.notice.isVisible()
    navigator.magnify(20)
    assert screen_pixel(w.viewer, layer, (0.25, 0.25)) == pytest.approx(0.5)


def test_the_picture_is_the_slide(overview, sample, qtbot, write_slide, tmp_path):
    w = overview()
    layer = w.open(sample)
    place = w.map.place()
    coarsest = np.asarray(layer.data[-1])
    w.map.mark(None)
    image = w.map.grab().toImage()
    for x, y in ((0.1, 0.1), (0.9, 0.9)):
        colour = image.pixelColor(round(place.x() + x * place.width()), round(place.y() + y * place.height()))
        rows, columns = coarsest.shape[:2]
        patch = coarsest[int(y * rows) - 4 : int(y * rows) + 4, int(x * columns) - 4 : int(x * columns) + 4].mean(axis=(0, 1))
        np.testing.assert_allclose((colour.red(), colour.green(), colour.blue()), patch, atol=25)
    with open_slide(write_slide(tmp_path / "other.tiff", width=2048, height=2048)) as other:
        layer.data = other.pyramid()

        def shows_other():
            colour = w.map.grab().toImage().pixelColor(w.map.rect().center())
            return np.allclose((colour.red(), colour.green(), colour.blue()), (170, 90, 160), atol=15)

        qtbot.waitUntil(shows_other, timeout=5000)
        w.viewer.layers.clear()


def test_nothing_open_then_two_slides_then_none(overview, sample, no_mpp, qtbot):
    w = overview()
    qtbot.waitUntil(w.dock.empty.isVisible, timeout=2000)
    assert not w.dock.filled.isVisible()
    first = w.open(sample)
    assert not w.dock.empty.isVisible()
    assert w.dock.layer == first
    second = w.open(no_mpp)
    assert w.dock.layer == second
    assert w.dock.panel.facts["Name"].text() == "unsized.tiff"
    assert w.map.place().width() / w.map.place().height() == pytest.approx(1.5, rel=0.02)
    w.viewer.layers.selection.active = first
    assert w.dock.layer == first
    assert w.dock.panel.facts["Name"].text() == "sample.tiff"
    w.viewer.add_points([(1, 1)], units=("um", "um"))
    assert w.dock.layer == first, "other layers change nothing"
    w.viewer.layers.remove(first)
    assert w.dock.layer == second
    w.viewer.layers.remove(second)
    assert w.dock.layer is None
    assert w.dock.empty.isVisible()
    assert w.map.corners is None
    w.camera.zoom = 3.0
    w.dock.navigator.fit()
    w.dock.navigator.magnify(10)
    assert w.camera.zoom == 3.0


def test_a_result_points_at_its_slide(overview, sample, no_mpp, made_up):
    from napari.layers import Layer

    from napari_wsimil.widgets.layers import prediction_layers

    w = overview()
    first, second = w.open(sample), w.open(no_mpp)
    assert w.dock.layer == second
    attention = Layer.create(*prediction_layers(made_up(facts(first)["slide"]))[1])
    w.viewer.add_layer(attention)
    w.viewer.layers.selection.active = attention
    assert w.dock.layer == first


def test_a_removed_slide_is_let_go(overview, sample, qtbot):
    from superqt.utils import WorkerBase

    w = overview()
    w.open(sample)
    slide = weakref.ref(facts(w.dock.layer)["slide"])
    w.viewer.layers.clear()
    WorkerBase.await_workers(10_000)
    qtbot.wait(50)
    gc.collect()
    held = [type(one) for one in gc.get_referrers(slide())] if slide() is not None else []
    assert slide() is None, held


def test_closing_the_dock_ends_all_of_it(overview, sample, qtbot):
    w = overview()
    layer = w.open(sample)
    camera = w.camera.events.center
    before, on_layer = len(camera.callbacks), len(layer.events.scale.callbacks)
    w.dock.panel.show_slide(None)
    w.dock.panel.show_slide(facts(layer)["slide"])  # a worker is under way
    w.viewer.window.remove_dock_widget(w.holder)
    w.dock.deleteLater()
    w.holder.deleteLater()
    qtbot.wait(100)
    assert not isalive(w.dock)
    assert len(camera.callbacks) == before - 1
    assert len(layer.events.scale.callbacks) == on_layer - 1
    w.camera.center = (10.0, 10.0)
    layer.scale = (1.0, 1.0)
    w.viewer.layers.clear()
    qtbot.wait(50)


def test_reading_does_not_keep_the_window(overview, sample, qtbot, monkeypatch):
    import threading

    from napari_wsimil.widgets import navigator

    readers, go = [], threading.Event()

    def slowly(pixels):
        readers.append(threading.current_thread())
        assert go.wait(10)
        raise WsimilError("The file is gone.")

    monkeypatch.setattr(navigator, "to_image", slowly)
    w = overview()
    w.viewer.open(str(sample), plugin="napari-wsimil")
    qtbot.waitUntil(lambda: bool(readers), timeout=5000)
    assert readers[0] is not threading.main_thread()
    assert not w.map.has_image
    qtbot.waitUntil(lambda: w.map.corners is not None, timeout=2000)
    go.set()
    qtbot.waitUntil(w.dock.navigator.message.isVisible, timeout=5000)
    assert w.dock.navigator.message.text() == "The overview can't be read. The file is gone."


def test_open_from_the_dock(overview, sample, qtbot):
    w = overview()
    qtbot.mouseClick(w.dock.open_button, Qt.MouseButton.LeftButton)
    dialog = w.dock.findChild(QFileDialog)
    dialog.setDirectory(str(sample.parent))
    dialog.selectFile(str(sample))
    dialog.accept()
    qtbot.waitUntil(lambda: w.dock.layer is not None, timeout=3000)
    assert [layer.name for layer in w.viewer.layers] == [w.dock.layer.name] == ["sample"]


def test_nothing_in_the_dock_is_cut(overview, sample, qtbot):
    from qtpy.QtWidgets import QLabel, QPushButton

    from napari_wsimil.widgets.parts import Fold

    w = overview()
    w.open(sample)
    w.viewer.window.resize(900, 900)
    for fold in w.dock.findChildren(Fold):
        fold.button.setChecked(True)
    for theme in ("dark", "light"):
        w.viewer.theme = theme
        qtbot.wait(100)
        for part in [*w.dock.findChildren(QLabel), *w.dock.findChildren(QPushButton)]:
            if part.isVisible() and part.text():
                right = part.mapTo(w.dock, QPoint(part.width(), 0)).x()
                assert right <= w.dock.width(), part.text()
                if isinstance(part, QPushButton):
                    assert part.width() >= part.fontMetrics().horizontalAdvance(part.text()) + 4, part.text()
