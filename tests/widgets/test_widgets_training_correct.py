"""The page "Correct" in a real window: marks by clicks, Fine-tune, before and after, Keep, Discard, and all of it undone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QObject, QPoint, Qt, Signal
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication, QPushButton, QVBoxLayout, QWidget
from superqt.utils import WorkerBase

import napari_wsimil as ws
from napari_wsimil.packages import installed_models
from napari_wsimil.widgets.annotate.keeping import draft_of, own_file
from napari_wsimil.widgets.docks import open_dock
from napari_wsimil.widgets.results import show_prediction
from napari_wsimil.widgets.slide_layer import facts
from napari_wsimil.widgets.training.correct import CorrectPanel
from napari_wsimil.widgets.training.watcher import RunWatcher

pytestmark = pytest.mark.gui
LEFT = Qt.MouseButton.LeftButton


class Told(QObject):
    """A watcher that says what the test says."""

    state_changed = Signal(object)
    attached = Signal(object)

    def __init__(self, parent):
        super().__init__(parent)
        self.run = None

    def tell(self, phase, *, living=False, sentence=""):
        self.state_changed.emit(SimpleNamespace(phase=phase, living=living, sentence=sentence))


class Hands(SimpleNamespace):
    """What a user does."""

    def press(self, name):
        button = self.panel.findChild(QPushButton, name)
        self.qtbot.waitUntil(lambda: button.isEnabled() and button.isVisible())
        self.qtbot.mouseClick(button, LEFT)

    def at(self, x, y):
        """Where a level-0 pixel is on the canvas."""
        camera = self.viewer.scene.camera
        layer = self.panel.correcting.session.slide_layer
        row, column = (np.asarray(layer.data_to_world((y - 0.5, x - 0.5))) - np.asarray(camera.center)[-2:]) * camera.zoom
        return QPoint(round(self.canvas.width() / 2 + column), round(self.canvas.height() / 2 + row))

    def click(self, x, y):
        self.qtbot.mouseMove(self.canvas, self.at(x, y))
        self.qtbot.mouseClick(self.canvas, LEFT, pos=self.at(x, y))
        self.qtbot.wait(20)

    def drag(self, *places):
        self.qtbot.mouseMove(self.canvas, self.at(*places[0]))
        self.qtbot.mousePress(self.canvas, LEFT, pos=self.at(*places[0]))
        for place in places[1:]:
            self.qtbot.mouseMove(self.canvas, self.at(*place))
            self.qtbot.wait(20)
        self.qtbot.mouseRelease(self.canvas, LEFT, pos=self.at(*places[-1]))
        self.qtbot.wait(20)

    def click_patch(self, row):
        scores = self.prediction.instances[0.5]
        self.click(*(scores.xy[row] + scores.size_level0 / 2))

    def rows(self):
        """The list as a user reads it."""
        model = self.panel.slides.model
        return [[model.index(row, column).data() for column in range(3)] for row in range(model.rowCount())]

    def lists(self, *rows):
        self.qtbot.waitUntil(lambda: self.rows() == [list(row) for row in rows])

    def table(self):
        """Before and after as a user reads it."""
        table = self.panel.outcome.table
        return {
            table.item(row, 0).text(): (table.item(row, 1).text(), table.item(row, 2).text()) for row in range(table.rowCount())
        }

    def comes(self, phase):
        attempt = self.panel.attempting.attempt
        self.qtbot.waitUntil(lambda: attempt.phase == phase or bool(self.panel.problem.text()))
        assert attempt.phase == phase, self.panel.problem.text()

    @property
    def names(self):
        layer = self.panel.correcting.board.layer
        return [] if layer is None else layer.features["class"].tolist()

    @property
    def models(self):
        return {facts(layer).get("model") for layer in self.viewer.layers} - {None}


@pytest.fixture
def slide_path(tmp_path, sample):
    path = tmp_path / "slide.tiff"
    path.write_bytes(sample.read_bytes())
    return path


@pytest.fixture
def hands(make_napari_viewer_proxy, qtbot, settled):
    """Call it to get a window with the page in a dock."""

    def build(watcher=Told):
        viewer = make_napari_viewer_proxy(show=True)
        viewer.window.resize(1280, 900)
        dock = QWidget()
        dock.setMinimumWidth(300)
        panel = CorrectPanel(viewer, watcher(dock))
        QVBoxLayout(dock).addWidget(panel)
        viewer.window.add_dock_widget(dock, name="Page", area="right")
        settled(viewer)
        found = [one for one in QApplication.allWidgets() if isinstance(one, QOpenGLWidget) and one.isVisible()]
        canvas = max(found, key=lambda one: one.width() * one.height())
        return Hands(viewer=viewer, panel=panel, qtbot=qtbot, canvas=canvas, settled=settled, prediction=None)

    yield build
    WorkerBase.await_workers(20_000)


@pytest.fixture
def predicted(slide_path, random_model):
    """The slide predicted, its features kept as the window keeps them."""
    from napari_wsimil.bags.store import default_store_folder

    return ws.predict(slide_path, random_model, store=default_store_folder())


def show(hands, slide_path, prediction):
    hands.viewer.open(str(slide_path), plugin="napari-wsimil")
    hands.prediction = prediction
    show_prediction(hands.viewer, prediction, 0)
    hands.settled(hands.viewer)
    hands.qtbot.waitUntil(lambda: hands.panel.on_slide.isVisible())


def test_a_correction_from_the_first_mark_to_keep_and_back(hands, slide_path, predicted, random_model, warm_children, qtbot):
    hands = hands(RunWatcher)
    panel = hands.panel
    assert panel.open_button.isVisible()
    assert "No slide is open" in panel.model_words.text()
    hands.viewer.open(str(slide_path), plugin="napari-wsimil")
    qtbot.waitUntil(panel.predict_button.isVisible)
    assert "Predict this slide first" in panel.model_words.text()
    assert not panel.tune_button.isEnabled()
    show(hands, slide_path, predicted)
    assert f"sees {predicted.predicted_class}" in panel.model_words.text()
    hands.press("correct_fine_tune")
    assert "Nothing is corrected yet" in panel.problem.text()

    wrong = predicted.positive_class
    hands.press("correct_is_not")
    assert panel.marking.tools["patch"].isChecked(), "the quickest tool is ready"
    for row in (3, 4, 5):
        hands.click_patch(row)
    assert hands.names == [f"!{wrong}"] * 3
    assert not panel.problem.text()
    hands.lists(["slide.tiff", f"3 not {wrong}", "–"])
    hands.click_patch(4)
    assert hands.names == [f"!{wrong}"] * 2, "a second click takes the mark away"
    hands.press("correct_undo")
    assert hands.names == [f"!{wrong}"] * 3
    hands.press("correct_ignore")
    hands.click_patch(4)
    assert hands.names == [f"!{wrong}", "Ignore*", f"!{wrong}"], "or says something else"
    hands.press("correct_tool_add_rectangle")
    hands.press("correct_is")
    hands.drag((700, 700), (900, 900), (1000, 1000))
    assert hands.names[-1] == "normal"
    hands.lists(["slide.tiff", f"2 not {wrong}, 1 ignored, 1 normal", "–"])
    panel.undo_button.setFocus()
    qtbot.keyClick(panel.undo_button, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert len(hands.names) == 3
    panel.label.setCurrentText("normal")
    hands.lists(["slide.tiff", f"2 not {wrong}, 1 ignored", "normal"])
    hands.press("correct_undo")
    assert panel.label.currentText() == "unknown"
    panel.label.setCurrentText("normal")

    panel.tuning.old.setCurrentIndex(panel.tuning.old.findData("none"))
    assert "forget" in panel.tuning.old_words.text()
    panel.tuning.epochs.setValue(3)
    hands.press("correct_fine_tune")
    hands.comes("running")
    assert not panel.tune_button.isEnabled()
    asked = panel.attempting._watcher.run.request
    assert asked.settings["epochs"] == 3
    assert asked.rehearsal is None
    assert panel.correcting.session.deeds[0].title.startswith("Correct ")
    hands.comes("judging")
    table = hands.table()
    assert set(table) >= {"This slide: normal", "This slide: tumour", "Marked patches that agree"}
    assert table["This slide: tumour"][0] != table["This slide: tumour"][1]
    assert len(hands.models) == 2, "before and after are both on the slide"
    candidate = panel.attempting.attempt.candidate
    assert ws.load_model(candidate.package).id in hands.models

    hands.press("correct_keep")
    hands.comes("kept")
    name = panel.attempting.attempt.kept_as
    assert name in [model.name for model in installed_models()]
    analysis = open_dock(hands.viewer, "Slide analysis")
    qtbot.waitUntil(lambda: analysis.models.model == name)
    hands.press("correct_undo")
    hands.comes("judging")
    assert name not in [model.name for model in installed_models()]
    qtbot.waitUntil(lambda: analysis.models.model == random_model.source)
    hands.press("correct_discard")
    assert hands.models == {"random"}, "the old model's layers stay"
    assert candidate.package.is_dir(), "nothing is deleted"
    hands.press("correct_undo")
    qtbot.waitUntil(lambda: len(hands.models) == 2)
    hands.comes("judging")
    hands.press("correct_keep")
    hands.comes("kept")
    assert panel.correcting.session.prediction is panel.attempting.after, "the next correction begins with the new model"
    assert panel.tune_button.isEnabled()


def test_marks_of_another_day_come_back_and_errors_are_sentences(hands, slide_path, predicted, tmp_path, qtbot):
    first = hands()
    show(first, slide_path, predicted)
    first.press("correct_tool_patch")
    first.click_patch(7)
    first.lists(["slide.tiff", "1 not tumour", "–"])
    qtbot.waitUntil(lambda: draft_of(first.panel.correcting.session.slide).is_file())
    first.press("correct_remove")
    assert first.rows() == []
    first.press("correct_undo")
    first.lists(["slide.tiff", "1 not tumour", "–"])
    first.viewer.layers.clear()
    assert "No slide is open" in first.panel.model_words.text()

    again = hands()
    panel = again.panel
    again.lists(["slide.tiff", "1 not tumour", "–"])
    table = panel.slides.table
    qtbot.mouseClick(table.viewport(), LEFT, pos=table.visualRect(table.model().index(0, 0)).center())
    qtbot.waitUntil(lambda: again.names == ["!tumour"])
    assert panel.correcting.board.layer is not None
    again.prediction = predicted
    show_prediction(again.viewer, predicted, 0)
    qtbot.waitUntil(panel.on_slide.isVisible)
    again.press("correct_is_not")
    again.settled(again.viewer)
    again.click(30, 30)
    assert "no patch there" in panel.problem.text()
    panel.correcting.session.choose_patch(panel.correcting.marks.patch_at(predicted, *(predicted.instances[0.5].xy[0] + 5)))
    again.press("correct_mark_chosen")
    again.lists(["slide.tiff", "2 not tumour", "–"])

    slide_path.rename(tmp_path / "elsewhere.tiff")
    again.press("correct_fine_tune")
    qtbot.waitUntil(lambda: "slide.tiff is gone" in panel.problem.text())
    assert panel.attempting.attempt.phase == "idle"
    (tmp_path / "elsewhere.tiff").rename(slide_path)
    (predicted.provenance["model"])["source"] = str(tmp_path / "no package")
    again.press("correct_fine_tune")
    qtbot.waitUntil(lambda: "no package" in panel.problem.text() and panel.attempting.attempt.phase == "idle")

    told, panel.attempting._watcher.run = panel.attempting._watcher, correction_run(tmp_path)
    told.tell("running", living=True)
    assert panel.attempting.attempt.phase == "running"
    assert not panel.tune_button.isEnabled()
    told.tell("failed", sentence="The disk is full; free some room and press Resume.")
    assert "disk is full" in panel.problem.text()
    assert panel.tune_button.isEnabled()
    assert own_file(panel.correcting.session.slide).exists() is False, "no file that nobody asked for"


def correction_run(folder):
    request = SimpleNamespace(task="fine-tune", manifest=folder / "run" / ".lesson" / "manifest.csv", model="bundled")
    return SimpleNamespace(folder=folder / "run", request=request)
