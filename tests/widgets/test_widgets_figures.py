"""Figures and reports from the window: every control, and the picture that comes out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_wsimil.errors import ExportError
from napari_wsimil.exports import FigureOptions
from napari_wsimil.exports.figures import draw_figure
from napari_wsimil.patches.patch import Patch
from napari_wsimil.widgets.export_dialog import chosen_for, filters, strip, with_suffix
from napari_wsimil.widgets.figures import FigureDialog, areas
from napari_wsimil.widgets.figures.plan import Plan
from napari_wsimil.widgets.overlays.looks import looks_of
from napari_wsimil.widgets.results import show_prediction
from napari_wsimil.widgets.saving import Saving
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.view_geometry import centre_on
from napari_wsimil.widgets.writer import write_prediction


@pytest.fixture
def opened(window, sample, made_up, qtbot):
    """A window with slide, result and the dialog; `.wait()` for its preview, `.saved(path)` for its figure."""
    w = window()
    w.open(sample)
    session = session_of(w.viewer)
    prediction = made_up(session.slide)
    show_prediction(w.viewer, prediction, 10)
    w.press(w.dock.result.figure_button)
    dialog = w.dock.findChild(FigureDialog)

    def wait():
        qtbot.waitUntil(lambda: dialog.preview.image is not None and dialog.preview.up_to_date, timeout=20_000)

    def saved(path):
        dialog.save(path)
        qtbot.waitUntil(lambda: not dialog.saving, timeout=20_000)
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    w.press(dialog.save_button) if False else wait()
    return SimpleNamespace(
        **vars(w), dialog=dialog, session=session, prediction=prediction, slide=session.slide, wait=wait, saved=saved
    )


@pytest.mark.gui
def test_every_control_does_what_it_says(opened, tmp_path, qtbot):
    dialog, session = opened.dialog, opened.session
    assert dialog.isVisible()
    assert dialog.fields.area.currentText() == areas.VIEW
    # Width and resolution are two sides of one thing.
    across = dialog.plan.across
    dialog.fields.width_field.setValue(800)
    assert dialog.fields.mpp.value() == pytest.approx(across / 800, abs=1e-4)
    dialog.fields.mpp.setValue(2.0)
    assert dialog.fields.width_field.value() == round(across / 2)
    # The whole slide: 2048 px at 0.5 µm.
    dialog.fields.area.setCurrentText(areas.WHOLE)
    dialog.fields.width_field.setValue(600)
    assert dialog.size_label.text().startswith("Picture of 600 x 600 px, 51 x 51 mm in print")
    dialog.fields.dpi.setValue(150)
    assert "102 x 102 mm in print" in dialog.size_label.text()
    opened.wait()
    assert "about" in dialog.size_label.text()
    before = dialog.preview.image
    # Each switch takes something away from the picture, or adds it.
    everything = opened.saved(tmp_path / "a.png")
    np.testing.assert_array_equal(
        everything,
        draw_figure(
            opened.prediction, opened.slide, FigureOptions(width=600, overlays=looks_of(opened.viewer, opened.prediction))
        ),
    )
    shapes = {}
    for name in ("legend", "scale_bar", "overlays", "title", "side_by_side"):
        box = dialog.fields.switches[name]
        qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=box.rect().center().__class__(8, box.height() // 2))
        shapes[name] = opened.saved(tmp_path / "a.png").shape
    assert shapes["legend"] == shapes["scale_bar"] == shapes["overlays"] == (600, 600, 3)
    assert shapes["title"][0] > 600
    assert shapes["side_by_side"][1] > 1200
    assert dialog.outcome.text().startswith("Saved a.png")
    opened.wait()
    assert dialog.preview.image is not before
    # A patch can be shown once one is marked.
    row = dialog.fields.area.findText(areas.PATCH)
    assert not dialog.fields.area.model().item(row).isEnabled()
    session.choose_patch(Patch(0.5, 512, 256, 256.0))
    assert dialog.fields.area.model().item(row).isEnabled()
    dialog.fields.area.setCurrentText(areas.PATCH)
    assert dialog.plan.box == (512, 256, 768, 512)
    session.choose_patch(None)
    assert dialog.message.text() == areas.NOTHING[areas.PATCH]
    assert not dialog.save_button.isEnabled()
    dialog.fields.area.setCurrentText(areas.VIEW)
    assert dialog.save_button.isEnabled()
    qtbot.mouseClick(dialog.close_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: opened.dock.findChild(FigureDialog) is None, timeout=3000)


@pytest.mark.gui
def test_the_figure_of_the_view_is_what_the_view_shows(opened, tmp_path, qtbot):
    """The same pixels as the canvas, and no other place fits as well."""
    viewer, dialog = opened.viewer, opened.dialog
    next(layer for layer in viewer.layers if layer.name.startswith("Top")).visible = False
    viewer.scene.camera.zoom *= 3
    centre_on(viewer, opened.session.slide_layer, 900.0, 700.0)
    for name in ("legend", "scale_bar"):
        dialog.fields.switches[name].setChecked(False)
    qtbot.waitUntil(lambda: all(layer.loaded for layer in viewer.layers), timeout=20_000)
    opened.wait()
    shown = viewer.screenshot(canvas_only=True, flash=False)[..., :3]
    dialog.fields.width_field.setValue(shown.shape[1])
    found = opened.saved(tmp_path / "view.png")
    assert found.shape == shown.shape

    def apart(down, across):
        height, width = shown.shape[:2]
        # Away from napari's own legend and scale bar at the edges.
        part = np.s_[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
        return np.abs(np.roll(found, (down, across), (0, 1))[part].astype(int) - shown[part]).mean()

    there = apart(0, 0)
    assert there < 12
    assert all(apart(*shift) > there for shift in ((0, 3), (0, -3), (3, 0), (-3, 0)))
    recipe = opened.session.deeds[0]
    assert recipe.title == "Figure view.png"
    assert "ws.FigureOptions(" in recipe.python
    assert "--region" in recipe.command
    assert "--no-legend" in recipe.command
    # What is hidden on the screen stays out of the figure, and the preview follows.
    dialog.fields.area.setCurrentText(areas.WHOLE)
    dialog.fields.width_field.setValue(300)
    with_overlays = opened.saved(tmp_path / "a.png")
    opened.wait()
    before = dialog.preview.image.copy()
    for layer in list(opened.viewer.layers)[1:]:
        layer.visible = False
    qtbot.waitUntil(lambda: not dialog._looks, timeout=3000)
    without = opened.saved(tmp_path / "b.png")
    plain = draw_figure(opened.prediction, opened.slide, FigureOptions(width=300, overlays=(), legend=False, scale_bar=False))
    np.testing.assert_array_equal(without, plain)
    assert (with_overlays != without).any()
    opened.wait()
    assert dialog.preview.image != before


@pytest.mark.gui
def test_saving_asks_where_and_can_fail_or_be_stopped(opened, tmp_path, qtbot, monkeypatch):
    dialog = opened.dialog
    dialog.fields.area.setCurrentText(areas.WHOLE)
    dialog.fields.width_field.setValue(200)
    dialog.fields.kind.setCurrentText("TIFF")
    opened.press(dialog.save_button)
    asked = dialog.findChild(QFileDialog)
    assert asked.nameFilters() == ["Figure as TIFF (*.tiff)"]
    assert asked.selectedFiles()[0].endswith("sample figure.tiff")
    asked.setDirectory(str(tmp_path))
    asked.selectFile(str(tmp_path / "mine.tiff"))
    asked.accept()
    qtbot.waitUntil(lambda: dialog.outcome.text().startswith("Saved mine.tiff"), timeout=10_000)
    assert tifffile.imread(tmp_path / "mine.tiff").shape[1] == 200
    dialog.save(tmp_path / "no" / "folder.png")
    qtbot.waitUntil(lambda: "no folder" in dialog.message.text(), timeout=10_000)
    opened.wait()
    assert "no folder" in dialog.message.text(), "the preview that is drawn anew takes no sentence away"
    assert dialog.save_button.isEnabled()
    dialog.save(tmp_path / "large.svg")
    qtbot.waitUntil(lambda: not dialog.saving, timeout=10_000)
    assert (tmp_path / "large.svg").read_text(encoding="utf-8").startswith("<?xml")
    # A report, by the button beside; and napari's own File > Save, with the layers chosen.
    opened.press(opened.dock.result.report_button)
    asked = next(one for one in opened.dock.findChildren(QFileDialog) if one.windowTitle() == "Save the report")
    assert [text.split("(*")[1] for text in asked.nameFilters()] == [".html)", ".pdf)"]
    asked.setDirectory(str(tmp_path))
    asked.selectFile(str(tmp_path / "mine.html"))
    asked.accept()
    qtbot.waitUntil(lambda: opened.dock.progress.label.text() == "Saved mine.html", timeout=20_000)
    assert "For research, not for diagnosis." in (tmp_path / "mine.html").read_text(encoding="utf-8")
    assert opened.session.deeds[0].title == "Export mine.html"
    layers = [layer.as_layer_data_tuple() for layer in opened.viewer.layers]
    for name in ("a.xml", "a.html"):
        assert write_prediction(str(tmp_path / name), layers) == [str(tmp_path / name)]
    assert write_prediction(str(tmp_path / "no" / "a.html"), layers) == []
    # Cancel leaves nothing.
    monkeypatch.setattr("napari_wsimil.exports.figures.painting.STRIP_PIXELS", 1)
    for path in tmp_path.iterdir():
        path.unlink()
    dialog.fields.width_field.setValue(9000)
    dialog.save(tmp_path / "a.png")
    qtbot.waitUntil(lambda: dialog.bar.value() > 0, timeout=10_000)
    assert not dialog.save_button.isEnabled()
    qtbot.mouseClick(dialog.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dialog.saving, timeout=10_000)
    assert list(tmp_path.iterdir()) == []
    assert dialog.outcome.text() == "Stopped; nothing was written."
    assert dialog.save_button.isEnabled()
    # The slide goes away in the middle of another one: the window closes and the writing ends.
    dialog.save(tmp_path / "a.png")
    qtbot.waitUntil(lambda: dialog.bar.value() > 0, timeout=10_000)
    for layer in list(opened.viewer.layers):
        opened.viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: opened.dock.findChild(FigureDialog) is None, timeout=5000)
    qtbot.waitUntil(lambda: list(tmp_path.iterdir()) == [], timeout=10_000)


def test_the_widest_figure_has_a_width_that_can_be_typed(sample):
    import napari_wsimil as ws

    with ws.open_slide(sample) as slide:
        plan = Plan(slide, width=1000)
        assert plan.at_mpp(1e-9).width == 60_000
        assert plan.at_mpp(1e9).width == 16
        with pytest.raises(ExportError, match="finer resolution"):
            Plan(slide, (0.0, 0.0, 2000.0, 1.0), 16).frame()
        small = plan.preview((), 200)
        assert (small.width, small.text) == (200, pytest.approx((1000 / 60 / 5) / 10))


def test_names_of_files():
    assert strip("a.ome.tiff") == "a"
    assert strip("a.tiff") == "a"
    assert with_suffix("/x/a", ".svg") == "/x/a.svg"
    assert with_suffix("/x/a.PNG", ".svg") == "/x/a.PNG"
    assert len(set(filters().values())) == len(filters())
    both = {"threshold": 0.5, "top": 3}
    from pathlib import Path

    assert chosen_for(Path("a.xml"), both) == both
    assert chosen_for(Path("a.pdf"), both) == {"top": 3}
    assert chosen_for(Path("a.csv"), both) == chosen_for(Path("a.prediction.h5"), both) == {}


def test_an_unforeseen_error_ends_the_saving(qtbot):
    from qtpy.QtCore import QObject

    parent = QObject()

    def fail(**_):
        raise RuntimeError("Broken")

    saving = Saving(fail, parent)
    with qtbot.waitSignal(saving.ended, timeout=5000) as ended:
        pass
    assert ended.args[0].sentence == "Saving failed unexpectedly: Broken."
