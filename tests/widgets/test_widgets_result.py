"""The result of a prediction in a real window: its numbers, its files, and what is on the canvas."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel, QPushButton

from napari_wsimil.slides import open_slide
from napari_wsimil.widgets.hover import CursorText
from napari_wsimil.widgets.overlays.looks import looks_of
from napari_wsimil.widgets.parts import Fold
from napari_wsimil.widgets.probability_bars import MarkedBar
from napari_wsimil.widgets.slide_layer import facts, is_slide

pytestmark = pytest.mark.gui


def kinds(viewer):
    return [facts(layer).get("kind") for layer in viewer.layers]


def quick(made_up):
    def steps(slide, model, **_):
        yield from ()
        return made_up(slide)

    return steps


def shown(window, sample, made_up, top=3):
    """A window with a result."""
    w = window()
    w.open(sample)
    w.dock.steps = quick(made_up)
    w.dock.top.setValue(top)
    w.press(w.dock.predict_button)
    w.wait_end()
    assert len(w.viewer.layers["Top regions – made-up"].data) == top
    return w


def test_a_result_in_numbers_and_files_and_predicted_again(window, sample, made_up, tmp_path, qtbot):
    w = shown(window, sample, made_up)
    the_bars_say_what_was_decided(w, qtbot)
    the_options_choose_what_a_geojson_holds(w, tmp_path, qtbot)
    w.dock.top.setValue(10)
    w.dock.share.setValue(0)
    for suffix in (".geojson", ".csv", ".prediction.h5"):
        exported(w, suffix, tmp_path, qtbot)
    an_export_that_fails_is_a_sentence_in_the_dock(w, tmp_path, qtbot)
    w.press(w.dock.predict_button)
    w.wait_end()
    assert kinds(w.viewer) == ["slide", "instances", "instances", "attention", "top"], "the layers are replaced"
    w.dock.steps = quick(lambda slide: made_up(slide, model="another"))
    w.press(w.dock.predict_button)
    w.wait_end()
    assert kinds(w.viewer).count("attention") == 2, "another model's result stands beside the first"


def the_bars_say_what_was_decided(w, qtbot):
    """The bar of each class is as long as its probability, the threshold is marked on it, and the answer stands in bold."""
    qtbot.waitUntil(lambda: all(bar.isVisible() for bar in w.dock.result.bars.findChildren(MarkedBar)))
    bars = w.dock.result.bars.findChildren(MarkedBar)
    assert [bar.value() / bar.maximum() for bar in bars] == [0.2, 0.8]
    assert w.dock.result.decision.text() == "Answer: tumour (above the threshold of 50\xa0%)"
    bold = [label.text() for label in w.dock.result.bars.findChildren(QLabel) if label.font().bold()]
    assert bold == ["tumour", "80.0 %"]
    picture = bars[1].grab().toImage()
    middle = [picture.pixelColor(round(0.5 * (picture.width() - 1)), y).name() for y in range(picture.height())]
    beside = [picture.pixelColor(round(0.4 * (picture.width() - 1)), y).name() for y in range(picture.height())]
    assert middle != beside, "the mark is drawn on the bar"


def the_options_choose_what_a_geojson_holds(w, tmp_path, qtbot):
    counts = []
    for top, share in ((10, 0), (3, 20), (0, 100)):
        w.dock.top.setValue(top)
        w.dock.share.setValue(share)
        w.dock.export(str(tmp_path / "chosen.geojson"))
        qtbot.waitUntil(lambda: w.dock.progress.label.text() == "Saved chosen.geojson")
        w.dock.progress.tell("")
        features = json.loads((tmp_path / "chosen.geojson").read_text())["features"]
        types = [feature["properties"]["objectType"] for feature in features]
        counts.append((types.count("annotation"), types.count("tile")))
    assert counts == [(10, 15), (3, 6), (0, 30)]


def exported(w, suffix, tmp_path, qtbot):
    w.press(w.dock.result.export_button)
    dialog = next(one for one in w.dock.findChildren(QFileDialog) if one.isVisible())
    dialog.setDirectory(str(tmp_path))
    chosen = next(text for text in dialog.nameFilters() if f"*{suffix})" in text)
    dialog.selectNameFilter(chosen)
    dialog.selectFile(str(tmp_path / f"mine{suffix}"))
    dialog.accept()
    target = tmp_path / f"mine{suffix}"
    qtbot.waitUntil(lambda: w.dock.progress.label.text() == f"Saved mine{suffix}")
    assert target.exists()
    if suffix == ".geojson":
        assert len(json.loads(target.read_text())["features"]) >= 10
    if suffix == ".prediction.h5":
        before = [(layer.name, layer.scale.tolist(), layer.translate.tolist()) for layer in w.viewer.layers]
        for layer in list(w.viewer.layers)[1:]:
            w.viewer.layers.remove(layer)
        assert w.dock.result.isHidden()
        w.open(target)
        after = [(layer.name, layer.scale.tolist(), layer.translate.tolist()) for layer in w.viewer.layers]
        assert after == before, "the slide is open already and is not opened twice"
        assert w.dock.result.isVisible()


def an_export_that_fails_is_a_sentence_in_the_dock(w, tmp_path, qtbot):
    w.dock.export(str(tmp_path / "no" / "folder.csv"))
    qtbot.waitUntil(w.dock.message.isVisible)
    assert "folder" in w.dock.message.text()


def test_a_result_on_the_canvas_and_in_the_dock(window, sample, made_up, qtbot):
    w = shown(window, sample, made_up, 10)
    overlays_are_reached_with_the_tab_key(w, qtbot)
    for active in ("sample", "Attention – made-up"):
        hovering_tells_the_patch(w, active, qtbot)
    boxes_stay_readable_at_every_zoom(w, qtbot)
    qtbot.waitUntil(lambda: cut_texts(w.dock) == [])
    w.dock.findChild(Fold).button.click()
    QApplication.processEvents()
    qtbot.waitUntil(lambda: cut_texts(w.dock) == [])
    w.viewer.window.resize(1600, 1000)
    QApplication.processEvents()
    qtbot.waitUntil(lambda: cut_texts(w.dock) == [])


def overlays_are_reached_with_the_tab_key(w, qtbot):
    """After their heading."""
    qtbot.waitUntil(lambda: bool(w.dock.overlays.rows))
    row = w.dock.overlays.row("attention")
    row.unfold()
    names, control = [], w.dock.overlays.remove
    while len(names) < 80 and "overlay_smooth" not in names:
        control = control.nextInFocusChain()
        names += [control.objectName()] if control.objectName().startswith("overlay") else []
        assert w.dock.isAncestorOf(control)
    wanted = ["overlay_eye", "overlay_unfold", "overlay_opacity", "overlay_colours", "overlay_scale", "overlay_smooth"]
    assert [name for name in names if name in wanted][-6:] == wanted


def canvas_of(dock):
    """The widget that napari draws on."""
    return next(widget for widget in dock.window().findChildren(object) if "CanvasBackend" in type(widget).__name__)


def hovering_tells_the_patch(w, active, qtbot):
    w.viewer.layers.selection.active = w.viewer.layers[active]
    scores = w.dock.prediction.attention[0.5]
    x, y = (scores.xy[14] + scores.size_level0 / 2) * 0.5
    w.viewer.scene.camera.center = (y, x)
    QApplication.processEvents()
    canvas = canvas_of(w.dock)

    def hover(across, down, wanted):
        """Move the mouse to so many px from the middle of the canvas until what is told there is as wanted."""

        def told():
            w.viewer.mouse_over_canvas = True
            for off in (9, 0):
                qtbot.mouseMove(canvas, canvas.rect().center() + QPoint(across + off, down))
            w.viewer.update_status_from_cursor()
            status = w.viewer.status
            return wanted(status if isinstance(status, str) else status["coordinates"])

        qtbot.waitUntil(told)

    wanted = "Attention 0.0323 (rank 16 of 30, percentile 50) · tumour 48.4 %"
    hover(2, 0, lambda text: text.startswith(wanted))
    np.testing.assert_allclose(w.viewer.cursor.position, (y, x), atol=40)
    w.viewer.scene.camera.center = (0, 0)
    hover(-60, -60, lambda text: "Attention" not in text)


def boxes_stay_readable_at_every_zoom(w, qtbot):
    boxes, camera = w.viewer.layers["Top regions – made-up"], w.viewer.scene.camera
    camera.zoom = 2.0
    np.testing.assert_allclose(boxes.edge_width, 2.5 / (2.0 * 0.5), rtol=0.3)
    assert boxes.text.visible
    w.viewer.layers["Attention – made-up"].visible = False
    best = w.dock.prediction.attention[0.5].xy[29] * 0.5
    camera.center = (best[1] + 64, best[0] + 128)

    def line_is_thin():
        picture = w.viewer.screenshot(canvas_only=True, flash=False).astype(int)
        middle = picture[picture.shape[0] // 2, picture.shape[1] // 2 - 60 : picture.shape[1] // 2 + 60, :3]
        return 1 <= (np.abs(middle - (0x14, 0x46, 0xFF)).max(axis=1) < 40).sum() <= 5

    qtbot.waitUntil(line_is_thin)
    camera.zoom = 0.1
    assert not boxes.text.visible, "numbers on boxes of 13 px would cover each other"
    np.testing.assert_allclose(boxes.edge_width, 256 * 0.15, rtol=0.3)
    boxes.data = []
    camera.zoom = 1.0


def cut_texts(dock):
    """What does not fit into its place, or lies beyond the dock's edge."""
    found = []
    for part in [*dock.findChildren(QLabel), *dock.findChildren(QPushButton)]:
        if part.isVisible() and part.text():
            wraps = part.hasHeightForWidth()
            low = part.height() < (part.heightForWidth(part.width()) if wraps else part.sizeHint().height()) - 1
            narrow = not wraps and part.width() < part.sizeHint().width() - 1
            if low or narrow or part.mapTo(dock, QPoint(part.width(), 0)).x() > dock.width():
                found.append(part.text())
    return found


def test_a_result_stays_on_the_tissue_when_the_pixel_size_changes(window, sample, made_up, qtbot, tmp_path):
    w = window()
    (slide,) = w.open(sample)
    w.dock.steps = quick(made_up)
    w.press(w.dock.predict_button)
    w.wait_end()

    def places():
        layers = [w.viewer.layers[name] for name in ("Attention – made-up", "Top regions – made-up")]
        return [np.stack([slide.world_to_data(corner) for corner in layer.extent.world]) for layer in layers]

    before = places()
    size = w.viewer.layers["Attention – made-up"].scale[0]
    w.dock.slides.mpp_field.setValue(0.25)
    np.testing.assert_allclose(places(), before)
    assert w.viewer.layers["Attention – made-up"].scale[0] == size / 2
    attention = next(look for look in looks_of(w.viewer, w.dock.prediction) if look.name == "Attention")
    scores = w.dock.prediction.attention[0.5]
    assert attention.origin == tuple(scores.xy.min(axis=0)), "figures show it in the same place"
    # a prediction that comes later, made with another pixel size than the slide has now
    path = w.dock.prediction.save(tmp_path / "one.prediction.h5")
    w.dock.overlays.remove.click()
    w.open(path)
    np.testing.assert_allclose(places(), before)
    x, y = (scores.xy[14] + scores.size_level0 / 2) * 0.25
    w.viewer.cursor.position = (y, x)
    assert CursorText(w.viewer).text().startswith("Attention 0.0323 (rank 16 of 30")


def test_a_slide_that_comes_after_its_result_lies_beneath_it(window, sample, made_up, qtbot, tmp_path):
    copy = Path(shutil.copy(sample, tmp_path / "late.tiff"))
    with open_slide(copy) as slide:
        path = made_up(slide).save(tmp_path / "late.prediction.h5")
    away = copy.rename(tmp_path / "away.tiff")
    w = window()
    w.open(path)
    w.open(away)
    qtbot.waitUntil(lambda: w.viewer.layers[0].name == "away")
    assert w.dock.result.isVisible()


def test_what_napari_makes_of_an_overlay_is_an_ordinary_layer(window, sample, made_up, qtbot):
    w = window()
    (slide,) = w.open(sample)
    w.dock.steps = quick(made_up)
    w.press(w.dock.predict_button)
    w.wait_end()
    attention, boxes = (w.viewer.layers[name] for name in ("Attention – made-up", "Top regions – made-up"))
    for made in (
        Labels(np.zeros(attention.data.shape, int), metadata=attention.metadata),
        Image(np.stack([attention.data] * 2), metadata=attention.metadata),
        Labels(boxes.to_labels(labels_shape=(64, 64)), metadata=boxes.metadata),
    ):
        assert not facts(w.viewer.add_layer(made))
    level = w.viewer.add_image(np.zeros((64, 64, 3), np.uint8), metadata=slide.metadata)
    qtbot.wait(50)
    assert not is_slide(level)
    assert w.dock.slides.combo.count() == 1
    assert [row.layer for row in w.dock.overlays.rows] == [layer for layer in w.viewer.layers[::-1] if "model" in facts(layer)]
    w.dock.slides.mpp_field.setValue(0.25)
    assert looks_of(w.viewer, w.dock.prediction)
    assert tuple(attention.scale) == (64.0, 64.0)


def test_a_removed_prediction_is_let_go(window, sample, made_up, qtbot):
    w = window()
    w.open(sample)
    w.dock.steps = quick(made_up)
    w.press(w.dock.predict_button)
    w.wait_end()
    kept = weakref.ref(w.dock.prediction)
    w.viewer.layers.clear()
    w.viewer.mouse_over_canvas = True

    def gone():
        w.viewer.status = f"{w.viewer.status} "  # as when the mouse moves
        gc.collect()
        return kept() is None

    qtbot.waitUntil(gone)
