"""The region gallery in a real window: every control, and the way from each picture to its place on the slide."""

from __future__ import annotations

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import napari_wsimil as ws
from napari_wsimil.inference import PatchSet
from napari_wsimil.widgets.results import show_prediction
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_layer import facts
from napari_wsimil.widgets.view_geometry import view_corners

pytestmark = pytest.mark.gui

ENCODER = SimpleNamespace(id="made", digest="ab" * 8, dimension=3, precision="fp32")


def rich(made_up, slide, spec):
    """A prediction with all that can be ranked by, whose features may be kept."""
    plain = made_up(slide)
    table = plain.attention[0.5]
    about = {"encoder": {"id": "made", "digest": ENCODER.digest}}
    about["patches"] = {**plain.provenance["patches"], "digest": {"0.5": spec.digest}}
    return replace(
        plain,
        class_attention={0.5: replace(table, values=plain.instances[0.5].values[:, ::-1])},
        anchors=PatchSet(table.xy[::7], table.size_level0, table.values[::7]),
        zoom={2.0: PatchSet(np.array([[0, 0], [1024, 0]]), 1024.0, np.array([3, 2], np.float32))},
        provenance={**plain.provenance, **about},
    )


def keep_features(slide, spec):
    """Features of all patches in the store of the window: those of one row of the grid are alike."""
    from napari_wsimil.bags.store import FeatureStore, default_store_folder

    grid = ws.patch_grid(slide, spec.mpp, spec.size)
    angle = 0.2 * grid.cells[:, 1]
    features = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1).astype(np.float32)
    FeatureStore(default_store_folder()).save(slide, ENCODER, spec, grid, features)


@pytest.fixture
def gallery(make_napari_viewer_proxy, qtbot, sample, made_up):
    """A window with a slide, a prediction on it and the dock; and what a user does there."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtWidgets import QApplication

    from napari_wsimil.widgets.docks import open_dock

    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1280, 800)
    slide_layer = viewer.open(str(sample), plugin="napari-wsimil")[0]
    slide, spec = facts(slide_layer)["slide"], ws.PatchSpec(mpp=0.5)
    prediction = rich(made_up, slide, spec)
    show_prediction(viewer, prediction, 3)
    dock = open_dock(viewer, "Regions")
    qtbot.waitUntil(lambda: len(dock.regions) == 10, timeout=10_000)

    def place(row):
        dock.view.scrollTo(dock.items.index(row))
        return dock.view.visualRect(dock.items.index(row)).center()

    def click(row, times=1):
        where = {"pos": place(row)}
        qtbot.mouseClick(dock.view.viewport(), Qt.MouseButton.LeftButton, **where)
        if times == 2:
            qtbot.mouseDClick(dock.view.viewport(), Qt.MouseButton.LeftButton, **where)
            qtbot.mouseRelease(dock.view.viewport(), Qt.MouseButton.LeftButton, **where)

    def hover(row):
        qtbot.mouseMove(dock.view.viewport(), place(row) + QPoint(1, 1))

    def press(button):
        assert button.isVisible(), button.objectName()
        assert button.isEnabled(), button.objectName()
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def layer(kind):
        QApplication.processEvents()
        return next((one for one in viewer.layers if facts(one).get("kind") == kind), None)

    def centre():
        corners = view_corners(viewer, slide_layer)
        return corners.mean(axis=0)

    parts = {"viewer": viewer, "dock": dock, "slide": slide, "slide_layer": slide_layer, "prediction": prediction, "spec": spec}
    yield SimpleNamespace(**parts, click=click, hover=hover, press=press, layer=layer, centre=centre, qtbot=qtbot)
    from superqt.utils import WorkerBase

    WorkerBase.await_workers(20_000)


def boxes_on_slide(layer):
    """(n, 4) x0, y0, x1, y1 in level-0 pixels of the boxes of a Shapes layer."""
    corners = (np.asarray(layer.data) + np.divide(layer.translate, layer.scale))[:, :, ::-1] + 0.5
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def choose(combo, text):
    assert combo.isVisible()
    combo.setCurrentIndex(next(row for row in range(combo.count()) if combo.itemText(row) == text))


def test_choosing_looking_and_saving(gallery, qtbot, tmp_path, made_up):
    every_picture_leads_to_its_box(gallery)
    captions_end_count_and_size(gallery, qtbot)
    pictures_are_saved(gallery, qtbot, tmp_path)
    other_predictions_are_followed(gallery, tmp_path, made_up)


def test_mouse_keys_and_similar_ones(gallery, qtbot):
    hovering(gallery, qtbot)
    stepping_and_opening(gallery, qtbot)
    similar_ones(gallery, qtbot)
    the_menu(gallery, qtbot)
    closing(gallery, qtbot)


def every_picture_leads_to_its_box(gallery):
    dock, controls = gallery.dock, gallery.dock.controls
    offered = []
    for kind in [controls.by.itemText(row) for row in range(controls.by.count())]:
        choose(controls.by, kind)
        classes = [controls.class_name.itemText(row) for row in range(controls.class_name.count())] or [None]
        for name in classes:
            if name is not None:
                choose(controls.class_name, name)
            assert controls.class_name.isVisible() == (len(classes) > 1)
            ranking = controls.choice.ranking
            offered.append(ranking)
            expected = ws.rank_patches(gallery.prediction, ranking)
            assert dock.regions == expected
            top = gallery.layer("top")
            boxes = boxes_on_slide(top)
            assert boxes == pytest.approx(np.array([one.patch.box for one in expected]))
            assert list(top.features["rank"]) == list(range(1, len(expected) + 1))
            for row, one in enumerate(expected):
                gallery.click(row)
                away = np.abs(gallery.centre() - (boxes[row, :2] + boxes[row, 2:]) / 2).max()
                assert away <= one.patch.size_level0 / 2
                assert session_of(gallery.viewer).patch == one.patch
    assert offered == ws.rankings(gallery.prediction)
    assert gallery.layer("top").name.startswith("Top regions · uncertainty")
    assert sum(facts(layer).get("kind") == "top" for layer in gallery.viewer.layers) == 1, "one layer for all rankings"


def captions_end_count_and_size(gallery, qtbot):
    from qtpy.QtCore import QSize, Qt

    dock, controls = gallery.dock, gallery.dock.controls
    choose(controls.by, "By attention")
    first = dock.items.index(0)
    best = ws.rank_patches(gallery.prediction)[0]
    assert first.data().startswith(f"{best.score:.3g} · 20x")
    assert "Region 1: attention" in first.data(Qt.ItemDataRole.AccessibleTextRole)
    side = dock.view.iconSize().width()

    def shown():
        image = first.data(Qt.ItemDataRole.DecorationRole).pixmap(QSize(side, side)).toImage()
        return image.pixelColor(image.width() * 3 // 4, image.height() * 3 // 4)

    ratio = best.patch.size_level0 / side
    pixels = gallery.slide.read_downsampled(best.patch.x, best.patch.y, side, side, (ratio, ratio))
    expected = pixels[side * 3 // 4, side * 3 // 4]
    qtbot.waitUntil(lambda: np.abs(np.array(shown().getRgb()[:3], int) - expected).max() <= 2, timeout=10_000)

    choose(controls.by, "By probability")
    choose(controls.end, "Lowest first")
    assert first.data() == "3.2 % · 20x\ntumour"
    assert gallery.layer("top").name.startswith("Lowest regions · tumour probability")
    choose(controls.class_name, "normal")
    assert dock.regions[0].score == pytest.approx(1 - 30 / 31)
    choose(controls.end, "Highest first")
    controls.count.setValue(0)
    assert len(dock.regions) == len(gallery.layer("top").data) == 1, "one at least"
    controls.count.lineEdit().selectAll()
    qtbot.keyClicks(controls.count, "25")
    qtbot.keyClick(controls.count, Qt.Key.Key_Return)
    assert len(dock.regions) == len(gallery.layer("top").data) == 25
    before = dock.view.iconSize()
    controls.side.setValue(64)
    assert dock.view.iconSize() == QSize(64, 64) != before
    deeds = session_of(gallery.viewer)
    wanted = "--by instances --class normal --mpp 0.5 --top 25"
    qtbot.waitUntil(lambda: any(wanted in deed.command for deed in deeds.deeds), timeout=10_000)
    assert 'ws.rank_patches(prediction, "Normal probability", count=25)' in deeds.deeds[0].python


def hovering(gallery, qtbot):
    from qtpy.QtCore import QEvent
    from qtpy.QtWidgets import QApplication

    dock, viewer = gallery.dock, gallery.viewer
    active, count = viewer.layers.selection.active, len(viewer.layers)
    assert gallery.layer("mark") is None
    gallery.hover(2)
    qtbot.waitUntil(lambda: gallery.layer("mark") is not None, timeout=10_000)
    mark = gallery.layer("mark")
    assert mark.visible
    assert boxes_on_slide(mark)[0] == pytest.approx(dock.regions[2].patch.box)
    assert viewer.layers.selection.active == active, "what the user had chosen stays chosen"
    gallery.hover(4)
    qtbot.waitUntil(lambda: np.allclose(boxes_on_slide(mark)[0], dock.regions[4].patch.box), timeout=10_000)
    assert len(viewer.layers) == count + 1
    QApplication.sendEvent(dock.view.viewport(), QEvent(QEvent.Type.Leave))
    assert not mark.visible
    gallery.hover(5)
    qtbot.waitUntil(lambda: mark.visible, timeout=10_000)


def canvas():
    from qtpy.QtWidgets import QApplication

    return next(one for one in QApplication.allWidgets() if type(one).__name__ == "CanvasBackendDesktop" and one.isVisible())


def stepping_and_opening(gallery, qtbot):
    from qtpy.QtCore import Qt

    dock, viewer = gallery.dock, gallery.viewer
    gallery.click(0)
    qtbot.keyClick(dock.view, Qt.Key.Key_Right)
    assert dock.view.current.rank == 2
    qtbot.keyClick(dock.view, Qt.Key.Key_N)
    assert dock.view.current.rank == 3
    qtbot.keyClick(canvas(), Qt.Key.Key_N)
    assert dock.view.current.rank == 4
    assert np.abs(gallery.centre() - dock.regions[3].patch.centre).max() <= 1
    qtbot.keyClick(canvas(), Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert session_of(viewer).patch == dock.regions[2].patch

    zoom = viewer.scene.camera.zoom
    gallery.click(7, times=2)
    assert viewer.scene.camera.zoom * dock.devicePixelRatioF() == pytest.approx(1 / gallery.slide.mpp[0])
    assert np.abs(gallery.centre() - dock.regions[7].patch.centre).max() <= 1
    qtbot.waitUntil(lambda: gallery.slide_layer.data_level == 0, timeout=10_000)
    gallery.click(7)
    assert viewer.scene.camera.zoom == pytest.approx(zoom), "a click on the chosen one goes there again"
    qtbot.keyClick(dock.view, Qt.Key.Key_Return)
    assert viewer.scene.camera.zoom * dock.devicePixelRatioF() == pytest.approx(1 / gallery.slide.mpp[0])

    session_of(viewer).choose_patch(dock.regions[1].patch)
    assert dock.view.current.rank == 2, "what another dock points out is selected here"
    session_of(viewer).choose_patch(None)
    assert dock.view.current is None


def closing(gallery, qtbot):
    from qtpy.QtCore import Qt

    from napari_wsimil.widgets.docks import dock_around

    mark = gallery.layer("mark")
    gallery.hover(1)
    qtbot.waitUntil(lambda: mark.visible, timeout=10_000)
    dock_around(gallery.dock).close()
    assert not mark.visible
    before = gallery.centre()
    qtbot.keyClick(canvas(), Qt.Key.Key_N)
    assert gallery.centre() == pytest.approx(before), "the keys are the viewer's own again"


def similar_ones(gallery, qtbot):
    dock, controls = gallery.dock, gallery.dock.controls
    assert not controls.similar_button.isEnabled()
    gallery.click(3)
    gallery.press(controls.similar_button)
    qtbot.waitUntil(lambda: "not kept in" in dock.message.text(), timeout=10_000)
    assert controls.by.isVisible()
    assert dock.view.current.rank == 4

    keep_features(gallery.slide, gallery.spec)
    reference = dock.regions[3]
    gallery.press(controls.similar_button)
    qtbot.waitUntil(lambda: dock.regions[0].ranking.by == "similarity", timeout=10_000)
    assert not dock.message.isVisible()
    assert (controls.what.text(), controls.back_button.isVisible(), controls.by.isVisible()) == ("Similar to #4", True, False)
    found = dock.regions
    assert reference.patch not in [one.patch for one in found]
    assert {one.patch.y for one in found[:7]} == {reference.patch.y}
    assert dock.items.index(0).data() == "1 · 20x"
    assert boxes_on_slide(gallery.layer("top"))[:, 0].tolist() == [one.patch.x for one in found]
    assert gallery.layer("top").name.startswith("Similar regions")
    gallery.click(5)
    assert np.abs(gallery.centre() - found[5].patch.centre).max() <= 1
    choose(controls.end, "Lowest first")
    qtbot.waitUntil(lambda: dock.regions[0].score < 0.9, timeout=10_000)
    deeds = session_of(gallery.viewer)
    x, y = reference.patch.centre
    qtbot.waitUntil(lambda: any(f"--similar-to {x:g},{y:g}" in deed.command for deed in deeds.deeds), timeout=10_000)

    gallery.press(controls.back_button)
    assert [one.ranking.by for one in dock.regions[:1]] == ["attention"]
    choose(controls.end, "Highest first")


def the_menu(gallery, qtbot):
    from qtpy.QtWidgets import QMenu

    dock, controls = gallery.dock, gallery.dock.controls
    dock.view.customContextMenuRequested.emit(dock.view.visualRect(dock.items.index(1)).center())
    menu = next(one for one in dock.findChildren(QMenu) if one.objectName() == "region_menu")
    actions = {action.text(): action for action in menu.actions()}
    assert list(actions) == ["Open at full resolution", "Find similar patches"]
    actions["Open at full resolution"].trigger()
    assert gallery.viewer.scene.camera.zoom * dock.devicePixelRatioF() == pytest.approx(1 / gallery.slide.mpp[0])
    actions["Find similar patches"].trigger()
    menu.close()
    qtbot.waitUntil(lambda: dock.regions[0].ranking.by == "similarity", timeout=10_000)
    assert controls.what.text() == "Similar to #2"


def pictures_are_saved(gallery, qtbot, tmp_path):
    from qtpy.QtWidgets import QFileDialog

    dock, controls = gallery.dock, gallery.dock.controls
    controls.count.setValue(3)
    gallery.press(controls.save_button)
    dialog = dock.findChild(QFileDialog)
    dialog.setDirectory(str(tmp_path))
    (tmp_path / "out").mkdir()
    dialog.fileSelected.emit(str(tmp_path / "out"))
    dialog.reject()
    qtbot.waitUntil(lambda: dock.note.text().startswith("Saved 3 pictures and regions.csv"), timeout=10_000)
    with (tmp_path / "out" / "regions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    best = dock.regions[0].patch
    pixels = gallery.slide.read_region(best.x, best.y, 256, 256, mpp=0.5)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / rows[0]["file"])), pixels)
    deed = next(one for one in session_of(gallery.viewer).deeds if one.title == "Save pictures in out")
    compile(deed.python, "deed", "exec")
    assert "ws.save_regions(" in deed.python
    assert f"--out {tmp_path / 'out'}" in deed.command
    (tmp_path / "file").touch()
    dock.save(str(tmp_path / "file" / "inside"))
    qtbot.waitUntil(lambda: "Can't write to" in dock.message.text(), timeout=10_000)


def other_predictions_are_followed(gallery, tmp_path, made_up):
    from qtpy.QtWidgets import QApplication

    dock, controls, viewer = gallery.dock, gallery.dock.controls, gallery.viewer
    choose(controls.by, "By probability")
    choose(controls.class_name, "tumour")
    other = made_up(gallery.slide, model="other", seed=1)
    show_prediction(viewer, other, 10)
    assert dock.regions == ws.rank_patches(other, "Tumour probability", count=3), "the same choice, of the other one"
    dock.hide()
    session_of(viewer).choose_prediction(gallery.prediction)
    assert dock.regions[0].patch != ws.rank_patches(gallery.prediction, "Tumour probability")[0].patch
    dock.show()
    assert dock.regions == ws.rank_patches(gallery.prediction, "Tumour probability", count=3), "a closed dock catches up"
    controls.count.setValue(30)
    saved = made_up(gallery.slide, model="saved").save(tmp_path / "saved.prediction.h5")
    viewer.open(str(saved), plugin="napari-wsimil")
    QApplication.processEvents()
    tops = [one for one in viewer.layers if facts(one).get("model") == "saved" and facts(one)["kind"] == "top"]
    assert [len(one.data) for one in tops] == [30], "of a file, whose layers come one by one, the boxes are taken over too"
    assert len(np.unique(tops[0].edge_color, axis=0)) == len(set(tops[0].edge_width)) == 1
    assert not tops[0].face_color[:, 3].any()
    viewer.layers.remove(gallery.slide_layer)
    assert (dock.regions, controls.isVisible(), dock.view.isVisible()) == ([], False, False)
    assert dock.note.text().startswith("Open a slide")
