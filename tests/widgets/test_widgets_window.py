"""The dock in a real window, driven by its real buttons: opening, models, and jobs from Predict to their end."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from manners import contrast
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QMainWindow

from napari_wsimil.inference import Progress
from napari_wsimil.widgets import analysis
from napari_wsimil.widgets.model_card import ModelCard
from napari_wsimil.widgets.parts import combo_item
from napari_wsimil.widgets.slide_layer import facts

pytestmark = pytest.mark.gui


def kinds(viewer):
    return [facts(layer).get("kind") for layer in viewer.layers]


def test_open_predict_and_see(window, sample, package, qtbot):
    w = window()
    assert not w.dock.predict_button.isEnabled()
    assert not w.dock.slides.hint.isHidden()
    w.open(sample)
    choose_model_in_a_dialog(w, package, qtbot)
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


def choose_model_in_a_dialog(w, package, qtbot):
    combo = w.dock.models.model_combo
    combo.setCurrentIndex(combo.findText("Choose folder…"))
    assert w.dock.models.model == "bundled", "nothing is chosen before the dialog is closed"
    dialog = w.dock.findChild(QFileDialog)
    dialog.setDirectory(str(Path(package).parent))
    dialog.selectFile(package)
    dialog.accept()
    qtbot.waitUntil(lambda: w.dock.models.model == package)
    assert combo.currentText() == Path(package).name
    assert w.dock.models.caveat.text() == "For research, not for diagnosis."


def test_jobs_are_stopped_refused_fail_and_tell_how_far_they_are(window, sample, slow_job, made_up, told, qtbot, monkeypatch):
    w = window()
    (slide,) = w.open(sample)
    w.dock.steps = slow_job
    cancel_half_way(w, slow_job, qtbot)
    an_option_that_makes_no_sense(w)
    a_crash(w, told)
    progress_is_told_a_few_times_a_second(w, made_up, monkeypatch)
    w.dock.steps = slow_job
    begun = slow_job.done
    w.press(w.dock.predict_button)
    qtbot.waitUntil(lambda: slow_job.done > begun + 2)
    w.viewer.layers.remove(slide)
    w.wait_end()
    assert slow_job.done < slow_job.count, "it is stopped where its slide is removed"
    assert "slide" not in kinds(w.viewer)
    assert not w.dock.predict_button.isEnabled()


def cancel_half_way(w, slow_job, qtbot):
    w.press(w.dock.predict_button)
    qtbot.waitUntil(lambda: slow_job.done > 5 and "of 400 · 20\xa0patches/s" in w.dock.progress.label.text())
    assert w.dock.progress.bar.value() > 0
    w.press(w.dock.cancel_button)
    w.wait_end()
    assert slow_job.closed
    assert slow_job.done < slow_job.count
    assert w.dock.progress.label.text() == "Stopped."
    assert kinds(w.viewer) == ["slide"]
    assert w.dock.predict_button.isEnabled()


def an_option_that_makes_no_sense(w):
    w.dock.options.mpps.setText("20x")
    w.press(w.dock.predict_button)
    assert not w.dock.running
    assert "“20x” under Magnification" in w.dock.message.text()
    w.dock.options.mpps.clear()


def a_crash(w, told):
    """The button comes back, and napari gets the details."""

    def steps(slide, model, **_):
        yield from ()
        raise RuntimeError("out of memory")

    w.dock.steps = steps
    w.press(w.dock.predict_button)
    w.wait_end()
    assert w.dock.message.text() == "The prediction failed unexpectedly: out of memory."
    assert w.dock.predict_button.isEnabled()
    assert told() == ["out of memory"]


def progress_is_told_a_few_times_a_second(w, made_up, monkeypatch):
    """A new stage at once."""
    told = []

    def steps(slide, model, **_):
        for stage in ("Finding tissue", "Reading and encoding patches"):
            for done in range(30):
                yield Progress(stage, done, 30, 50.0, 1.0)
        return made_up(slide)

    # each report seems to come 20 ms after the one before, however busy the machine is
    looks = iter(range(1000))
    monkeypatch.setattr(analysis, "monotonic", lambda: 1000 + 0.02 * next(looks))
    w.dock.steps = steps
    w.dock.progressed.connect(told.append)
    w.press(w.dock.predict_button)
    w.wait_end()
    assert [progress.stage for progress in told if progress.done == 0] == ["Finding tissue", "Reading and encoding patches"]
    assert 4 <= len(told) <= 15


def test_closing_the_window_in_mid_job_stops_it(window, sample, slow_job, qtbot):
    w = window()
    w.open(sample)
    w.dock.steps = slow_job
    w.press(w.dock.predict_button)
    qtbot.waitUntil(lambda: slow_job.done > 2)
    w.viewer.close()
    qtbot.waitUntil(lambda: slow_job.closed)
    assert slow_job.done < slow_job.count


CLOSE_IN_MID_JOB = """
import sys, time
import napari
from qtpy.QtCore import QTimer
from napari_wsimil.inference import Progress
from napari_wsimil.widgets.demo import open_with_dock

def steps(slide, model, **_):
    for done in range(1200):
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
        [sys.executable, "-c", CLOSE_IN_MID_JOB, sample], capture_output=True, text=True, timeout=200, check=False
    )
    # whoever opens a slide for the first time is told about smooth panning
    told = [line for line in done.stdout.splitlines() if not line.startswith("INFO: napari's setting")]
    assert told == ["running True", "ended"]
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_choosing_another_slide_while_one_is_predicted(window, sample, tmp_path, slow_job, write_slide):
    w = window()
    w.open(sample)
    w.dock.steps = slow_job
    w.press(w.dock.predict_button)
    w.open(write_slide(tmp_path / "other.tiff"))
    assert w.dock.slides.combo.currentText() == "other"
    slow_job.count = slow_job.done + 2
    w.wait_end()
    assert w.dock.prediction is None
    assert not w.dock.result.isVisible()
    assert facts(w.viewer.layers["Attention – made-up"])["path"] == str(sample)
    w.dock.slides.choose(w.viewer.layers["sample"])
    assert w.dock.prediction is not None
    assert w.dock.result.isVisible()


def test_what_can_and_cannot_be_opened(window, sample, tmp_path, told, qtbot, monkeypatch):
    w = window()
    for name, content in (("text.svs", "a text\n"), ("empty.svs", "")):
        (tmp_path / name).write_text(content)
        w.open(tmp_path / name)
        assert len(w.viewer.layers) == 0
    first, second = told()
    assert "text.svs" in first
    assert "empty.svs" in second
    the_sample_comes_without_the_window_waiting(w, sample, qtbot, monkeypatch)
    w.viewer.layers.clear()
    w.press(w.dock.slides.open_button)
    dialog = w.dock.findChild(QFileDialog)
    dialog.setDirectory(str(sample.parent))
    dialog.selectFile(str(sample))
    dialog.accept()
    qtbot.waitUntil(lambda: kinds(w.viewer) == ["slide"])
    assert w.dock.predict_button.isEnabled()
    a_stated_pixel_size_can_be_changed(w)
    a_bad_model_is_a_sentence_in_the_dock(w, tmp_path)
    assert len(told()) == 2, "the dock says it; a pop-up as well would be noise"


def the_sample_comes_without_the_window_waiting(w, sample, qtbot, monkeypatch):
    from napari_wsimil.widgets import sample_data

    go = threading.Event()

    def slowly(kind, progress):
        assert kind == "normal"
        for done in range(10):
            progress(done + 1, 10)
        assert go.wait(60)
        return sample

    monkeypatch.setattr(sample_data, "make_sample_slide", slowly)
    w.viewer.open_sample("napari-wsimil", "normal")
    assert [layer.name for layer in w.viewer.layers] == ["Making the sample slide"]
    go.set()
    qtbot.waitUntil(lambda: kinds(w.viewer) == ["slide"])
    assert w.dock.slides.combo.currentText() == "sample"


def a_stated_pixel_size_can_be_changed(w):
    (layer,) = w.viewer.layers
    assert not w.dock.slides.mpp_field.isVisible()
    w.press(w.dock.slides.edit_button)
    assert w.dock.slides.mpp_field.value() == 0.5
    w.dock.slides.mpp_field.setValue(0.25)
    assert tuple(layer.scale) == (0.25, 0.25)
    w.press(w.dock.slides.edit_button)
    assert w.dock.slides.size_label.text() == "0.25 µm (typed in)"


def a_bad_model_is_a_sentence_in_the_dock(w, tmp_path):
    w.dock.models.add_folder(str(tmp_path))
    assert "is not a model package" in w.dock.message.text()
    (tmp_path / "model.json").write_text("{}")
    w.dock.models.add_folder(str(tmp_path))
    w.press(w.dock.predict_button)
    w.wait_end()
    assert "model.json" in w.dock.message.text()
    assert w.dock.message.isVisible()


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


def test_models_and_devices_are_looked_up_in_the_background(window, monkeypatch, tmp_path, package, qtbot):
    shutil.copytree(package, tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.json").write_text("{}")
    monkeypatch.setenv("NAPARI_WSIMIL_MODELS", str(tmp_path))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    w = window()
    models, devices = w.dock.models.model_combo, w.dock.models.device_combo
    qtbot.waitUntil(lambda: models.findText("random") >= 0)
    bad = combo_item(models, models.findText("bad"))
    assert not bad.isEnabled()
    assert "model.json" in bad.toolTip()
    gpu = combo_item(devices, devices.findText("GPU"))
    assert not gpu.isEnabled()
    assert gpu.toolTip() == "PyTorch finds no GPU on this computer."
    assert w.dock.models.device == "auto"
    the_card_of_the_model_is_one_click_away(w, package, qtbot)
    for theme in ("dark", "light"):
        w.viewer.theme = theme
        w.dock.models.refused.emit("A sentence.")
        text = w.dock.message.palette().color(w.dock.message.foregroundRole())
        background = get_theme(theme).background.as_rgb_tuple()[:3]
        assert contrast((text.red(), text.green(), text.blue()), background) > 4.5, theme


def the_card_of_the_model_is_one_click_away(w, package, qtbot):
    w.dock.models.add_folder(package)
    w.press(w.dock.models.card_button)
    card = w.dock.findChild(ModelCard)
    qtbot.waitUntil(lambda: "Looks at" in card.text.toPlainText())
    assert "256-px patches at 0.5 µm/px" in card.text.toPlainText()
    card.close()


def test_the_dock_is_in_the_layers_menu(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy(show=True)
    bar = next(widget for widget in QApplication.topLevelWidgets() if isinstance(widget, QMainWindow)).menuBar()
    layers = next(action.menu() for action in bar.actions() if "Layers" in action.text())
    assert not viewer.window.dock_widgets
    classify = next(action.menu() for action in layers.actions() if action.menu() and "Classify" in action.text())
    (action,) = [action for action in classify.actions() if "Slide analysis" in action.text()]
    action.trigger()
    assert any("Slide analysis" in name for name in viewer.window.dock_widgets)


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
