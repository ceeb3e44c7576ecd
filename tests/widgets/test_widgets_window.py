"""The dock in a real window, driven by its real buttons."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from napari.utils.theme import get_theme
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel, QMainWindow

from napari_wsimil.inference import Progress
from napari_wsimil.slides import open_slide
from napari_wsimil.widgets.hover import CursorText
from napari_wsimil.widgets.model_card import ModelCard
from napari_wsimil.widgets.overlays.looks import looks_of
from napari_wsimil.widgets.parts import Fold, combo_item
from napari_wsimil.widgets.probability_bars import MarkedBar
from napari_wsimil.widgets.slide_layer import facts

pytestmark = pytest.mark.gui


def kinds(viewer):
    return [facts(layer).get("kind") for layer in viewer.layers]


def quick(made_up):
    def steps(slide, model, **_):
        yield from ()
        return made_up(slide)

    return steps


def test_open_predict_and_see(window, sample, package, qtbot):
    w = window()
    assert not w.dock.predict_button.isEnabled()
    assert not w.dock.slides.hint.isHidden()
    w.open(sample)
    w.dock.models.add_folder(package)
    assert w.dock.slides.size_label.text() == "0.5 µm (from the file)"
    assert not w.dock.slides.hint.isVisible()
    assert w.viewer.canvas.overlays.scale_bar.visible
    w.press(w.dock.predict_button)
    assert not w.dock.predict_button.isEnabled()
    w.wait_end()
    assert w.dock.message.text() == ""
    assert kinds(w.viewer) == ["slide", "tissue", "instances", "instances", "attention", "top"]
    assert [layer.name for layer in w.viewer.layers][4] == "Attention – random"
    prediction = w.dock.prediction
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    assert "patches encoded in" in w.dock.result.cost.text()
    assert "on the CPU" in w.dock.result.cost.text()
    assert w.dock.result.decision.text().endswith("(above the threshold of 50\xa0%)")
    assert w.dock.result.calibration.text() == "Probabilities not calibrated"
    assert len({str(layer.units) for layer in w.viewer.layers}) == 1, "napari drops units that differ"


def test_progress_is_told_a_few_times_a_second_and_a_new_stage_at_once(window, sample, made_up):
    w = window()
    w.open(sample)
    told = []

    def steps(slide, model, **_):
        for stage in ("Finding tissue", "Reading and encoding patches"):
            for done in range(30):
                time.sleep(0.02)
                yield Progress(stage, done, 30, 50.0, 1.0)
        return made_up(slide)

    w.dock.steps = steps
    w.dock.progressed.connect(told.append)
    w.press(w.dock.predict_button)
    w.wait_end()
    assert [progress.stage for progress in told if progress.done == 0] == ["Finding tissue", "Reading and encoding patches"]
    assert 4 <= len(told) <= 15


def test_cancel_half_way_stops_within_a_second(window, sample, slow_job, qtbot):
    w = window()
    w.open(sample)
    w.dock.steps = slow_job
    w.press(w.dock.predict_button)
    qtbot.waitUntil(lambda: slow_job.done > 5, timeout=5000)
    assert "of 400 · 20\xa0patches/s" in w.dock.progress.label.text()
    assert w.dock.progress.bar.value() > 0
    started = time.perf_counter()
    w.press(w.dock.cancel_button)
    w.wait_end(timeout=1000)
    assert time.perf_counter() - started < 1.0
    assert slow_job.closed
    assert slow_job.done < 100
    assert w.dock.progress.label.text() == "Stopped."
    assert kinds(w.viewer) == ["slide"]
    assert w.dock.predict_button.isEnabled()


def test_predict_again_replaces_the_layers(window, sample, made_up):
    w = window()
    w.open(sample)
    w.dock.steps = quick(made_up)
    for _ in range(2):
        w.press(w.dock.predict_button)
        w.wait_end()
    assert kinds(w.viewer) == ["slide", "instances", "instances", "attention", "top"]
    w.dock.steps = quick(lambda slide: made_up(slide, model="another"))
    w.press(w.dock.predict_button)
    w.wait_end()
    assert kinds(w.viewer).count("attention") == 2, "another model's result stands beside the first"


def test_the_number_of_top_regions(window, sample, made_up):
    w = window()
    w.open(sample)
    w.dock.steps = quick(made_up)
    w.dock.top.setValue(3)
    w.press(w.dock.predict_button)
    w.wait_end()
    assert len(w.viewer.layers["Top regions – made-up"].data) == 3


def test_the_bars_say_what_was_decided(window, sample, made_up, qtbot):
    """The bar of each class is as long as its probability, the threshold is marked on it, and the answer stands in bold."""
    w = window()
    w.open(sample)
    w.dock.steps = quick(made_up)
    w.press(w.dock.predict_button)
    w.wait_end()
    qtbot.waitUntil(lambda: all(bar.isVisible() for bar in w.dock.result.bars.findChildren(MarkedBar)), timeout=10_000)
    bars = w.dock.result.bars.findChildren(MarkedBar)
    assert [bar.value() / bar.maximum() for bar in bars] == [0.2, 0.8]
    assert w.dock.result.decision.text() == "Answer: tumour (above the threshold of 50\xa0%)"
    bold = [label.text() for label in w.dock.result.bars.findChildren(QLabel) if label.font().bold()]
    assert bold == ["tumour", "80.0 %"]
    picture = bars[1].grab().toImage()
    middle = [picture.pixelColor(round(0.5 * (picture.width() - 1)), y).name() for y in range(picture.height())]
    beside = [picture.pixelColor(round(0.4 * (picture.width() - 1)), y).name() for y in range(picture.height())]
    assert middle != beside, "the mark is drawn on the bar"


def test_the_card_of_the_model_is_one_click_away(window, package, qtbot):
    w = window()
    w.dock.models.add_folder(package)
    w.press(w.dock.models.card_button)
    card = w.dock.findChild(ModelCard)
    qtbot.waitUntil(lambda: "Looks at" in card.text.toPlainText(), timeout=20_000)
    assert "256-px patches at 0.5 µm/px" in card.text.toPlainText()
    card.close()


@pytest.mark.parametrize("suffix", [".geojson", ".csv", ".prediction.h5"])
def test_export_from_the_dock(window, sample, made_up, qtbot, tmp_path, suffix):
    w = window()
    w.open(sample)
    w.dock.steps = quick(made_up)
    w.press(w.dock.predict_button)
    w.wait_end()
    w.press(w.dock.result.export_button)
    dialog = w.dock.findChild(QFileDialog)
    dialog.setDirectory(str(tmp_path))
    chosen = next(text for text in dialog.nameFilters() if f"*{suffix})" in text)
    dialog.selectNameFilter(chosen)
    dialog.selectFile(str(tmp_path / f"mine{suffix}"))
    dialog.accept()
    target = tmp_path / f"mine{suffix}"
    qtbot.waitUntil(lambda: w.dock.progress.label.text() == f"Saved mine{suffix}", timeout=10_000)
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


def test_the_options_choose_what_a_geojson_holds(window, sample, made_up, tmp_path, qtbot):
    w = window()
    w.open(sample)
    w.dock.steps = quick(made_up)
    w.press(w.dock.predict_button)
    w.wait_end()
    counts = []
    for top, share in ((10, 0), (3, 20), (0, 100)):
        w.dock.top.setValue(top)
        w.dock.share.setValue(share)
        w.dock.export(str(tmp_path / "chosen.geojson"))
        qtbot.waitUntil(lambda: w.dock.progress.label.text() == "Saved chosen.geojson", timeout=5000)
        w.dock.progress.tell("")
        features = json.loads((tmp_path / "chosen.geojson").read_text())["features"]
        kinds = [feature["properties"]["objectType"] for feature in features]
        counts.append((kinds.count("annotation"), kinds.count("tile")))
    assert counts == [(10, 15), (3, 6), (0, 30)]


def test_an_export_that_fails_is_a_sentence_in_the_dock(window, sample, made_up, tmp_path, qtbot):
    w = window()
    w.open(sample)
    w.dock.steps = quick(made_up)
    w.press(w.dock.predict_button)
    w.wait_end()
    w.dock.export(str(tmp_path / "no" / "folder.csv"))
    qtbot.waitUntil(w.dock.message.isVisible, timeout=5000)
    assert "folder" in w.dock.message.text()


def test_closing_the_window_in_mid_job_stops_it(window, sample, slow_job, qtbot):
    w = window()
    w.open(sample)
    w.dock.steps = slow_job
    w.press(w.dock.predict_button)
    qtbot.waitUntil(lambda: slow_job.done > 2, timeout=5000)
    w.viewer.close()
    qtbot.waitUntil(lambda: slow_job.closed, timeout=2000)
    assert slow_job.done < 100


CLOSE_IN_MID_JOB = """
import sys, time
import napari
from qtpy.QtCore import QTimer
from napari_wsimil.inference import Progress
from napari_wsimil.widgets.demo import open_with_dock

def steps(slide, model, **_):
    for done in range(600):
        time.sleep(0.05)
        yield Progress("Reading", done, 600)

viewer, dock = open_with_dock(sys.argv[1], (900, 700))
dock.steps = steps
dock.predict_button.click()
QTimer.singleShot(1500, lambda: (print("running", dock.running), viewer.close()))
napari.run()
print("ended")
"""


def test_a_program_ends_when_its_window_is_closed_in_mid_job(sample):
    done = subprocess.run(
        [sys.executable, "-c", CLOSE_IN_MID_JOB, sample], capture_output=True, text=True, timeout=60, check=False
    )
    # whoever opens a slide for the first time is told about smooth panning
    told = [line for line in done.stdout.splitlines() if not line.startswith("INFO: napari's setting")]
    assert told == ["running True", "ended"]
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_the_sample_comes_without_the_window_waiting(window, sample, qtbot, monkeypatch):
    from napari_wsimil.widgets import sample_data

    def slowly(kind, progress):
        assert kind == "normal"
        for done in range(10):
            time.sleep(0.3)
            progress(done + 1, 10)
        return sample

    monkeypatch.setattr(sample_data, "make_sample_slide", slowly)
    w = window()
    started = time.perf_counter()
    w.viewer.open_sample("napari-wsimil", "normal")
    assert time.perf_counter() - started < 2.0, "making it takes 3 s"
    assert [layer.name for layer in w.viewer.layers] == ["Making the sample slide"]
    qtbot.waitUntil(lambda: kinds(w.viewer) == ["slide"], timeout=20_000)
    assert w.dock.slides.combo.currentText() == "sample"


def test_open_from_the_dock(window, sample, qtbot):
    w = window()
    w.press(w.dock.slides.open_button)
    dialog = w.dock.findChild(QFileDialog)
    dialog.setDirectory(str(sample.parent))
    dialog.selectFile(str(sample))
    dialog.accept()
    qtbot.waitUntil(lambda: kinds(w.viewer) == ["slide"], timeout=3000)
    assert w.dock.predict_button.isEnabled()


def test_removing_the_slide_in_mid_job_stops_it(window, sample, slow_job, qtbot):
    w = window()
    (layer,) = w.open(sample)
    w.dock.steps = slow_job
    w.press(w.dock.predict_button)
    qtbot.waitUntil(lambda: slow_job.done > 2, timeout=5000)
    w.viewer.layers.remove(layer)
    w.wait_end(timeout=2000)
    assert len(w.viewer.layers) == 0
    assert not w.dock.predict_button.isEnabled()


def test_choosing_another_slide_while_one_is_predicted(window, sample, tmp_path, slow_job, qtbot):
    from napari_wsimil.samples import make_sample_slide

    w = window()
    w.open(sample)
    slow_job.count = 20
    w.dock.steps = slow_job
    w.press(w.dock.predict_button)
    w.open(make_sample_slide(tmp_path / "other.tiff", size=2048, kind="normal"))
    assert w.dock.slides.combo.currentText() == "other"
    w.wait_end()
    assert w.dock.prediction is None
    assert not w.dock.result.isVisible()
    assert facts(w.viewer.layers["Attention – made-up"])["path"] == str(sample)
    w.dock.slides.choose(w.viewer.layers["sample"])
    assert w.dock.prediction is not None
    assert w.dock.result.isVisible()


def test_a_slide_without_pixel_size_is_asked_for_then_predicted(window, no_mpp, package, qtbot):
    w = window()
    (layer,) = w.open(no_mpp)
    assert not w.dock.predict_button.isEnabled()
    assert w.dock.slides.notice.text().startswith("This file does not say how large a pixel is.")
    field = w.dock.slides.mpp_field
    assert field.isVisible()
    field.selectAll()
    qtbot.keyClicks(field, "0.5")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert tuple(layer.scale) == (0.5, 0.5)
    assert {str(unit) for unit in layer.units} == {"micrometer"}
    assert not w.dock.slides.notice.isVisible()
    w.dock.models.add_folder(package)
    w.press(w.dock.predict_button)
    w.wait_end()
    assert w.dock.message.text() == ""
    assert w.dock.prediction.provenance["slide"]["mpp"] == [0.5, 0.5]
    assert tuple(w.viewer.layers["Attention – random"].scale) == (128.0, 128.0)


def test_a_stated_pixel_size_can_be_changed(window, sample, qtbot):
    w = window()
    (layer,) = w.open(sample)
    assert not w.dock.slides.mpp_field.isVisible()
    w.press(w.dock.slides.edit_button)
    assert w.dock.slides.mpp_field.value() == 0.5
    w.dock.slides.mpp_field.setValue(0.25)
    assert tuple(layer.scale) == (0.25, 0.25)
    w.press(w.dock.slides.edit_button)
    assert w.dock.slides.size_label.text() == "0.25 µm (typed in)"


def test_bad_input_is_a_sentence_in_the_dock(window, sample, tmp_path, told):
    w = window()
    w.open(sample)
    w.dock.models.add_folder(str(tmp_path))
    assert "is not a model package" in w.dock.message.text()
    (tmp_path / "model.json").write_text("{}")
    w.dock.models.add_folder(str(tmp_path))
    w.press(w.dock.predict_button)
    w.wait_end()
    assert "model.json" in w.dock.message.text()
    assert w.dock.message.isVisible()
    assert told() == [], "the dock says it; a pop-up as well would be noise"


def test_an_option_that_makes_no_sense_is_a_sentence_too(window, sample, slow_job):
    w = window()
    w.open(sample)
    w.dock.steps = slow_job
    w.dock.options.mpps.setText("20x")
    w.press(w.dock.predict_button)
    assert not w.dock.running
    assert "“20x” under Magnification" in w.dock.message.text()


def test_a_crash_gives_the_button_back_and_the_details_to_napari(window, sample, told):
    def steps(slide, model, **_):
        yield from ()
        raise RuntimeError("out of memory")

    w = window()
    w.open(sample)
    w.dock.steps = steps
    w.press(w.dock.predict_button)
    w.wait_end(timeout=3000)
    assert w.dock.message.text() == "The prediction failed unexpectedly: out of memory."
    assert w.dock.predict_button.isEnabled()
    assert told() == ["out of memory"]


@pytest.mark.parametrize("name", ["text.svs", "empty.svs"])
def test_a_broken_file_is_one_notification(window, tmp_path, told, name):
    path = tmp_path / name
    path.write_text("" if name == "empty.svs" else "a text\n")
    w = window()
    w.open(path)
    assert len(w.viewer.layers) == 0
    (sentence,) = told()
    assert name in sentence


def test_the_dock_is_in_the_layers_menu(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy(show=True)
    bar = next(widget for widget in QApplication.topLevelWidgets() if isinstance(widget, QMainWindow)).menuBar()
    layers = next(action.menu() for action in bar.actions() if "Layers" in action.text())
    assert not viewer.window.dock_widgets
    classify = next(action.menu() for action in layers.actions() if action.menu() and "Classify" in action.text())
    (action,) = [action for action in classify.actions() if "Slide analysis" in action.text()]
    action.trigger()
    assert any("Slide analysis" in name for name in viewer.window.dock_widgets)


def canvas_of(dock):
    """The widget that napari draws on."""
    return next(widget for widget in dock.window().findChildren(object) if "CanvasBackend" in type(widget).__name__)


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


def test_overlays_are_reached_with_the_tab_key_after_their_heading(window, sample, made_up, qtbot):
    w = window()
    w.open(sample)
    w.dock.steps = quick(made_up)
    w.press(w.dock.predict_button)
    w.wait_end()
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


@pytest.mark.parametrize("active", ["sample", "Attention – made-up"])
def test_hovering_tells_the_patch(window, sample, made_up, qtbot, active):
    w = window()
    w.open(sample)
    w.dock.steps = quick(made_up)
    w.press(w.dock.predict_button)
    w.wait_end()
    w.viewer.layers.selection.active = w.viewer.layers[active]
    scores = w.dock.prediction.attention[0.5]
    x, y = (scores.xy[14] + scores.size_level0 / 2) * 0.5
    w.viewer.scene.camera.center = (y, x)
    QApplication.processEvents()
    canvas = canvas_of(w.dock)
    w.viewer.mouse_over_canvas = True

    def hover(x, y):
        """Move the mouse until napari has noticed that it is `(x, y)` px from the middle of the canvas."""
        before = tuple(w.viewer.cursor.position)

        def moved():
            qtbot.mouseMove(canvas, canvas.rect().center() + QPoint(x + 9, y))
            qtbot.mouseMove(canvas, canvas.rect().center() + QPoint(x, y))
            return tuple(w.viewer.cursor.position) != before

        qtbot.waitUntil(moved, timeout=3000)
        qtbot.wait(50)
        w.viewer.update_status_from_cursor()
        return w.viewer.status["coordinates"]

    said = hover(2, 0)
    np.testing.assert_allclose(w.viewer.cursor.position, (y, x), atol=40)
    assert said.startswith("Attention 0.0323 (rank 16 of 30, percentile 50) · tumour 48.4 %")
    w.viewer.scene.camera.center = (0, 0)
    assert "Attention" not in hover(-60, -60)


def test_boxes_stay_readable_at_every_zoom(window, sample, made_up, qtbot):
    w = window()
    w.open(sample)
    w.dock.steps = quick(made_up)
    w.press(w.dock.predict_button)
    w.wait_end()
    boxes, camera = w.viewer.layers["Top regions – made-up"], w.viewer.scene.camera
    camera.zoom = 2.0
    np.testing.assert_allclose(boxes.edge_width, 2.5 / (2.0 * 0.5), rtol=0.3)
    assert boxes.text.visible
    w.viewer.layers["Attention – made-up"].visible = False
    best = w.dock.prediction.attention[0.5].xy[29] * 0.5
    camera.center = (best[1] + 64, best[0] + 128)
    qtbot.wait(300)
    picture = w.viewer.screenshot(canvas_only=True, flash=False).astype(int)
    middle = picture[picture.shape[0] // 2, picture.shape[1] // 2 - 60 : picture.shape[1] // 2 + 60, :3]
    line = np.abs(middle - (0x14, 0x46, 0xFF)).max(axis=1) < 40
    assert 1 <= line.sum() <= 5
    camera.zoom = 0.1
    assert not boxes.text.visible, "numbers on boxes of 13 px would cover each other"
    np.testing.assert_allclose(boxes.edge_width, 256 * 0.15, rtol=0.3)
    boxes.data = []
    camera.zoom = 1.0


def cut_texts(dock):
    """What does not fit into its place, or lies beyond the dock's edge."""
    from qtpy.QtWidgets import QLabel, QPushButton

    found = []
    for part in [*dock.findChildren(QLabel), *dock.findChildren(QPushButton)]:
        if part.isVisible() and part.text():
            wraps = part.hasHeightForWidth()
            low = part.height() < (part.heightForWidth(part.width()) if wraps else part.sizeHint().height()) - 1
            narrow = not wraps and part.width() < part.sizeHint().width() - 1
            if low or narrow or part.mapTo(dock, QPoint(part.width(), 0)).x() > dock.width():
                found.append(part.text())
    return found


@pytest.mark.parametrize("size", [(1280, 800), (1600, 1000)])
def test_nothing_in_the_dock_is_cut(window, sample, made_up, qtbot, size):
    w = window(*size)
    w.open(sample)
    w.dock.steps = quick(made_up)
    w.press(w.dock.predict_button)
    w.wait_end()
    qtbot.waitUntil(lambda: cut_texts(w.dock) == [], timeout=5000)
    w.dock.findChild(Fold).button.click()
    qtbot.wait(200)
    qtbot.waitUntil(lambda: cut_texts(w.dock) == [], timeout=5000)


@pytest.mark.parametrize("name", ["cmu1_small_region.svs", "tcga_cr_7395.svs", "colon_part.tif", "dicom_cmu"])
def test_real_slides_through_the_window(window, real_data, package, name):
    w = window()
    (layer,) = w.open(real_data(f"slides/{name}"))
    if name == "tcga_cr_7395.svs":
        assert "Type it in" in w.dock.slides.notice.text()
        w.dock.slides.mpp_field.setValue(0.5)
    w.dock.models.add_folder(package)
    w.press(w.dock.predict_button)
    w.wait_end(timeout=120_000)
    assert w.dock.message.text() == ""
    assert kinds(w.viewer) == ["slide", "tissue", "instances", "instances", "attention", "top"]
    attention = w.viewer.layers["Attention – random"]
    inside = layer.extent.world
    assert np.all(attention.extent.world[0] >= inside[0] - 129)
    assert np.all(attention.extent.world[1] <= inside[1] + 129)


def test_a_model_folder_is_chosen_in_a_dialog(window, sample, package, qtbot):
    w = window()
    w.open(sample)
    combo = w.dock.models.model_combo
    combo.setCurrentIndex(combo.findText("Choose folder…"))
    assert w.dock.models.model == "bundled", "nothing is chosen before the dialog is closed"
    dialog = w.dock.findChild(QFileDialog)
    dialog.setDirectory(str(Path(package).parent))
    dialog.selectFile(package)
    dialog.accept()
    qtbot.waitUntil(lambda: w.dock.models.model == package, timeout=3000)
    assert combo.currentText() == Path(package).name
    assert w.dock.models.caveat.text() == "For research, not for diagnosis."


def test_models_and_devices_are_looked_up_in_the_background(window, monkeypatch, tmp_path, package, qtbot):
    shutil.copytree(package, tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.json").write_text("{}")
    monkeypatch.setenv("NAPARI_WSIMIL_MODELS", str(tmp_path))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    w = window()
    models, devices = w.dock.models.model_combo, w.dock.models.device_combo
    qtbot.waitUntil(lambda: models.findText("random") >= 0, timeout=20_000)
    bad = combo_item(models, models.findText("bad"))
    assert not bad.isEnabled()
    assert "model.json" in bad.toolTip()
    gpu = combo_item(devices, devices.findText("GPU"))
    assert not gpu.isEnabled()
    assert gpu.toolTip() == "PyTorch finds no GPU on this computer."
    assert w.dock.models.device == "auto"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_error_sentences_are_readable(window, theme):
    w = window()
    w.viewer.theme = theme
    w.dock.models.refused.emit("A sentence.")
    text = w.dock.message.palette().color(w.dock.message.foregroundRole())
    background = get_theme(theme).background.as_rgb_tuple()[:3]
    assert contrast((text.red(), text.green(), text.blue()), background) > 4.5


def contrast(one, other):
    """WCAG contrast ratio of two sRGB colours of 0..255."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
