"""What becomes known of a run from its events: stages, curves, epochs, time; and what else a window reads of it."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest
import torch

from napari_wsimil.training.evaluation.judgement import judgement
from napari_wsimil.training.events import Event
from napari_wsimil.training.history import SLOW_EPOCH, History
from napari_wsimil.training.learning_curve import MOST_POINTS, Curve
from napari_wsimil.training.lrmil.context import STAGES
from napari_wsimil.training.pace import Pace
from napari_wsimil.training.runs.plan import TrainingPlan
from napari_wsimil.training.runs.run import train_steps
from napari_wsimil.training.runs.validation_slides import validation_slides


def told(*events):
    history = History()
    history.take(events)
    return history


def start(epochs=10, stage="train", epoch=0, **more):
    return Event("start", stage, epoch, {"epochs": epochs, "slides": 4, "resumed": False, **more})


def step(epoch, number, steps=4, stage="train", phase="slides", loss=1.0, **more):
    losses = {"loss": loss, **more.pop("losses", {})}
    return Event(
        "step", stage, epoch, {"phase": phase, "step": number, "steps": steps, "losses": losses, "seconds_left": 30.0, **more}
    )


def ended(epoch, stage="train", seconds=2.0, best=None, losses=None, **validation):
    data = {
        "losses": losses or {"loss": 1 / (epoch + 1)},
        "validation": {"loss": 2 / (epoch + 1), "auc": 0.5 + epoch / 100, "balanced_accuracy": 0.5, "f1": 0.4, **validation},
        "learning_rate": 1e-3,
        "seconds": seconds * (epoch + 1),
        "best": True,
        "best_epoch": epoch if best is None else best,
    }
    return Event("epoch", stage, epoch, data)


def states(history):
    return [(stage.name, stage.state) for stage in history.stages]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A manifest with 24 small tables of features."""
    folder, random = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["slide", "label"])
        for number in range(24):
            features = random.normal(size=(6, 4)).astype(np.float32)
            features[:, 0] += 1.5 * (number % 2)
            torch.save(torch.from_numpy(features), folder / f"{number}.pt")
            rows.writerow([f"{number}.pt", ["benign", "tumour"][number % 2]])
    return folder / "manifest.csv"


def until_trained(plan):
    """The events of a run up to the end of its training."""
    found = []
    with closing(train_steps(plan, resume=True)) as steps:
        for event in steps:
            found.append(event)
            if event.kind == "finish":
                return found
    return found


def test_it_needs_neither_torch_nor_a_window():
    code = (
        "import sys, napari_wsimil.training.history, napari_wsimil.training.events;"
        "sys.exit(bool({'torch', 'qtpy', 'napari'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_stages_of_a_run_in_plain_words():
    history = told()
    assert states(history) == [(name, "waiting") for name in ("Features", "Training", "Evaluation", "Report")]
    assert (history.stage, history.epoch, history.seconds_left, history.best_epoch) == ("", 0, None, None)
    making = {"what": "slide-3", "done": 2, "total": 8, "patches": 50, "of": 100, "seconds_left": 90.0}
    history.take([Event("stage", "features"), Event("progress", "features", 0, making)])
    assert states(history)[:2] == [("Features", "running"), ("Training", "waiting")]
    assert history.progress == ("slide-3", 2.5, 8.0)
    assert history.seconds_left == 90.0
    history.take([Event("stage", "train"), start(), step(0, 2)])
    assert [state for _, state in states(history)] == ["done", "running", "waiting", "waiting"]
    assert (history.epoch, history.epochs, history.trains, history.seconds_left) == (1, 10, True, 30.0)
    assert history.progress == ("", 0.5, 10.0)
    history.take(
        [ended(0), Event("finish", "train", 1, {"best_epoch": 0, "stopped": "patience"}), Event("stage", "evaluation")]
    )
    assert not history.trains
    assert (history.epoch, history.best_epoch, history.seconds_left, history.stage_name) == (1, 1, None, "Evaluation")
    history.take([Event("progress", "evaluation", 0, {"what": "test slides", "done": 0, "total": 6})])
    assert history.progress == ("test slides", 0.0, 6.0)
    history.finish()
    assert {state for _, state in states(history)} == {"done"}
    assert history.progress == ("", 1.0, 1.0)


def test_curves_have_names_that_people_use():
    history = told(start(), *(step(0, number, loss=number) for number in range(1, 5)), ended(0), ended(1, auc=math.nan))
    assert history.curve("loss") == ([1, 2], [1.0, 0.5])
    assert history.curve("validation loss") == ([1, 2], [2.0, 1.0])
    assert history.curve("roc auc") == ([1], [0.5])  # what is not a number is no point
    assert history.curve("balanced accuracy")[1] == [0.5, 0.5]
    assert history.curve("f1")[1] == [0.4, 0.4]
    assert history.curve("learning rate")[1] == [1e-3, 1e-3]
    assert history.curve("loss of steps") == ([0.25, 0.5, 0.75, 1.0], [1.0, 2.0, 3.0, 4.0])
    assert history.curve("nothing of the kind") == ([], [])
    assert history.curve("loss", "no such stage") == ([], [])
    assert history.parts() == []


def test_time_left_counts_epochs_and_slow_ones_are_known():
    begun = Event("stage", "train"), start()
    quick, slow = told(*begun, ended(0, seconds=2.0)), told(*begun, ended(0, seconds=2 * SLOW_EPOCH))
    assert quick.seconds_left == pytest.approx(18.0)
    assert not quick.slow_epochs()
    assert slow.slow_epochs()
    assert told(start(), step(0, 1)).slow_epochs()  # nobody knows yet how long one takes


def test_a_resumed_run_takes_steps_again():
    history = told(start(), *(step(0, n) for n in (1, 2, 3, 4)), ended(0), *(step(1, n, loss=9.0) for n in (1, 2, 3)))
    history.take([Event("stage", "features"), Event("stage", "train"), start(epoch=1, resumed=True)])
    assert (history.epoch, history.curve("loss")[0]) == (2, [1])
    history.take([step(1, 2, loss=5.0)])
    xs, ys = history.curve("loss of steps")
    assert xs == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]
    assert ys[-2:] == [9.0, 5.0]
    history.take([ended(0, losses={"loss": 7.0})])
    assert history.curve("loss") == ([1], [7.0])
    # begun anew, and not gone on with
    history.take([start()])
    assert history.curves() == []


def test_a_cross_validation_says_which_fold():
    history = told(
        Event("stage", "fold 1", 0, {"fold": 1, "folds": 3}),
        Event("stage", "fold 1, features"),
        Event("stage", "fold 1, train"),
        start(stage="fold 1, train"),
        ended(0, "fold 1, train"),
    )
    assert (history.fold, history.folds, history.stage) == (1, 3, "train")
    assert history.trains
    history.take([Event("stage", "fold 2", 0, {"fold": 2, "folds": 3})])
    assert {state for _, state in states(history)} == {"waiting"}
    history.take([Event("stage", "fold 2, train"), start(stage="fold 2, train"), step(0, 1, stage="fold 2, train")])
    assert list(history.trainings) == ["fold 1, train", "fold 2, train"]
    assert history.title_of("fold 1, train") == "Fold 1: Training"
    assert history.curve("loss") == ([], [])
    assert history.curve("loss", "fold 1, train") == ([1], [1.0])


def test_lrmil_shows_its_five_steps():
    first, second = list(STAGES)[:2]
    about = {"number": 1, "stages": 5, "title": STAGES[first], "titles": STAGES, "finished": False}
    history = told(Event("stage", "features"), Event("stage", "train"), Event("stage", first, 0, about))
    names = [name for name, _ in states(history)]
    assert names == [*(f"{n}. {words}" for n, words in enumerate(STAGES.values(), 1)), "Evaluation", "Report"]
    history.take([Event("stage", second, 0, about), start(stage=second), step(3, 1, stage=second)])
    assert states(history)[:3] == [(names[0], "done"), (names[1], "running"), (names[2], "waiting")]
    assert (history.epoch, history.title_of(second)) == (4, "2. Teacher of the fine patches")


def test_a_curve_stays_small_and_keeps_its_shape():
    curve = Curve()
    for number in range(50_000):
        curve.put(number, 2.0 * number)
    xs, ys = curve.points()
    assert MOST_POINTS <= len(curve) == len(xs) < 2 * MOST_POINTS
    assert xs[-1] == 49_999
    assert np.all(np.diff(xs) > 0)
    assert np.allclose(np.array(ys), 2 * np.array(xs), atol=200)
    curve.cut(100)
    assert curve.points()[0][-1] < 100


def test_pace_leaves_out_what_was_there_already(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    pace = Pace()
    assert pace.left(0, 4) is None
    pace.passed(1)  # in no time: it was there
    clock[0] = 0.5
    assert pace.left(1.5, 4) is None  # too soon to say
    clock[0] = 10.0
    assert pace.left(2, 4) == pytest.approx(20.0)
    pace.passed(2)
    clock[0] = 30.0
    assert pace.left(4, 4) == 0


def test_weno_tells_how_teacher_and_student_do(study, tmp_path):
    parameters = {"hidden": 8, "attention": 4, "student": 8, "projection": 8}
    events = until_trained(TrainingPlan(study, "weno", tmp_path / "run", parameters=parameters, settings={"epochs": 2}))
    history = told(*events)
    assert history.parts() == ["teacher", "student"]
    assert history.curve("validation student auc") == history.curve("roc auc")
    taught = history.curve("validation teacher auc")
    assert taught[0] == [1, 2]
    assert all(0 <= value <= 1 for value in taught[1])
    assert history.curve("teacher of steps")[0][-1] < history.curve("student of steps")[0][-1]
    # the plain method has no student to be compared with
    plain = TrainingPlan(
        study, "weno", tmp_path / "plain", parameters={**parameters, "answer": "teacher"}, settings={"epochs": 1}
    )
    assert "validation teacher auc" not in told(*until_trained(plain)).curves()


def test_the_teacher_is_judged_by_what_it_says_of_slides(study, tmp_path):
    from napari_wsimil.mil import build_mil
    from napari_wsimil.training.bag_sets import FileBags
    from napari_wsimil.training.data.manifest import read_manifest
    from napari_wsimil.training.recipes.weno import WENORecipe, WENOSettings

    manifest = read_manifest(study)
    bags = FileBags(manifest.cases, [manifest.target(case) for case in manifest.cases])
    torch.manual_seed(0)
    network = build_mil("weno", 4, 2, {"hidden": 8, "attention": 4, "student": 8, "projection": 8})
    judged = WENORecipe(network, bags, WENOSettings()).judge(bags)
    with torch.no_grad():
        says = [network.teacher(network.encoder(bags.bag(row).features(bags.mpps[-1])))[1] for row in range(len(bags))]
    scores = np.array([float(logits[1] - logits[0]) for logits in says])
    positive = np.asarray(bags.targets) > 0
    wins = (scores[positive][:, None] > scores[~positive][None]).mean()
    assert judged["teacher_auc"] == pytest.approx(wins)
    assert not network.teacher._forward_hooks


def test_judgement_counts_and_draws():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7], [0.5, 0.5]])
    found = judgement("train", 3, ("normal", "tumour"), [0, 0, 1, 1, -1], probabilities)
    assert found.counts.tolist() == [[1, 1], [0, 2]]
    assert (found.correct, found.slides) == (3, 4)
    (curve,) = found.curves
    assert (curve.name, curve.auc) == ("tumour", 1.0)
    assert (curve.false[0], curve.true[-1]) == (0.0, 1.0)
    several = judgement("train", 0, ("a", "b", "c"), [0, 1, 1, 0], np.eye(3)[[0, 1, 2, 0]])
    assert [curve.name for curve in several.curves] == ["a", "b"]  # no slide is of class c
    assert judgement("train", 0, ("a", "b"), [], []).curves == ()


def test_validation_slides_are_known_from_the_first_moment(study, tmp_path):
    plan = TrainingPlan(study, "abmil", tmp_path / "run", settings={"epochs": 1})
    assert validation_slides(tmp_path / "run") == ()
    with closing(train_steps(plan)) as steps:
        next(steps)
        found = validation_slides(tmp_path / "run")
    assert 0 < len(found) < 24
    assert all(slide.path.is_file() and slide.name == slide.path.stem and slide.mpp is None for slide in found)
    with closing(train_steps(TrainingPlan(study, "abmil", tmp_path / "folds", settings={"epochs": 1}, folds=2))) as steps:
        assert next(event for event in steps if event.stage == "fold 1, features")
        assert validation_slides(tmp_path / "folds")


def test_features_of_all_sides_are_counted_together(tiny_slide, random_encoder, tmp_path):
    from pathlib import Path

    from napari_wsimil.inference.extraction import patch_specs
    from napari_wsimil.training.bag_sets import SlideBags
    from napari_wsimil.training.data.manifest import Case
    from napari_wsimil.training.runs.sources import prepare

    encoder, _ = random_encoder
    specs = patch_specs(encoder, (0.5,), None)
    sets = [
        SlideBags([Case(name, Path(tiny_slide), "a", name)], [0], encoder, specs, store=tmp_path)
        for name in ("teaches", "judges")
    ]
    events = list(prepare(*sets))
    assert {event.data["total"] for event in events} == {2}
    assert {(event.data["what"], event.data["done"]) for event in events} == {("teaches", 0), ("judges", 1)}
    assert all("seconds_left" in event.data for event in events)


def test_a_fine_tuning_compares_before_its_report():
    history = told(Event("stage", "features"), Event("stage", "train"), start(1), ended(0), Event("stage", "evaluation"))
    assert [stage.name for stage in history.stages][-1] == "Report"
    history.take([Event("stage", "comparison")])
    assert [(stage.name, stage.state) for stage in history.stages] == [
        ("Features", "done"),
        ("Training", "done"),
        ("Evaluation", "done"),
        ("Before and after", "running"),
        ("Report", "waiting"),
    ]
