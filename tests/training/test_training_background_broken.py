"""Runs in the background whose files are damaged, gone, or wanted by two at once: one sentence, and nothing lost."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from test_training_background import LONG, epochs, make_study, plan_of, until, until_epoch, until_phase

import napari_wsimil as ws
from napari_wsimil.errors import TrainingError
from napari_wsimil.training.background import checks, launching
from napari_wsimil.training.background.folder import BackgroundFolder
from napari_wsimil.training.background.records import KeptScores, RunState, now
from napari_wsimil.training.background.reporting import Reporter
from napari_wsimil.training.events import Event, EventLog, read_events

GARBAGE = b'garbage\n{"kind": 1}\n[]\n{"kind": "fly", "stage": "train", "epoch": 0}\n\x00\xff\n'


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def asked(study, tmp_path, monkeypatch):
    """A run that was asked for, and that no process is at."""
    monkeypatch.setattr(launching, "launch", lambda *_, **__: None)
    return ws.start_run(plan_of(study, tmp_path / "run"))


def epoch(number, stage="train"):
    return Event("epoch", stage, number, {"losses": {"loss": 1.0}})


def test_damaged_files_are_passed_over(asked):
    files = BackgroundFolder(asked.folder)
    log = EventLog(files.path / "events.jsonl")
    log.append(epoch(0))
    with (files.path / "events.jsonl").open("ab") as file:
        file.write(GARBAGE)
    log.append(epoch(1))
    assert epochs(asked.poll()) == [0, 1]
    assert epochs(read_events(files.path / "events.jsonl")) == [0, 1]
    files.write("validation.json", KeptScores("train", 0, ("a", "b"), ("x",), (0,), ((0.1, 0.9),)))
    assert asked.scores().probabilities.shape == (1, 2)
    for targets, table in (((0,), ((0.1,),)), ((2,), ((0.1, 0.9),)), ((0,), ())):
        files.write("validation.json", KeptScores("train", 0, ("a", "b"), ("x",), targets, table))
        assert asked.scores() is None
    for name in ("control.json", "sight.json", "state.json"):
        (files.path / name).write_bytes(GARBAGE)
    assert (asked.watched, asked.sight(), asked.state().phase) == (None, None, "lost")
    asked.go_on()
    assert asked.state().phase == "starting"


@pytest.mark.parametrize(("fold", "folder"), [("", "."), ("fold 2, ", "fold-2")])
def test_an_epoch_that_was_kept_and_not_told_is_told_when_the_run_goes_on(tmp_path, fold, folder):
    """Its process was killed after the journal had it and before anybody else."""
    files = BackgroundFolder(tmp_path)
    files.make()
    own = EventLog(tmp_path / folder / "events.jsonl")
    for number in range(3):
        own.append(epoch(number))
    told = EventLog(files.path / "events.jsonl")
    told.append(epoch(0, f"{fold}train"))
    told.append(epoch(0, "fold 1, train"))
    report = Reporter(files)
    report.begin()
    report.event(Event("start", f"{fold}train", 2, {"resumed": True, "epochs": 5}))
    found = [event.epoch for event in read_events(files.path / "events.jsonl") if event.stage == f"{fold}train"]
    # the third is told again by the process that takes it again
    assert found == [0, 1, 2]
    assert [event.kind for event in read_events(files.path / "events.jsonl")][-1] == "start"


def test_a_run_whose_folder_is_moved_says_so_and_goes_on_where_it_is(study, tmp_path, warm_children):
    run = ws.start_run(plan_of(study, tmp_path / "run", epochs=LONG))
    until_epoch(run)
    run.pause()
    until_phase(run, "paused")
    (tmp_path / "run").rename(tmp_path / "moved")
    state = run.state()
    assert (state.phase, "is not there any more" in state.sentence) == ("lost", True)
    for act in (run.go_on, run.pause, run.stop, lambda: run.watch("a"), lambda: run.wait(1)):
        with pytest.raises(TrainingError, match="is not there any more"):
            act()
    assert not (tmp_path / "run").exists()
    warm_children.kill(tmp_path / "run")
    moved = ws.attach_run(tmp_path / "moved")
    until(lambda: not moved.state().living)
    moved.go_on()
    moved.pause()
    until_phase(moved, "paused")
    assert min(epochs(moved.poll())) == 0
    moved.stop()
    until_phase(moved, "stopped")


def test_of_two_that_start_at_once_one_does(study, tmp_path, monkeypatch):
    monkeypatch.setattr(launching, "launch", lambda *_, **__: None)
    both = threading.Barrier(2)
    monkeypatch.setattr(checks, "check_plan", lambda *_, **__: both.wait(60))
    outcomes = []

    def start(epochs):
        try:
            outcomes.append(ws.start_run(plan_of(study, tmp_path / "run", epochs=epochs)).request.settings["epochs"])
        except TrainingError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=start, args=(number,)) for number in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (won,) = (one for one in outcomes if isinstance(one, int))
    (lost,) = (one for one in outcomes if isinstance(one, str))
    assert "is being trained already" in lost
    assert ws.attach_run(tmp_path / "run").request.settings["epochs"] == won


def test_a_clock_that_was_wrong_keeps_nobody_waiting(asked, monkeypatch):
    """The state is of tomorrow, and nobody is at the run."""
    monkeypatch.setattr(launching, "_begun", {})
    BackgroundFolder(asked.folder).write("state.json", replace(RunState(), updated=now() + timedelta(days=1)))
    assert asked.state().phase == "failed"


def test_one_fold_alone_is_a_finished_run(study, tmp_path, run, warm_children):
    out = tmp_path / "a run"
    rows = [f"{study.parent / f'{number}.pt'},{('benign', 'tumour')[number % 2]}" for number in range(16)]
    (tmp_path / "table.csv").write_text("\n".join(["slide,label", *rows]))
    wish = ["--method", "abmil", "--folds", 3, "--fold", 2, "--epochs", 1, "--device", "cpu", "--set", "hidden=8"]
    code, said, _ = run("train", tmp_path / "table.csv", *wish, "--out", out, "--detach")
    assert (code, f"napari-wsimil runs follow '{out}'" in said) == (0, True)
    code, said, error = run("runs", "follow", out)
    assert (code, "slides: roc auc" in said) == (0, True), error
    (fold,) = ws.attach_run(out).wait().folds
    assert fold.folder == out / "fold-2"
    for act in ("pause", "stop"):
        code, _, error = run("runs", act, out)
        assert (code, "does not run (it is finished)." in error) == (2, True)


def test_a_process_whose_folder_is_deleted_ends_without_making_it_again(study, tmp_path, warm_children):
    run = ws.start_run(plan_of(study, tmp_path / "run", epochs=LONG))
    until_epoch(run)
    child = launching._launched[run.folder]
    end = time.monotonic() + 60
    while child.poll() is None:
        assert time.monotonic() < end
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        time.sleep(0.05)
    assert not (tmp_path / "run").exists()
