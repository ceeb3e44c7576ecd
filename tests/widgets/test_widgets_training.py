"""The dock "Training" as a whole, in a real window, with real trainings: from an empty manifest to a prediction."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QDesktopServices, QValidator
from qtpy.QtWidgets import QDialogButtonBox, QFileDialog, QLineEdit, QToolButton

import napari_wsimil as ws
from napari_wsimil.widgets.docks import dock_around, open_dock
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.training.frame import CORRECT, NEW
from napari_wsimil.widgets.training.runs.desk import SURVIVES
from napari_wsimil.widgets.training.runs.listing import name_of
from napari_wsimil.widgets.training.settings.number_box import NumberBox

LEFT = Qt.MouseButton.LeftButton
START_MS = 150_000
"""The first training of the process waits for all libraries."""

TEACHING = {"tumour": range(0, 8, 2), "normal": range(1, 8, 2)}


@pytest.fixture
def slides(tmp_path, write_slide):
    """A folder of eight slides of four patches or so, no two of them the same."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for number in range(8):
        write_slide(folder / f"case-{number:02}.tiff", width=1024 + number, height=1024)
    return folder


@pytest.fixture
def study(tmp_path):
    """A manifest of feature files of some encoder, labels and splits included."""
    folder = tmp_path / "study"
    folder.mkdir()
    random = np.random.default_rng(0)
    lines = ["slide,label,split"]
    for number in range(16):
        features = random.normal(size=(6, 8)).astype(np.float32)
        features[:, 0] += 2 * (number % 2)
        torch.save(torch.from_numpy(features), folder / f"{number}.pt")
        side = "train" if number < 10 else "validation" if number < 14 else "test"
        lines.append(f"{number}.pt,{('normal', 'tumour')[number % 2]},{side}")
    manifest = folder / "study.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


@pytest.fixture
def hands(qtbot):
    return Hands(qtbot)


class Hands:
    """What a user does with mouse and keys."""

    def __init__(self, qtbot):
        self.bot = qtbot

    def open(self, viewer):
        """Open the dock and wait until its form is complete."""
        dock = open_dock(viewer, "Training")
        dock.area.verticalScrollBar()
        self.bot.waitUntil(lambda: dock.settings.ready)
        return dock

    def click(self, dock, button):
        self.bot.waitUntil(button.isVisible)
        assert button.isEnabled(), button.objectName()
        dock.area.ensureWidgetVisible(button)
        self.bot.mouseClick(button, LEFT, pos=QPoint(8, button.height() // 2))

    def shown(self, parent, kind, name):
        """A part that was made just now; one of the same name may be about to go."""

        def found():
            return [one for one in parent.findChildren(kind, name) if one.isVisible()]

        self.bot.waitUntil(lambda: bool(found()))
        return found()[0]

    def type(self, dock, editor, text):
        dock.area.ensureWidgetVisible(editor)
        editor.setFocus()
        editor.selectAll()
        self.bot.keyClicks(editor, text)
        self.bot.keyClick(editor, Qt.Key.Key_Return)

    def answer(self, parent, path):
        """Type a path into the dialog that was just opened."""
        dialog = next(one for one in parent.findChildren(QFileDialog) if one.isVisible())
        dialog.findChild(QLineEdit, "fileNameEdit").setText(str(path))
        box = dialog.findChild(QDialogButtonBox)
        (button,) = (one for one in box.buttons() if box.buttonRole(one) == QDialogButtonBox.ButtonRole.AcceptRole)
        with self.bot.waitSignal(dialog.fileSelected):
            self.bot.mouseClick(button, LEFT)

    def add_manifest(self, dock, path):
        self.click(dock, dock.data.add_buttons.manifest)
        self.answer(dock.data, path)
        self.bot.waitUntil(lambda: not dock.data.checking)

    def few_epochs(self, dock, epochs):
        (row,) = (row for row in dock.settings.rows if row.editor.objectName() == "epochs")
        self.type(dock, row.editor, str(epochs))

    def until(self, dock, *phases):
        self.bot.waitUntil(
            lambda: dock.desk.asked is None and getattr(dock.desk.state, "phase", "") in phases, timeout=START_MS
        )

    def label(self, dock, rows, text):
        """Select rows of the table and type their label."""
        view, box = dock.data.view, dock.data.for_selected.label
        dock.area.ensureWidgetVisible(view)
        view.clearSelection()
        for row in rows:
            index = dock.data.model.index(row, 1)
            view.scrollTo(index)
            modifier = Qt.KeyboardModifier.ControlModifier
            self.bot.mouseClick(view.viewport(), LEFT, modifier, view.visualRect(index).center())
        assert len(view.selected()) == len(rows)
        self.bot.keyClicks(box.lineEdit(), text)
        self.bot.keyClick(box.lineEdit(), Qt.Key.Key_Return)


@pytest.mark.gui
def test_from_an_empty_manifest_to_a_prediction(window, tiny_slide, slides, tmp_path, hands, warm_children, qtbot):
    empty = tmp_path / "empty.csv"
    empty.write_text("slide,label\n", encoding="utf-8")
    w = window()
    w.open(tiny_slide)
    dock = hands.open(w.viewer)
    assert dock.pages.currentIndex() == NEW
    assert not dock.live.isVisible()
    hands.add_manifest(dock, empty)
    hands.click(dock, dock.bar.start_button)
    assert dock.bar.said.text().startswith("Add slides first")
    dock.turn_to(CORRECT)
    assert not dock.bar.said.isVisible(), "that is nothing to the other page"
    dock.turn_to(NEW)
    hands.click(dock, dock.bar.start_button)
    assert dock.bar.said.text().startswith("Add slides first")
    hands.click(dock, dock.data.add_buttons.folder)
    hands.answer(dock.data, slides)
    qtbot.waitUntil(lambda: len(dock.data.draft.rows) == 8 and not dock.data.checking)
    qtbot.waitUntil(lambda: not dock.bar.said.text().startswith("Add slides first"))
    assert dock.settings.place.folder.parent == tmp_path / "training", "beside the manifest"
    # without labels nothing can be learnt, which is said, and shown where
    hands.click(dock, dock.bar.start_button)
    qtbot.waitUntil(lambda: "label" in dock.bar.said.text().lower())
    assert dock.bar.start_button.isEnabled()
    for name, rows in TEACHING.items():
        hands.label(dock, rows, name)
    qtbot.waitUntil(lambda: dock.data.ready)
    assert dock.data.draft.classes == ("normal", "tumour")
    assert dock.settings.positive_combo.itemText(0) == "Automatic (tumour)"
    assert dock.settings.method_combo.currentData() == "abmil"
    hands.few_epochs(dock, 3)
    folder = dock.settings.place.folder
    hands.click(dock, dock.bar.start_button)
    assert dock.bar.said.text() == "Starting…"
    assert not dock.bar.start_button.isEnabled()
    hands.until(dock, "starting", "running", "finished")
    assert dock.watcher.run.folder == folder
    assert dock.live.isVisible()
    assert not dock.settings.isVisible(), "folded away: what the run does comes into view"
    hands.until(dock, "finished")
    assert dock.bar.said.text() == "Finished."
    qtbot.waitUntil(dock.result.use_button.isVisible)
    assert (folder / "model" / "model.json").is_file()
    assert (tmp_path / "training" / "features").is_dir(), "all runs share their features"
    assert dock.settings.place.folder != folder, "the next run has another folder"
    recipe = session_of(w.viewer).deeds[0]
    assert f"{folder}-again" in recipe.command
    assert '"epochs": 3' in recipe.python
    analysis = open_dock(w.viewer, "Slide analysis")
    own = Path(os.environ["NAPARI_WSIMIL_LIBRARY"])
    qtbot.waitUntil(lambda: dock.result.model in {path.name for path in own.glob("*")}, timeout=20_000)
    qtbot.waitUntil(lambda: analysis.models.model_combo.findData(dock.result.model) >= 0)  # in the list at once
    open_dock(w.viewer, "Training")
    hands.click(dock, dock.result.use_button)
    open_dock(w.viewer, "Slide analysis")
    qtbot.waitUntil(lambda: analysis.models.model == dock.result.model)
    w.press(w.dock.predict_button)
    w.wait_end()
    assert w.dock.prediction.provenance["model"]["method"] == "abmil"
    assert set(w.dock.prediction.classes) == {"normal", "tumour"}


@pytest.mark.gui
def test_a_child_is_killed_and_gone_on_with(window, study, hands, warm_children, qtbot):
    w = window()
    dock = hands.open(w.viewer)
    hands.add_manifest(dock, study)
    hands.few_epochs(dock, 3000)
    hands.type(dock, row_of(dock, "patience").editor, "0")
    hands.click(dock, dock.bar.start_button)
    qtbot.waitUntil(lambda: dock.watcher.history.epoch > 3, timeout=START_MS)
    hands.click(dock, dock.bar.pause_button)
    assert dock.bar.said.text() == "Pausing after this step…"
    assert not dock.bar.pause_button.isEnabled()
    hands.until(dock, "paused")
    assert dock.bar.said.text() == "Paused."
    hands.click(dock, dock.bar.resume_button)
    hands.until(dock, "running")
    qtbot.waitUntil(lambda: dock.watcher.history.epoch > 6)
    warm_children.kill(dock.watcher.run.folder)
    hands.until(dock, "lost")
    assert dock.bar.said.text().startswith("The training was ended from outside")
    assert "color" in dock.bar.said.styleSheet()
    assert [button.isEnabled() for button in deeds(dock)] == [True, False, True, False]
    before = dock.watcher.history.epoch
    hands.click(dock, dock.bar.resume_button)
    assert dock.bar.said.text() == "Going on…"
    hands.until(dock, "running")
    assert dock.bar.said.styleSheet() == ""
    qtbot.waitUntil(lambda: dock.watcher.history.epoch > before + 2)
    hands.click(dock, dock.bar.stop_button)
    assert dock.bar.said.text() == "Stopping after this step…"
    hands.until(dock, "stopped")
    assert dock.bar.said.text().startswith("Stopped; nothing is lost.")
    assert [button.isEnabled() for button in deeds(dock)] == [True, False, True, False]
    # another run can be looked at, or none
    runs = dock.bar.runs
    qtbot.waitUntil(lambda: "stopped" in runs.currentText())
    runs.setFocus()
    qtbot.keyClick(runs, Qt.Key.Key_Home)
    qtbot.waitUntil(lambda: dock.watcher.run is None)
    assert not dock.live.isVisible()
    assert [button.isEnabled() for button in deeds(dock)] == [True, False, False, False]
    qtbot.keyClick(runs, Qt.Key.Key_Down)
    hands.until(dock, "stopped")
    qtbot.keyClick(runs, Qt.Key.Key_End)
    hands.answer(runs, study.parent)
    qtbot.waitUntil(lambda: "holds no run" in dock.bar.said.text())


@pytest.mark.gui
def test_a_window_is_closed_during_training(window, make_napari_viewer_proxy, study, hands, warm_children, told, qtbot):
    w = window()
    dock = hands.open(w.viewer)
    hands.add_manifest(dock, study)
    hands.few_epochs(dock, 100_000)
    hands.type(dock, row_of(dock, "patience").editor, "0")
    hands.click(dock, dock.bar.start_button)
    hands.until(dock, "running")
    folder = dock.watcher.run.folder
    # the dock is closed, and opened again
    w.viewer.window.remove_dock_widget(dock_around(dock))
    assert told()[-1] == SURVIVES
    assert dock.watcher.run is None, "napari lets the widget live on; it follows nothing any more"
    again = hands.open(w.viewer)
    assert len(again.data.draft.rows) == 16, "what was listed is still there"
    qtbot.waitUntil(lambda: again.data.ready)
    qtbot.waitUntil(lambda: again.watcher.history.epoch > 1)
    dock.attach(again.watcher.run)
    assert dock.watcher.run is None, "as when it is closed while the run is being started"
    w.viewer.close()
    assert ws.attach_run(folder).state().phase == "running"
    other = make_napari_viewer_proxy(show=True)
    third = open_dock(other, "Training")
    qtbot.waitUntil(lambda: third.watcher.run is not None and third.watcher.history.epoch > 1)
    assert third.watcher.run.folder == folder
    before = third.watcher.history.epoch
    qtbot.waitUntil(lambda: third.watcher.history.epoch > before)
    assert folder.name in third.bar.runs.currentText()
    hands.until(third, "running")
    qtbot.mouseClick(third.bar.stop_button, LEFT)
    hands.until(third, "stopped")


@pytest.mark.gui
def test_the_form(window, hands, random_encoder, study, tmp_path, monkeypatch, qtbot):
    w = window()
    dock = hands.open(w.viewer)
    form = dock.settings
    assert "Attention-weighted mean" in form.summary.text()
    assert "arxiv.org/abs/1802.04712" in form.paper_button.toolTip()
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    hands.click(dock, form.paper_button)
    assert opened == ["https://arxiv.org/abs/1802.04712"]
    epochs = row_of(dock, "epochs")
    assert "ours" in epochs.editor.toolTip()
    assert not epochs.reset_button.isVisible()
    hands.few_epochs(dock, 7)
    assert epochs.label.font().bold()
    hands.click(dock, form.fold.button)
    qtbot.waitUntil(lambda: form.more.ready)
    betas, dropout, gated, optimiser = (more_row(dock, name) for name in ("betas", "dropout", "gated", "optimiser"))
    hands.type(dock, betas.editor, "0.9")
    assert betas.problem.text() == "Betas can't be 0.9: it takes 2 numbers with commas between."
    hands.add_manifest(dock, study)
    hands.click(dock, dock.bar.start_button)
    qtbot.waitUntil(lambda: dock.bar.said.text().startswith("Betas can't be 0.9"))
    hands.type(dock, betas.editor, "0.8, 0.99")
    assert not dock.bar.said.isVisible(), "nothing is in the way any more"
    hands.type(dock, dropout.editor, "0.5")
    hands.click(dock, gated.editor)
    optimiser.editor.setFocus()
    qtbot.keyClick(optimiser.editor, Qt.Key.Key_Down)
    hands.type(dock, form.title_field, "My model")
    plan = form.plan(tmp_path / "m.csv")
    assert plan.parameters == {"dropout": 0.5, "gated": False}
    assert plan.settings == {"epochs": 7, "betas": (0.8, 0.99), "optimiser": "adamw"}
    assert (plan.title, plan.mpps, plan.encoder, plan.patch_size) == ("My model", (), "bundled", None)
    hands.click(dock, dropout.reset_button)
    assert dropout.editor.value() == 0.25
    assert not dropout.reset_button.isVisible()
    # another method has its own
    form.method_combo.setFocus()
    qtbot.keyClicks(form.method_combo, "Learned")
    qtbot.waitUntil(lambda: form.chosen.form.name == "zoommil" and form.more.ready)
    assert epochs.editor.value() == 100
    assert form.place.folder.name.startswith("zoommil-")
    assert form.magnifications.usual.text() == "2, 1, 0.5 µm/px (5x, 10x, 20x)"
    hands.click(dock, form.magnifications.automatic)
    assert form.plan(tmp_path).mpps == (2.0, 1.0, 0.5)
    hands.click(dock, form.magnifications.add_button)
    hands.click(dock, hands.shown(form, QToolButton, "remove_mpp_2"))
    hands.type(dock, hands.shown(form, NumberBox, "mpp_3"), "0.125")
    assert form.plan(tmp_path).mpps == (2.0, 0.5, 0.125)
    hands.type(dock, form.more.patch_size, "128")
    form.encoders.add_folder(random_encoder[1])
    qtbot.waitUntil(lambda: form.encoders.name == random_encoder[1])
    assert (form.plan(tmp_path).encoder, form.plan(tmp_path).patch_size) == (random_encoder[1], 128)
    with qtbot.waitSignal(form.encoders.refused):
        form.encoders.add_folder(str(tmp_path))
    assert "no encoder" in form.problem.text().lower()
    form.choose_method("abmil")
    qtbot.waitUntil(lambda: form.more.ready)
    assert form.plan(tmp_path).settings["epochs"] == 7, "remembered"
    unusable = [row for row in range(form.encoders.combo.count()) if not enabled(form.encoders.combo, row)]
    assert all(form.encoders.combo.itemData(row, Qt.ItemDataRole.ToolTipRole).endswith(".") for row in unusable)
    # a folder that is typed stays
    hands.type(dock, form.place.field, str(tmp_path / "typed"))
    form.choose_method("mean")
    assert form.place.folder == tmp_path / "typed"
    dock.pages.setFocus()
    qtbot.keyClick(dock.pages, Qt.Key.Key_Right)
    assert dock.pages.currentIndex() == CORRECT
    assert dock.correct.isVisible()
    assert not dock.bar.start_button.isVisible()


@pytest.mark.gui
def test_numbers(qtbot):
    box = NumberBox()
    qtbot.addWidget(box)
    box.set_limits(0, 10, above=True)
    box.setValue(1e-4)
    assert box.text() == "0.0001"
    box.stepBy(1)
    assert box.text() == "0.0002"
    box.stepBy(-2)
    assert float(box.text()) == 9e-5
    for text in ("3e-5", "3E-05", "0,5"):
        assert box.validate(text, 0)[0] == QValidator.State.Acceptable
    assert box.validate("1e-", 0)[0] == QValidator.State.Intermediate
    assert box.validate("0", 0)[0] == QValidator.State.Intermediate
    assert box.validate("x", 0)[0] == QValidator.State.Invalid
    box.setValue(0)
    assert box.value() > 0
    box.set_limits(0, 1, below=True)
    box.setValue(1)
    assert box.value() == pytest.approx(0.999)


def row_of(dock, name):
    return next(row for row in dock.settings.rows if row.editor.objectName() == name)


def more_row(dock, name):
    return next(row for row in dock.settings.more.rows if row.editor.objectName() == name)


def deeds(dock):
    return dock.bar.start_button, dock.bar.pause_button, dock.bar.resume_button, dock.bar.stop_button


def enabled(combo, row):
    return combo.model().item(row).isEnabled()


def test_what_a_run_is_called_in_the_list():
    def called(folder, **request):
        return name_of(SimpleNamespace(folder=Path(folder), request=SimpleNamespace(**request)))

    assert called("runs/abmil-1", title="", task="train") == "abmil-1"
    assert called("runs/abmil-1", title="Breast", task="train") == "Breast"
    assert called("x/2026-11-21 22.09.32 bundled", title="", task="fine-tune", model="bundled") == "bundled, fine-tuned"
    again = "x/2026-11-21 22.09.32 bundled/model"
    assert called("x/2026-11-21 22.30.00 bundled", title="", task="fine-tune", model=again) == "bundled, fine-tuned"
