"""The live view of a training: what the window shows of a run while it goes, from what a test makes up."""

from __future__ import annotations

import csv
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget

import napari_wsimil as ws
from napari_wsimil.inference.prediction import PatchSet
from napari_wsimil.training.background import RunState, Sight, ValidationScores
from napari_wsimil.training.evaluation.judgement import judgement
from napari_wsimil.training.events import Event
from napari_wsimil.training.history import History
from napari_wsimil.widgets.parts import Column, scrolled
from napari_wsimil.widgets.slide_layer import facts
from napari_wsimil.widgets.training.live import LiveView
from napari_wsimil.widgets.training.live.colours import look_of
from napari_wsimil.widgets.training.live.drift import Drift
from napari_wsimil.widgets.training.live.lines import MOST_DRAWN, Line, figure_lines, loss_lines
from napari_wsimil.widgets.training.watcher import RunWatcher

CLASSES = ("normal", "tumour")


class MadeUpRun:
    """As a `BackgroundRun` is seen from the window; a test says what happens."""

    def __init__(self, folder, told=None):
        self.folder = folder
        self.told = told or SimpleNamespace(events=[], state=RunState(phase="running"), scores=None, sight=None, watched=None)
        self._read = 0

    def again(self):
        return MadeUpRun(self.folder, self.told)

    def state(self):
        return self.told.state

    def poll(self):
        new = self.told.events[self._read :]
        self._read += len(new)
        return new

    def scores(self):
        return self.told.scores

    def sight(self):
        return self.told.sight

    @property
    def watched(self):
        return self.told.watched

    def watch(self, name):
        self.told.watched = name

    def tell(self, *events):
        self.told.events.extend(events)


def begun(stage="train", epochs=20):
    about = {"epochs": epochs, "slides": 8, "resumed": False}
    return [Event("stage", "features"), Event("stage", "train"), Event("start", stage, 0, about)]


def epoch(number, stage="train", losses=None, **validation):
    fall = 1 / (number + 1)
    told = {"loss": 1.2 * fall, "auc": 1 - 0.4 * fall, "balanced_accuracy": 0.9 - 0.4 * fall, "f1": 0.8 - 0.3 * fall}
    data = {"losses": losses or {"loss": fall}, "validation": {**told, **validation}, "learning_rate": 1e-3}
    return Event("epoch", stage, number, {**data, "seconds": number + 1.0, "best": True, "best_epoch": max(number - 1, 0)})


def manifest(folder, slides):
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["slide", "name", "label", "patient", "split", "annotation", "mpp"])
        rows.writerow([folder / "teaches.tiff", "teaches", "normal", "p0", "train", "", ""])
        rows.writerows([path, path.stem, "tumour", "p1", "validation", "", ""] for path in slides)


def scores(number, right=5):
    """Of 6 slides, the last of which are misjudged."""
    probabilities = np.array([[0.8, 0.2], [0.1, 0.9]] * 3)
    probabilities[right:] = probabilities[right:, ::-1]
    names = tuple(f"slide-{row}" for row in range(6))
    return ValidationScores("train", number, CLASSES, names, np.array([0, 1] * 3), probabilities)


@pytest.fixture
def seen(sample, made_up, tmp_path):
    """Call it to get a `Sight` of the sample after an epoch; zoomed regions where rows of patches are given."""

    def look(number, rows=(), mpp=0.5):
        with ws.open_slide(sample) as slide:
            prediction = made_up(slide, seed=number + 1)
        table = prediction.attention[0.5]
        if rows:
            zoom = {0.5: PatchSet(table.xy[list(rows)], table.size_level0, np.arange(len(rows), 0, -1).astype(np.float32))}
            prediction = replace(prediction, zoom=zoom)
        if mpp != 0.5:
            prediction = replace(prediction, attention={mpp: table}, instances={})
        return Sight("train", number, sample.stem, prediction.save(tmp_path / f"sight-{number}.h5"))

    return look


@pytest.fixture
def live(make_napari_viewer_proxy, qtbot):
    """Call it to get a window with the live view in a dock of 300 px."""

    def build(*slides):
        viewer = make_napari_viewer_proxy(show=True)
        viewer.window.resize(1280, 800)
        for path in slides:
            viewer.open(str(path), plugin="napari-wsimil")
        host = Column()
        watcher = RunWatcher(host)
        view = LiveView(viewer, watcher)
        host.column.addWidget(view)
        host.column.addStretch(1)
        area = scrolled(host)
        area.setFixedWidth(300)
        dock = viewer.window.add_dock_widget(area, area="right", name="Training", tabify=False)
        qtbot.waitUntil(view.isVisible)
        return SimpleNamespace(viewer=viewer, watcher=watcher, view=view, area=area, dock=dock)

    return build


def drawn_in(widget, colour):
    """Whether any pixel of a widget nearly has a colour."""
    picture = widget.grab().toImage()
    wanted = QColor(colour)
    near = (
        abs(QColor(picture.pixel(x, y)).red() - wanted.red())
        + abs(QColor(picture.pixel(x, y)).green() - wanted.green())
        + abs(QColor(picture.pixel(x, y)).blue() - wanted.blue())
        for x in range(0, picture.width(), 2)
        for y in range(picture.height())
    )
    return any(far < 60 for far in near)


def test_a_run_from_its_first_stage_to_its_last_epoch(live, qtbot, tmp_path):
    window = live()
    view, run = window.view, MadeUpRun(tmp_path)
    assert view.nothing.isVisible()
    assert not view.stages.isVisible()
    assert not view.plots

    about = {"what": "case-7", "done": 2, "total": 9, "patches": 1, "of": 2, "seconds_left": 130.0}
    run.tell(Event("stage", "features"), Event("progress", "features", 0, about))
    window.watcher.attach(run)
    assert not view.nothing.isVisible()
    qtbot.waitUntil(lambda: "case-7 (3 of 9)" in view.stages.doing.text())
    assert "2 min 10 s left" in view.stages.doing.text()
    assert "<b>▶ Features</b>" in view.stages.stages.text()
    assert view.stages.bar.value() == round(1000 * 2.5 / 9)

    run.tell(*begun(), *(epoch(number) for number in range(3)))
    run.told.scores = scores(2)
    qtbot.waitUntil(lambda: {"loss", "figures", "rate", "roc"} <= set(view.plots))
    loss, figures = view.plots["loss"], view.plots["figures"]
    qtbot.waitUntil(lambda: [line.name for line in figures.lines] == ["ROC AUC", "balanced accuracy", "F1"])
    assert [line.name for line in loss.lines] == ["training", "validation"]
    qtbot.waitUntil(lambda: loss.best == figures.best == 2)
    qtbot.waitUntil(lambda: "validation 0.400" in loss.canvas.accessibleDescription())
    assert "best epoch 2" in loss.canvas.accessibleDescription()
    qtbot.waitUntil(lambda: "✓ Features" in view.stages.stages.text())
    qtbot.waitUntil(lambda: "epoch 3 of 20" in view.stages.stages.text())
    look = look_of(window.viewer.theme)
    assert drawn_in(loss.canvas, look.line(0))
    assert drawn_in(loss.canvas, look.line(1))

    # how the slides are told apart
    qtbot.waitUntil(view.matrix.isVisible)
    qtbot.waitUntil(lambda: view.verdict.text() == "After epoch 3: 5 of 6 right.")
    assert "1 of 3 slides of tumour are said to be normal" in view.matrix.accessibleDescription()
    assert "3 of 3 slides of normal are said to be normal" in view.matrix.accessibleDescription()
    assert drawn_in(view.matrix, QColor(look.text))
    assert "tumour, AUC 0." in view.plots["roc"].canvas.accessibleDescription()

    # no part of it is wider than the dock
    assert view.minimumSizeHint().width() <= 280

    # the arrow keys go through the epochs; pyqtgraph's menu never comes
    window.area.ensureWidgetVisible(loss.canvas)
    loss.canvas.setFocus()
    qtbot.keyClick(loss.canvas, Qt.Key.Key_Left)
    qtbot.keyClick(loss.canvas, Qt.Key.Key_Left)
    assert loss.canvas.accessibleDescription().startswith("epoch 2, training 0.500")
    qtbot.keyClick(loss.canvas, Qt.Key.Key_Right)
    assert loss.canvas.accessibleDescription().startswith("epoch 3")
    qtbot.keyClick(loss.canvas, Qt.Key.Key_Right)
    assert loss.canvas.accessibleDescription().startswith("epoch 3")
    loss.canvas.clearFocus()
    qtbot.mouseMove(loss.canvas.viewport(), QPoint(4, 40))
    qtbot.mouseMove(loss.canvas.viewport(), QPoint(120, 40))
    qtbot.waitUntil(lambda: loss.canvas.accessibleDescription().startswith("epoch "))
    assert not loss.item.menuEnabled()

    # the light theme has other colours
    window.viewer.theme = "light"
    qtbot.waitUntil(lambda: drawn_in(loss.canvas, look_of("light").line(1)))
    assert look_of("light").line(0) in loss.legend.text()
    ground = QColor(loss.canvas.grab().toImage().pixelColor(2, loss.canvas.height() - 2))
    assert ground.name() == QColor(look_of("light").background).name()

    for phase, words in (("paused", "Paused"), ("failed", "Failed"), ("stopped", "Stopped")):
        run.told.state = RunState(phase=phase)
        qtbot.waitUntil(lambda words=words: view.stages.doing.text().startswith(words))
    run.tell(Event("finish", "train", 3, {"best_epoch": 1, "stopped": "patience"}), Event("stage", "evaluation"))
    run.told.state = RunState(phase="finished")
    window.watcher.hurry()
    qtbot.waitUntil(lambda: view.stages.doing.text().startswith("Finished after 3 epochs, since it got no better"))
    assert view.stages.stages.text().count("✓") == 4
    assert not view.stages.bar.isVisible()

    window.watcher.attach(None)
    assert view.nothing.isVisible()
    assert not any(widget.isVisible() for widget in (view.stages, view.matrix, loss, view.plots["roc"]))


def test_what_it_sees_is_drawn_on_the_open_slide(live, qtbot, tmp_path, sample, made_up, seen, write_slide):
    other = write_slide(tmp_path / "other.tiff")
    manifest(tmp_path, [other, sample])
    window = live(sample)
    viewer, watch = window.viewer, window.view.watch
    with ws.open_slide(sample) as slide:
        from napari_wsimil.widgets.results import show_prediction

        show_prediction(viewer, made_up(slide), 3)
    usual = next(layer for layer in viewer.layers if facts(layer).get("kind") == "attention")
    assert usual.visible
    viewer.layers.selection.active = next(layer for layer in viewer.layers if facts(layer).get("kind") == "slide")

    run = MadeUpRun(tmp_path)
    run.tell(*begun())
    window.watcher.attach(run)
    qtbot.waitUntil(lambda: run.watched == sample.stem)  # the open slide is one of them
    assert [watch.combo.itemText(row) for row in range(watch.combo.count())] == ["No slide", "other", sample.stem]
    assert watch.combo.currentText() == sample.stem
    assert not watch.open_button.isVisible()

    run.told.sight = seen(0)
    qtbot.waitUntil(lambda: len(watch.layers.layers) == 1)
    (layer,) = watch.layers.layers
    assert layer.name == "Attention in training, epoch 1"
    assert watch.note.text() == "Attention after epoch 1."
    assert not usual.visible
    assert viewer.layers.selection.active != layer
    assert layer.extent.world[1][0] == pytest.approx(usual.extent.world[1][0])
    before = layer.data.copy()

    run.told.sight = seen(1, rows=(0, 1, 2, 3))
    qtbot.waitUntil(lambda: layer.name == "Attention in training, epoch 2")
    assert watch.layers.layers[0] == layer
    assert not np.array_equal(before, layer.data, equal_nan=True)
    qtbot.waitUntil(lambda: len(watch.layers.layers) == 2)
    boxes = watch.layers.layers[1]
    assert boxes.name == "Zoomed into in training at 0.5 µm/px, epoch 2"
    assert len(boxes.data) == 4
    assert not watch.drift_text.isVisible()

    run.told.sight = seen(2, rows=(2, 3, 4))
    qtbot.waitUntil(lambda: len(boxes.data) == 3)
    qtbot.waitUntil(lambda: boxes.name.endswith("epoch 3"))
    assert len({tuple(colour) for colour in boxes.edge_color}) == 2  # what is new has another colour
    assert watch.drift_text.text() == "67 % of the zoomed regions are those of epoch 2"
    assert len(viewer.layers) == len(set(map(id, viewer.layers)))

    # a layer that was taken away does not come back
    viewer.layers.remove(boxes)
    run.told.sight = seen(3, rows=(0, 1))
    qtbot.waitUntil(lambda: layer.name.endswith("epoch 4"))
    assert watch.layers.layers == [layer]

    # the next of several stages looks at another magnification
    coarser = seen(4, mpp=2.0)
    run.told.sight = replace(coarser, stage="5-student", epoch=0)
    qtbot.waitUntil(lambda: layer not in viewer.layers)
    assert [one.name for one in watch.layers.layers] == ["Attention in training, epoch 1"]
    layer = watch.layers.layers[0]

    # another slide: opened by the button
    watch.combo.setCurrentIndex(1)
    watch.combo.activated.emit(1)
    qtbot.waitUntil(lambda: run.watched == "other")
    assert layer not in viewer.layers
    assert usual.visible
    assert watch.open_button.isVisible()
    window.area.ensureWidgetVisible(watch.open_button)
    qtbot.mouseClick(watch.open_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: any(facts(one).get("path") == str(other) for one in viewer.layers))
    qtbot.waitUntil(lambda: not watch.open_button.isVisible())

    # what could not be seen is said
    run.told.sight = Sight("train", 4, "other", None, "The places of its patches are not known.")
    qtbot.waitUntil(lambda: watch.note.text() == "The places of its patches are not known.")

    # the layers go with the run, unless they are to stay
    watch.combo.setCurrentIndex(2)
    watch.combo.activated.emit(2)
    qtbot.waitUntil(lambda: run.watched == sample.stem)
    run.told.sight = seen(5)
    qtbot.waitUntil(lambda: len(watch.layers.layers) == 1)
    window.watcher.attach(None)
    assert not any("in training" in one.name for one in viewer.layers)
    window.watcher.attach(run)
    qtbot.waitUntil(lambda: len(watch.layers.layers) == 1)
    watch.stay.setChecked(True)
    window.watcher.attach(None)
    assert [one.name for one in viewer.layers if "in training" in one.name] == ["Attention in training, epoch 6"]
    viewer.layers.pop()

    # and with the dock
    watch.stay.setChecked(False)
    window.watcher.attach(run)
    qtbot.waitUntil(lambda: len(watch.layers.layers) == 1)
    viewer.window.remove_dock_widget(window.dock)
    window.area.deleteLater()
    qtbot.waitUntil(lambda: not any("in training" in one.name for one in viewer.layers))


def test_several_trainings_can_be_looked_at(live, qtbot, tmp_path):
    window = live()
    view, run = window.view, MadeUpRun(tmp_path)
    for fold in (1, 2):
        stage = f"fold {fold}, train"
        run.tell(Event("stage", f"fold {fold}", 0, {"fold": fold, "folds": 3}), Event("stage", stage))
        run.tell(Event("start", stage, 0, {"epochs": 9, "slides": 4}), *(epoch(number, stage) for number in range(2 + fold)))
    window.watcher.attach(run)
    qtbot.waitUntil(view.choice.isVisible)
    assert view.stages.fold.text() == "Fold 2 of 3"
    assert view.choice.currentText() == "Curves of: Fold 2: Training"
    qtbot.waitUntil(lambda: "loss" in view.plots and view.plots["loss"].lines[0].xs == [1, 2, 3, 4])
    qtbot.keyClick(view.choice, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: view.plots["loss"].lines[0].xs == [1, 2, 3])
    # who looks at an earlier one goes on doing so
    run.tell(epoch(4, "fold 2, train"))
    qtbot.wait(400)
    assert view.choice.currentIndex() == 0
    assert view.plots["loss"].lines[0].xs == [1, 2, 3]


def test_a_long_history_is_told_in_pieces_and_the_thread_ends_with_its_widget(qtbot, tmp_path):
    parent = QWidget()
    watcher = RunWatcher(parent)
    run = MadeUpRun(tmp_path)
    run.tell(*begun(), *(epoch(number) for number in range(3000)))
    pieces, states = [], []
    watcher.events.connect(lambda events: pieces.append(len(events)))
    watcher.state_changed.connect(lambda state: states.append((state.phase, sum(pieces))))
    run.told.state = RunState(phase="finished")
    watcher.attach(run)
    qtbot.waitUntil(lambda: bool(states))
    assert max(pieces) <= 500
    assert states == [("finished", 3003)]  # after all of its events
    assert watcher.history.epoch == 3000
    assert watcher.state.phase == "finished"
    # the same run again: told anew
    watcher.attach(run)
    assert watcher.history.epoch == 0
    qtbot.waitUntil(lambda: watcher.history.epoch == 3000)
    watcher.attach(MadeUpRun(tmp_path / "gone"))
    parent.deleteLater()
    qtbot.waitUntil(lambda: not any(thread.name == "wsimil-run-reader" for thread in threading.enumerate()))


def test_a_run_that_can_not_be_read_now_is_read_later(qtbot, tmp_path):
    class Broken(MadeUpRun):
        broken = True

        def again(self):
            return self

        def poll(self):
            if self.broken:
                raise OSError("the disk is away")
            return super().poll()

    parent = QWidget()
    qtbot.addWidget(parent)
    watcher, run = RunWatcher(parent), Broken(tmp_path)
    run.tell(*begun(), epoch(0))
    watcher.attach(run)
    qtbot.waitUntil(lambda: watcher.state is not None)
    assert watcher.history.epoch == 0
    run.broken = False
    qtbot.waitUntil(lambda: watcher.history.epoch == 1)
    watcher.attach(None)


def test_which_curves_are_shown_together():
    history = History()
    losses = {"loss": 0.6, "teacher": 0.7, "student": 0.2}
    steps = [
        Event("step", "train", 0, {"phase": phase, "step": 1, "steps": 2, "losses": {"loss": 0.5, phase: 0.5}})
        for phase in ("teacher", "student")
    ]
    history.take([*begun(), *steps])
    assert [line.name for line in loss_lines(history)] == ["steps of the teacher", "steps of the student"]
    history.take([epoch(0, losses=losses, teacher_auc=0.7, student_auc=0.8)])
    assert [line.name for line in loss_lines(history)] == ["teacher", "student", "validation"]
    shown = [line.name for line in figure_lines(history)]
    assert shown == ["ROC AUC of the teacher", "ROC AUC of the student", "balanced accuracy", "F1"]
    parts = History()
    parts.take([*begun(), epoch(0, losses={"loss": 1.0, "bag": 0.6, "instance_loss": 0.4})])
    assert [line.name for line in loss_lines(parts)] == ["training", "validation", "slide labels", "instance loss"]
    # LRMIL's student has a teacher among the parts of its loss, and learns by itself
    parts.take([epoch(1, losses={"loss": 1.0, "bag": 0.6, "teacher": 0.4})])
    assert [line.name for line in loss_lines(parts)][:2] == ["training", "validation"]


def test_a_line_is_drawn_with_few_points():
    line = Line("training", list(range(1000)), [float(x % 2) for x in range(1000)], 0)
    xs, ys = line.drawn()
    assert len(xs) == len(ys) == MOST_DRAWN
    assert (xs[-1], ys[-1]) == (999, 1.0)
    assert all(0.3 < y < 0.7 for y in ys[:-1])
    assert line.value_at(4) == 0.0
    assert line.value_at(-1) is None


def test_drift_of_what_is_zoomed_into():
    def chosen(*columns):
        xy = np.array([[column, 0] for column in columns], np.int64)
        return {2.0: PatchSet(xy, 8.0, np.ones(len(columns), np.float32))}

    drift = Drift()
    drift.look(1, chosen(0, 1, 2, 3))
    assert (drift.text, drift.new[2.0].tolist()) == ("", [False] * 4)
    drift.look(3, chosen(2, 3, 9, 8))
    assert drift.text == "50 % of the zoomed regions are those of epoch 1"
    assert drift.new[2.0].tolist() == [False, False, True, True]
    drift.look(4, chosen(2, 3, 9, 8))
    assert (drift.epochs, drift.shares) == ([3, 4], [0.5, 1.0])
    drift.look(4, chosen(0))  # gone on with after a kill
    assert (drift.epochs, drift.shares) == ([3, 4], [0.5, 0.0])


def test_a_matrix_of_many_classes_is_told_to_those_who_do_not_see_it(qtbot):
    from napari_wsimil.widgets.training.live.confusion import ConfusionMatrix

    matrix = ConfusionMatrix()
    qtbot.addWidget(matrix)
    names = tuple(f"class {number}" for number in range(6))
    matrix.show_judgement(judgement("train", 0, names, np.arange(6), np.eye(6)[[0, 1, 2, 3, 4, 0]]))
    matrix.colour(look_of("dark"))
    matrix.resize(280, matrix.sizeHint().height())
    matrix.show()
    assert "1 of 1 slides of class 5 are said to be class 0" in matrix.accessibleDescription()
    assert drawn_in(matrix, look_of("dark").text)
