"""The dock "Annotate" in a real window: every control pressed, and what is on the slide then."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication, QLineEdit, QPushButton
from superqt.utils import WorkerBase

import napari_wsimil as ws
from napari_wsimil.annotations import Region
from napari_wsimil.annotations.regions import valid_shape
from napari_wsimil.widgets.annotate.brush import resolutions
from napari_wsimil.widgets.annotate.keeping import draft_of, own_file, read_into_layer
from napari_wsimil.widgets.reader import get_reader

pytestmark = pytest.mark.gui
LEFT = Qt.MouseButton.LeftButton
HOLED = shapely.Polygon(
    [(400, 400), (1200, 400), (1200, 1200), (400, 1200)], [[(600, 600), (1000, 600), (1000, 1000), (600, 1000)]]
)
TWO = shapely.MultiPolygon([shapely.box(1400, 200, 1700.25, 500), shapely.box(1400, 700, 1700, 900.5)])


def drawn(*regions):
    return ws.Annotations(Path("here"), tuple(regions))


@pytest.fixture
def slide_path(tmp_path, sample):
    """The sample slide in a folder of its own, beside which files can be written."""
    path = tmp_path / "slide.tiff"
    path.write_bytes(sample.read_bytes())
    return path


@pytest.fixture
def annotate(make_napari_viewer_proxy, qtbot, slide_path, made_up, settled):
    """A window with a slide, the dock, and hands."""

    def build(*, predicted=False, open_slide=True):
        viewer = make_napari_viewer_proxy(show=True)
        viewer.window.resize(1280, 800)
        _, dock = viewer.window.add_plugin_dock_widget("napari-wsimil", "Annotate")
        if open_slide:
            viewer.open(str(slide_path), plugin="napari-wsimil")
            qtbot.waitUntil(lambda: dock.board.slide is not None)
        if predicted:
            from napari_wsimil.widgets.results import show_prediction

            show_prediction(viewer, made_up(dock.board.slide), 0)
        settled(viewer)
        return Hands(viewer, dock, qtbot)

    yield build
    WorkerBase.await_workers(20_000)


class Hands(SimpleNamespace):
    """What a user does."""

    def __init__(self, viewer, dock, qtbot):
        super().__init__(viewer=viewer, dock=dock, qtbot=qtbot, board=dock.board)
        found = [one for one in QApplication.allWidgets() if isinstance(one, QOpenGLWidget) and one.isVisible()]
        self.canvas = max(found, key=lambda one: one.width() * one.height())

    def drop(self, path):
        """A file on the canvas, as the mouse does it."""
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path))])
        target = self.canvas
        while target.parentWidget() is not None and not target.acceptDrops():
            target = target.parentWidget()
        middle = target.rect().center()
        what = Qt.DropAction.CopyAction, data, LEFT, Qt.KeyboardModifier.NoModifier
        QApplication.sendEvent(target, QDragEnterEvent(middle, *what))
        QApplication.sendEvent(target, QDropEvent(QPointF(middle), *what))

    def settle(self):
        self.qtbot.wait(30)

    def press(self, name):
        button = self.dock.findChild(QPushButton, name)
        self.qtbot.waitUntil(button.isEnabled)
        self.dock.filled.ensureWidgetVisible(button)
        self.qtbot.mouseClick(button, LEFT)

    def choose(self, row):
        table = self.dock.classes.table
        place = table.visualRect(table.model().index(row, 1)).center()
        self.qtbot.mouseClick(table.viewport(), LEFT, pos=place)

    def at(self, x, y):
        """Where a level-0 pixel is on the canvas."""
        camera = self.viewer.scene.camera
        layer = self.dock._session.slide_layer
        row, column = (np.asarray(layer.data_to_world((y - 0.5, x - 0.5))) - np.asarray(camera.center)[-2:]) * camera.zoom
        return QPoint(round(self.canvas.width() / 2 + column), round(self.canvas.height() / 2 + row))

    def click(self, *places, double=False):
        for place in places:
            self.qtbot.mouseMove(self.canvas, self.at(*place))
            self.qtbot.mouseClick(self.canvas, LEFT, pos=self.at(*place))
        if double:
            self.qtbot.mouseDClick(self.canvas, LEFT, pos=self.at(*places[-1]))
        self.settle()

    def drag(self, start, *places):
        self.qtbot.mouseMove(self.canvas, self.at(*start))
        self.qtbot.mousePress(self.canvas, LEFT, pos=self.at(*start))
        for place in places:
            self.qtbot.mouseMove(self.canvas, self.at(*place))
            self.settle()
        self.qtbot.mouseRelease(self.canvas, LEFT, pos=self.at(*places[-1]))
        self.settle()

    @property
    def layer(self):
        return self.board.layer

    @property
    def names(self):
        return self.layer.features["class"].tolist()

    def shape(self, row):
        return valid_shape([shapely.Polygon(np.asarray(self.layer.data[row])[:, ::-1] + 0.5)])

    def cells(self):
        """The table of classes as a user reads it."""
        model = self.dock.classes.model
        return [[model.index(row, column).data() for column in range(4)] for row in range(model.rowCount())]

    def row_of(self, name):
        return next(row for row, cells in enumerate(self.cells()) if cells[1] == name)

    def pixel(self, x, y):
        self.qtbot.waitUntil(lambda: all(layer.loaded for layer in self.viewer.layers))
        place = self.at(x, y)
        picture = self.viewer.screenshot(canvas_only=True, flash=False)
        return picture[place.y(), place.x(), :3].astype(int)

    def editor(self):
        """The field in which a class gets its name."""
        found = self.dock.classes.table.findChildren(QLineEdit)
        return next(one for one in found if one.isVisible())

    def problem(self):
        return self.dock.problem.text() if self.dock.problem.isVisible() else ""


def test_drawing_with_every_tool(annotate):
    hands = annotate()
    choose, press = hands.choose, hands.press
    assert [row[1] for row in hands.cells()] == ["Tumour", "Stroma", "Necrosis", "Artefact", "Ignore*"]
    press("tool_add_rectangle")
    hands.drag((400, 400), (600, 600), (800, 800))
    assert hands.names == ["Tumour"]
    wanted = shapely.box(400, 400, 800, 800)
    assert hands.shape(0).symmetric_difference(wanted).area < 0.02 * wanted.area
    choose(1)
    press("tool_add_polygon")
    hands.click((1000, 400), (1400, 400), (1400, 800), double=True)
    assert hands.names == ["Tumour", "Stroma"]
    assert hands.shape(1).area == pytest.approx(400 * 400 / 2, rel=0.05)
    hands.qtbot.keyClick(hands.canvas, Qt.Key.Key_3)
    assert hands.board.current == "Necrosis", "a key chooses the class while the layer is active"
    press("tool_add_ellipse")
    hands.drag((400, 1200), (500, 1300), (800, 1600))
    press("tool_add_polygon_lasso")
    choose(3)
    hands.drag((1000, 1200), (1400, 1200), (1400, 1600), (1000, 1600), (1000, 1210))
    assert hands.names == ["Tumour", "Stroma", "Necrosis", "Artefact"]
    hands.qtbot.waitUntil(lambda: hands.cells()[3][2] == "1")
    tumour, _, necrosis, artefact, _ = hands.cells()
    assert float(tumour[3].split()[0].replace(",", "")) == pytest.approx(400 * 400 * 0.25 / 1e6, abs=0.005)
    assert tumour[3].endswith("mm²")
    assert necrosis[2] == "1"
    assert artefact[3] == "0.04 mm²"
    assert tuple(hands.layer.edge_color[1][:3] * 255) == pytest.approx((0, 114, 178))

    press("tool_select")
    hands.click((600, 600))
    assert hands.layer.selected_data == {0}
    choose(4)
    assert hands.names[0] == "Ignore*"
    assert tuple(hands.layer.edge_color[0][:3] * 255) == pytest.approx((128, 128, 128))
    press("tool_direct")
    assert str(hands.layer.mode) == "direct"
    press("tool_select")
    press("tool_delete")
    assert hands.names == ["Stroma", "Necrosis", "Artefact"]
    press("tool_delete")
    assert "Select regions first" in hands.dock.note.text()
    press("tool_pan_zoom")
    assert str(hands.layer.mode) == "pan_zoom"
    assert hands.dock.tools.buttons["pan_zoom"].isChecked()
    hands.layer.mode = "add_ellipse"
    assert hands.dock.tools.buttons["add_ellipse"].isChecked(), "also where napari's own button was pressed"

    from napari_wsimil.widgets.inside_shapes import InsideShapes

    inside = InsideShapes(hands.viewer)
    hands.qtbot.addWidget(inside)
    assert inside.box.text() == "Only inside the 3 drawn shapes"
    inside.box.setChecked(True)
    lines = inside.outlines(hands.dock._session.slide_layer)
    assert shapely.Polygon(lines[0]).symmetric_difference(hands.shape(0)).area < 100

    for factor in (8, 1 / 8):
        hands.viewer.scene.camera.zoom *= factor
        width = 2.5 / hands.viewer.scene.camera.zoom / 0.5
        hands.qtbot.waitUntil(lambda width=width: hands.layer.edge_width[0] == pytest.approx(width, rel=0.5))

    from napari_wsimil.widgets.slide_layer import set_mpp

    set_mpp(hands.dock._session.slide_layer, 0.25)
    assert tuple(hands.layer.scale) == (0.25, 0.25), "what is drawn stays on the tissue"


def test_classes_are_the_users_own_and_can_be_painted(annotate):
    hands = annotate(predicted=True)
    assert [row[1] for row in hands.cells()] == ["normal", "tumour", "Stroma", "Necrosis", "Artefact", "Ignore*"]
    hands.choose(1)
    assert not hands.dock.classes.remove_button.isEnabled(), "the model knows it"
    hands.press("add_class")
    editor = hands.editor()
    hands.qtbot.keyClicks(editor, "Mucin")
    hands.qtbot.keyClick(editor, Qt.Key.Key_Return)
    hands.qtbot.waitUntil(lambda: hands.cells()[-1][1] == hands.board.current == "Mucin")
    hands.press("tool_add_rectangle")
    hands.drag((400, 400), (800, 800))
    assert hands.names == ["Mucin"]
    asked = []
    hands.dock.classes.asked.connect(asked.append)
    hands.press("colour_class")
    asked[0].colorSelected.emit(asked[0].currentColor().fromRgb(10, 200, 30))
    asked[0].reject()
    assert tuple(hands.layer.edge_color[0][:3] * 255) == pytest.approx((10, 200, 30), abs=0.1)
    hands.press("rename_class")
    editor = hands.editor()
    hands.qtbot.keyClicks(editor, "Mucus")
    hands.qtbot.keyClick(editor, Qt.Key.Key_Return)
    hands.qtbot.waitUntil(lambda: hands.names == ["Mucus"])
    hands.press("remove_class")
    assert "1 region of Mucus will be deleted" in asked[1].text()
    hands.qtbot.mouseClick(next(one for one in asked[1].buttons() if "Delete" in one.text()), LEFT)
    assert not len(hands.layer.data)
    assert "Mucus" not in [row[1] for row in hands.cells()]
    hands.choose(hands.row_of("Necrosis"))
    hands.press("remove_class")
    from napari_wsimil.widgets.annotate.class_book import ClassBook

    assert [one.name for one in ClassBook().classes] == ["Tumour", "Stroma", "Artefact", "Ignore*"], "kept for the next time"

    tools = hands.dock.tools
    assert [tools.resolution.itemText(row) for row in range(3)] == ["128 µm (patch)", "8 µm", "2 µm"]
    tools.resolution.setCurrentIndex(1)
    hands.choose(1)
    hands.press("tool_paint")
    brush = hands.board.brush
    assert brush.data.shape == (128, 128)
    hands.drag((600, 600), (800, 600), (1000, 600))
    assert brush.data[38, 50] == 1
    painted = int((brush.data > 0).sum())
    hands.choose(2)
    hands.drag((600, 1200), (800, 1200))
    assert set(np.unique(brush.data)) == {0, 1, 2}
    red, green, blue = hands.pixel(800, 600)
    assert red > green + 40
    assert red > blue + 20
    hands.press("tool_erase")
    hands.drag((600, 1200), (800, 1200))
    assert set(np.unique(brush.data)) == {0, 1}
    assert not tools.resolution.isEnabled()
    hands.press("make_regions")
    hands.qtbot.waitUntil(lambda: hands.layer is not None and hands.board.brush is None)
    assert hands.names == ["tumour"]
    assert hands.shape(0).area == pytest.approx(painted * 16**2)
    assert tools.resolution.isEnabled()


def test_what_is_imported_is_exported_unchanged(annotate, slide_path, tmp_path, told, monkeypatch):
    hands = annotate(open_slide=False)
    regions = drawn(Region("Tumor", HOLED), Region("Mucin", TWO), Region("", shapely.box(100, 1500, 300, 1700)))
    first = ws.write_annotations(drawn(*regions.regions[:2]), tmp_path / "drawn.geojson")
    hands.viewer.open(str(first), plugin="napari-wsimil")
    assert any("open that slide first" in text for text in told())
    assert hands.dock.empty.isVisible()
    hands.viewer.open(str(slide_path), plugin="napari-wsimil")
    hands.drop(first)
    hands.qtbot.waitUntil(lambda: hands.layer is not None and len(hands.layer.data) == 3)
    assert "2 regions from drawn.geojson" in hands.dock.note.text()
    hands.qtbot.waitUntil(lambda: hands.cells()[0][:3] == ["1", "Tumour", "1"])
    assert hands.cells()[-1][1:3] == ["Mucin", "2"], "a part by itself"
    hands.viewer.scene.camera.zoom *= 0.8
    hands.settle()
    hole, inside = hands.pixel(800, 800), hands.pixel(500, 800)
    before = hands.layer.visible
    hands.layer.visible = False
    assert np.abs(hands.pixel(800, 800) - hole).max() <= 2, "tissue in the hole is as it was"
    assert np.abs(hands.pixel(500, 800) - inside).max() > 5
    hands.layer.visible = before
    asked = []
    hands.dock.filing.panel.asked.connect(asked.append)
    hands.press("export_regions")
    assert asked[0].selectedFiles()[0].endswith("slide.xml")
    asked[0].filterSelected.emit("QuPath GeoJSON (*.geojson)")
    assert asked[0].selectedFiles()[0].endswith("slide.geojson")
    asked[0].fileSelected.emit(str(tmp_path / "again.geojson"))
    asked[0].fileSelected.emit(str(tmp_path / "again.xml"))
    asked[0].reject()
    hands.qtbot.waitUntil(lambda: (tmp_path / "again.geojson").exists() and (tmp_path / "again.xml").exists())
    told = [json.loads(path.read_text())["features"] for path in (first, tmp_path / "again.geojson")]
    assert [one["geometry"] for one in told[0]] == [one["geometry"] for one in told[1]]
    assert [one["id"] for one in told[0]] == [one["id"] for one in told[1]]
    assert sum(one.shape.area for one in ws.read_annotations(tmp_path / "again.xml").regions) == HOLED.area + TWO.area

    hands.press("import_regions")
    asked[1].fileSelected.emit(str(tmp_path / "again.xml"))
    asked[1].reject()
    hands.qtbot.waitUntil(lambda: len(hands.layer.data) == 6)
    assert hands.names.count("Tumor") == 2

    (tmp_path / "b.geojson").write_text('{"type": "Topology"}')
    hands.dock.open_file(tmp_path / "b.geojson")
    hands.qtbot.waitUntil(lambda: "holds no GeoJSON features" in hands.problem())
    monkeypatch.setattr("napari_wsimil.widgets.annotate.raster.MOST_SHAPES", 1)
    hands.viewer.layers.remove(hands.layer)
    hands.dock.open_file(first)
    hands.qtbot.waitUntil(lambda: "shown as a picture" in hands.dock.note.text())
    picture = hands.viewer.layers.selection.active
    assert hands.layer is None
    assert picture.data[500, 500] != picture.data[800, 800] == 0, "the hole is free"
    assert not picture.editable
    found = hands.board.drawn().annotations(first)
    assert [one.shape.area for one in found.regions] == [HOLED.area, TWO.area]


def test_qupath_counts_from_the_scanned_area(tmp_path):
    slide = SimpleNamespace(
        origin=(1000, 500), mpp=(0.5, 0.5), fingerprint="f", path=tmp_path / "s.mrxs", width=9000, height=9000
    )
    path = ws.write_annotations(
        drawn(Region("tumour", shapely.box(1000, 500, 1100, 700))), tmp_path / "a.geojson", origin=slide.origin
    )
    text = json.loads(path.read_text())
    assert np.min(text["features"][0]["geometry"]["coordinates"], axis=(0, 1)).tolist() == [0, 0]
    del text["wsimil"]  # as QuPath writes it
    path.write_text(json.dumps(text))
    put = read_into_layer(path, slide, ([], {}), lambda _: (1, 2, 3), 1.0)
    assert put.layer.data[0].min(axis=0).tolist() == [499.5, 999.5]
    assert put.layer.features["source"].tolist() == ["a.geojson #1"]


def test_masks_are_never_large():
    slide = SimpleNamespace(width=100_000, height=80_000, mpp=(0.25, 0.25))
    assert [(one.label, one.step) for one in resolutions(slide, None)] == [("8 µm", 32), ("2 µm", 8)]
    assert "Too fine for this slide: 12,500 pixels across" in resolutions(slide, None)[1].problem
    unsized = SimpleNamespace(width=2000, height=1000, mpp=None)
    assert [one.label for one in resolutions(unsized, None)] == ["32 px", "8 px"]


def test_the_prediction_beside_what_is_drawn(annotate, slide_path):
    hands = annotate(predicted=True)
    box = hands.dock.agreement
    fold = next(one for one in hands.dock.findChildren(QPushButton) if one.text().endswith("Compare with the prediction"))
    hands.qtbot.mouseClick(fold, LEFT)
    hands.press("compare_with_prediction")
    hands.qtbot.waitUntil(lambda: box.problem.isVisible())
    assert "No region" in box.problem.text()
    hands.choose(1)
    hands.press("tool_add_rectangle")
    hands.drag((512, 768), (700, 900), (2040, 1536))  # the lower three of five rows
    hands.press("compare_with_prediction")
    hands.qtbot.waitUntil(lambda: box.result is not None)
    assert box.result.positive == 18
    assert box.result.auc == 1.0
    assert "Patch AUC 1.00" in box.words.text()
    assert "18 patches tumour, 12 not" in box.words.text()
    low = box.result.dice
    box.threshold.setValue(0.41)
    assert box.result.dice > low
    assert f"Dice {box.result.dice:.2f}" in box.words.text()
    assert [box.model.index(0, column).data() for column in range(4)] == ["1  tumour", "18", "0.69", "100%"]
    hands.qtbot.mouseClick(box.table.viewport(), LEFT, pos=box.table.visualRect(box.model.index(0, 0)).center())
    centre = np.asarray(hands.viewer.scene.camera.center)[-2:]
    assert centre == pytest.approx([1152 * 0.5, 1276 * 0.5], abs=8)
    recipe = hands.dock._session.deeds[0]
    assert 'ws.agreement(prediction, annotations, class_name="tumour"' in recipe.python
    assert "napari-wsimil agreement" in recipe.command
    box.by_combo.setCurrentIndex(1)
    box.by_combo.activated.emit(1)
    hands.qtbot.waitUntil(lambda: box.result is not None and box.result.by == "attention")
    box.rest_combo.setCurrentIndex(2)
    box.rest_combo.activated.emit(2)
    hands.qtbot.waitUntil(lambda: box.result.negative == 0)
    assert "Patch AUC –" in box.words.text()
    assert "There is no AUC" in box.words.text()
    assert "--no-rest" in hands.dock._session.deeds[0].command
    hands.layer.selected_data = {0}
    hands.layer.remove_selected()
    assert "Regions changed" in box.hint.text()


def test_nothing_that_was_drawn_is_lost(annotate, slide_path, qtbot):
    hands = annotate()
    slide = hands.board.slide
    hands.press("tool_add_rectangle")
    hands.drag((400, 400), (800, 800))
    assert not hands.dock.filing.panel.file
    qtbot.waitUntil(lambda: hands.dock.filing.panel.state.text() == "Not saved to a file yet.")
    qtbot.waitUntil(draft_of(slide).exists, timeout=10_000)
    hands.drag((1000, 1000), (1400, 1400))
    hands.viewer.layers.remove(hands.layer)
    qtbot.waitUntil(hands.dock.filing.offer.isVisible)
    hands.press("offer_open")
    qtbot.waitUntil(lambda: hands.layer is not None and len(hands.layer.data) == 2)
    hands.layer.selected_data = {1}
    hands.layer.remove_selected()
    hands.viewer.layers.clear()
    assert hands.dock.empty.isVisible()
    hands.viewer.open(str(slide_path), plugin="napari-wsimil")
    qtbot.waitUntil(hands.dock.filing.offer.isVisible)
    assert "were not saved" in hands.dock.filing.offer.words.text()
    hands.press("offer_open")
    qtbot.waitUntil(lambda: hands.layer is not None and len(hands.layer.data) == 1)
    asked = []
    hands.dock.filing.panel.asked.connect(asked.append)
    hands.press("save_regions")
    asked[0].fileSelected.emit(str(own_file(slide)))
    asked[0].reject()
    qtbot.waitUntil(own_file(slide).exists)
    qtbot.waitUntil(lambda: not draft_of(slide).exists())
    qtbot.waitUntil(lambda: hands.dock.filing.panel.state.text() == "Saved as slide.annotations.geojson.")
    hands.press("tool_add_rectangle")
    hands.drag((1000, 400), (1400, 800))
    qtbot.waitUntil(lambda: "Changes are not saved" in hands.dock.filing.panel.state.text())
    hands.press("save_regions")
    qtbot.waitUntil(lambda: len(ws.read_annotations(own_file(slide)).regions) == 2)
    hands.viewer.layers.clear()
    hands.viewer.open(str(slide_path), plugin="napari-wsimil")
    qtbot.waitUntil(hands.dock.filing.offer.isVisible)
    assert "slide.annotations.geojson" in hands.dock.filing.offer.words.text()
    hands.press("offer_decline")
    assert not hands.dock.filing.offer.isVisible()
    assert own_file(slide).exists()


def test_only_regions_are_taken_for_regions(tmp_path):
    (tmp_path / "b.geojson").write_text('{"type": "Topology"}')
    (tmp_path / "c.xml").write_text("<html/>")
    path = ws.write_annotations(drawn(Region("tumour", HOLED)), tmp_path / "a.xml")
    assert [get_reader(str(tmp_path / name)) for name in ("b.geojson", "c.xml")] == [None, None]
    assert get_reader(str(path)) is not None
