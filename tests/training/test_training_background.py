"""Trainings in processes of their own: what they tell, how they are stopped and killed, and that nothing is lost."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

import napari_wsimil as ws
from napari_wsimil.errors import CancelledError, SlideError, TrainingError
from napari_wsimil.training.background import child, handle, launching, recent
from napari_wsimil.training.background.folder import BackgroundFolder
from napari_wsimil.training.background.records import RunState
from napari_wsimil.training.background.requests import FineTuneRequest, TrainRequest, request_of
from napari_wsimil.training.background.sentences import sentence_of
from napari_wsimil.training.events import Event
from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
from napari_wsimil.training.runs.plan import TrainingPlan
from napari_wsimil.training.runs.run import train_steps

SETTINGS = {"epochs": 30, "learning_rate": 1e-2, "patience": 0}
PARAMETERS = {"hidden": 8, "attention": 4, "dropout": 0.25}
CLASSES = ["benign", "tumour"]
LONG = 5000
WEIGHTS = "model/weights.safetensors"


def write_manifest(path, rows, heads=("slide", "label")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([heads, *rows])
    return path


def make_study(folder, slides=16):
    """A manifest with tables of features that are nobody's, and lie nowhere."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(slides):
        features = random.normal(size=(int(random.integers(3, 12)), 6)).astype(np.float32)
        features[:, 0] += 1.5 * (number % 2)
        torch.save(torch.from_numpy(features), folder / f"{number}.pt")
        side = "train" if number < 10 else "validation" if number < 14 else "test"
        rows.append([f"{number}.pt", CLASSES[number % 2], side])
    return write_manifest(folder / "manifest.csv", rows, ("slide", "label", "split"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"))


def plan_of(study, out, **settings):
    return TrainingPlan(study, "abmil", out, parameters=PARAMETERS, settings={**SETTINGS, **settings}, device="cpu")


@pytest.fixture(scope="module")
def uninterrupted(study, tmp_path_factory):
    """Digest of the weights of a run in this process that nobody stopped or watched."""
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    with closing(train_steps(plan_of(study, out))) as steps:
        next(event for event in steps if event.stage == "evaluation")
    return digest(out)


def digest(run):
    return hashlib.sha256((run / WEIGHTS).read_bytes()).hexdigest()


def until(condition, seconds=240.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


def until_phase(run, *phases, seconds=240.0):
    def there():
        state = run.state()
        assert state.phase in phases or state.living, state
        return state if state.phase in phases else None

    return until(there, seconds)


def until_trained(run):
    """Until its weights are there: figures and plots take longer than all else here."""
    until(lambda: (run.folder / "model" / "model.json").is_file() or not run.state().living)
    run.stop()
    state = until(lambda: None if run.state().living else run.state())
    assert state.phase in ("stopped", "finished"), state


def epochs(events):
    return [event.epoch for event in events if event.kind == "epoch"]


def until_epoch(run):
    return until(lambda: epochs(run.poll()))


def test_a_run_tells_what_it_does_and_leaves_what_a_training_leaves(study, uninterrupted, tmp_path, warm_children):
    run = ws.start_run(plan_of(study, tmp_path / "run"), watch="10")
    assert run.state().phase in ("starting", "running")
    with pytest.raises(TrainingError, match="is being trained already"):
        ws.start_run(plan_of(study, tmp_path / "run"))
    assert run.watched == "10"
    state = until_phase(run, "finished")
    assert (state.sentence, state.living) == ("", False)
    assert state.started <= state.updated
    events = run.poll()
    assert [event.stage for event in events if event.kind == "stage"] == ["features", "train", "evaluation", "report"]
    assert epochs(events) == list(range(30))
    assert run.poll() == []
    assert epochs(run.again().poll()) == list(range(30)), "a second handle begins at the beginning"
    assert digest(run.folder) == uninterrupted, "whoever watches changes nothing"
    scores = run.scores()
    assert (scores.stage, scores.epoch, scores.classes) == ("train", 29, ("benign", "tumour"))
    assert scores.probabilities.shape == (len(scores.names), 2)
    assert scores.probabilities.sum(axis=1) == pytest.approx(1)
    assert dict(zip(scores.names, scores.targets.tolist(), strict=True)) == {"10": 0, "11": 1, "12": 0, "13": 1}
    sight = run.sight()
    assert (sight.epoch, sight.slide, sight.prediction) == (29, "10", None)
    assert "do not say where its patches lie" in sight.missing
    outcome = run.wait()
    assert outcome.metrics == json.loads((run.folder / "metrics.json").read_text())
    assert outcome.model.classes == ("benign", "tumour")
    assert ws.recent_runs() == [run.folder]
    with pytest.raises(TrainingError, match="nothing to go on with"):
        run.go_on()
    with pytest.raises(TrainingError, match="holds a training already"):
        ws.start_run(plan_of(study, tmp_path / "run"))


def test_a_pause_is_one(study, tmp_path, warm_children):
    run = ws.start_run(plan_of(study, tmp_path / "run", epochs=LONG))
    until_epoch(run)
    other = ws.attach_run(run.folder)
    other.pause()
    assert until_phase(run, "paused").wanted == "pause"
    run.poll()
    time.sleep(0.3)
    assert run.poll() == []
    with pytest.raises(TimeoutError):
        run.wait(timeout=0.01)
    with pytest.raises(TrainingError, match="is being trained already"):
        ws.start_run(plan_of(study, tmp_path / "run", epochs=LONG), resume=True)
    run.go_on()
    until_phase(run, "running")
    until_epoch(run)
    state = until(lambda: run.state() if run.state().seconds_left else None)
    assert (state.stage, state.epochs) == ("train", LONG)
    run.pause()
    until_phase(run, "paused")
    run.stop()
    until_phase(run, "stopped")
    with pytest.raises(CancelledError, match="was stopped"):
        run.wait()


def test_what_was_stopped_or_killed_ends_in_the_same_weights(study, uninterrupted, tmp_path, warm_children):
    run = ws.start_run(plan_of(study, tmp_path / "run"), watch="5")
    until_epoch(run)
    run.stop()
    assert until_phase(run, "stopped").sentence == ""
    with pytest.raises(TrainingError, match="holds a training with settings epochs 30, not 31"):
        ws.start_run(plan_of(study, tmp_path / "run", epochs=31), resume=True)
    run.go_on(device="auto")
    assert ws.attach_run(run.folder).request.device == "auto"
    until(lambda: any(event.data.get("resumed") for event in run.poll()))
    warm_children.kill(run.folder)
    state = until_phase(run, "lost")
    assert "Resume goes on" in state.sentence
    with pytest.raises(TrainingError, match="ended from outside"):
        run.wait()
    again = ws.attach_run(run.folder)
    again.go_on()
    until_trained(again)
    assert digest(run.folder) == uninterrupted
    seen = epochs(again.poll())
    assert sorted(set(seen)) == list(range(30)), "what happened before is not forgotten"


def test_one_that_is_wanted_again_while_it_stops_goes_on(study, tmp_path, warm_children):
    run = ws.start_run(plan_of(study, tmp_path / "run", epochs=LONG))
    until_epoch(run)
    for _ in range(3):
        run.stop()
        run.go_on()
        until_phase(run, "running")
        until_epoch(run)
    run.stop()
    until_phase(run, "stopped")


PARENT = """
import os, signal, sys
from pathlib import Path
import napari_wsimil as ws
from napari_wsimil.training.runs.plan import TrainingPlan
plan = TrainingPlan(Path("manifest.csv"), "abmil", Path("run"), settings={"epochs": 5000, "patience": 0}, device="cpu")
ws.start_run(plan)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_survives_whoever_started_it(tmp_path):
    make_study(tmp_path)
    parent = subprocess.run([sys.executable, "-c", PARENT], cwd=tmp_path, check=False)
    assert parent.returncode == -signal.SIGKILL
    assert ws.recent_runs() == [tmp_path / "run"]
    run = ws.attach_run(tmp_path / "run")
    run.pause()
    state = until_phase(run, "paused")
    assert os.getsid(state.pid) == state.pid, "it has a session of its own"
    assert os.getpriority(os.PRIO_PROCESS, state.pid) == child.NICE
    os.kill(state.pid, signal.SIGTERM)
    assert "The system ended the training" in until_phase(run, "stopped").sentence


def test_a_file_that_goes_away_can_be_put_back(tmp_path, warm_children):
    study = make_study(tmp_path)
    run = ws.start_run(plan_of(study, tmp_path / "run", epochs=3))
    run.pause()
    until_phase(run, "paused")
    for number in range(16):
        (tmp_path / f"{number}.pt").rename(tmp_path / f"{number}.kept")
    run.go_on()
    state = until_phase(run, "failed")
    assert ".pt" in state.sentence
    assert "\n" not in state.sentence
    for number in range(16):
        (tmp_path / f"{number}.kept").rename(tmp_path / f"{number}.pt")
    run.go_on()
    until_trained(run)


@pytest.mark.parametrize(
    ("rows", "heads", "said"),
    [
        ([["0.pt", ""], ["1.pt", "tumour"]], ("slide", "label"), "the label of 0 is missing"),
        ([["0.pt", "tumour"], ["1.pt", "tumour"]], ("slide", "label"), "all slides have the label"),
        (
            [["0.pt", "a", "p", "train"], ["1.pt", "b", "p", "test"]],
            ("slide", "label", "patient", "split"),
            "put all slides of a patient into one split",
        ),
        ([["0.pt", "a"], ["gone.pt", "b"]], ("slide", "label"), "there is no file"),
        ([["0.pt", "a", "train"], ["1.pt", "b", "validation"]], ("slide", "label", "split"), "to train on"),
    ],
)
def test_what_can_be_said_at_once_is_said_before_a_process_is_started(tmp_path, rows, heads, said):
    make_study(tmp_path)
    manifest = write_manifest(tmp_path / "other.csv", rows, heads)
    with pytest.raises(TrainingError, match=said):
        ws.start_run(plan_of(manifest, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    assert ws.recent_runs() == []


def test_a_folder_with_something_else_is_refused(study, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="is not empty and holds no training"):
        ws.start_run(plan_of(study, tmp_path))
    with pytest.raises(TrainingError, match="holds no training that was started in the background"):
        ws.attach_run(tmp_path)


def test_no_process_can_be_started(study, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(launching.sys, "executable", str(tmp_path / "no-python"))
        with pytest.raises(TrainingError, match="can't be started"):
            ws.start_run(plan_of(study, tmp_path / "run"))
        run = ws.attach_run(tmp_path / "run")
        assert "can't be started" in until_phase(run, "failed").sentence
        with pytest.raises(TrainingError, match="can't be started"):
            run.go_on()
    monkeypatch.setattr(launching, "MODULE", "napari_wsimil.no_such_module")
    run = ws.start_run(plan_of(study, tmp_path / "run"))
    state = until_phase(run, "failed")
    assert "no_such_module" in state.sentence
    assert "log.txt" in state.sentence


def test_a_process_of_another_window_is_not_taken_for_ours(study, tmp_path, monkeypatch):
    """Ours is over long ago; the other one is on its way."""
    monkeypatch.setattr(launching, "MODULE", "napari_wsimil.no_such_module")
    run = ws.start_run(plan_of(study, tmp_path / "run"))
    until_phase(run, "failed")
    BackgroundFolder(run.folder).write("state.json", RunState())
    assert run.state().phase == "starting"
    monkeypatch.setattr(handle, "STARTING_SECONDS", 0.0)
    assert run.state().phase == "failed"


def failing(error):
    def steps(*_, **__):
        yield Event("stage", "features")
        raise error

    return steps


@pytest.fixture
def in_this_process(study, tmp_path, monkeypatch):
    """Runs a request here, with something that goes wrong; returns the state."""
    monkeypatch.setattr(child.signal, "signal", lambda *_: None)
    monkeypatch.setattr(child, "be_gentle", lambda: None)
    monkeypatch.setattr(launching, "launch", lambda *_, **__: None)
    run = ws.start_run(plan_of(study, tmp_path / "run"))

    def work(error):
        monkeypatch.setattr(child, "task_steps", failing(error))
        assert child.main([str(run.folder)]) == 1
        return run.state()

    return work


def out_of_memory():
    return torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def chained(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ("is full; free some space", "Resume")),
        (
            chained(TrainingError("The state can't be kept."), OSError(errno.ENOSPC, "No space left on device")),
            ("is full; free some space", "Resume"),
        ),
        (out_of_memory(), ("The GPU ran out of memory", "CPU", "Resume", "patches_of_bag")),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), ("The GPU ran out of memory",)),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), ("The computer ran out",)),
        (MemoryError(), ("The computer ran out of memory", "Resume")),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/slides/a.svs"), ("/slides/a.svs", "Resume")),
        (chained(TrainingError("a.svs is gone (slide a)."), SlideError("gone")), ("a.svs is gone (slide a). When", "Resume")),
        (TrainingError("The loss is not a number; lower the learning rate."), ("lower the learning rate.",)),
        (ZeroDivisionError("division by zero"), ("ZeroDivisionError: division by zero", "log.txt", "Resume tries again")),
    ],
)
def test_whatever_ends_it_is_a_sentence_with_a_way_on(in_this_process, error, said):
    state = in_this_process(error)
    assert state.phase == "failed"
    assert "\n" not in state.sentence
    assert "Traceback" not in state.sentence
    for words in said:
        assert words in state.sentence


def test_a_full_disk_is_told_of_wherever_it_is_met(in_this_process, monkeypatch, tmp_path):
    from napari_wsimil.training.background import reporting

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(reporting.EventLog, "append", full)
    monkeypatch.setattr(child.traceback, "print_exc", full)
    assert "is full" in in_this_process(RuntimeError("not reached")).sentence
    # not even a state can be written any more: what is left tells it
    run = ws.attach_run(tmp_path / "run")
    files = BackgroundFolder(run.folder)
    files.write("state.json", RunState(phase="running", pid=1))
    assert "ended from outside" in run.state().sentence
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    assert "is full" in run.state().sentence
    monkeypatch.setattr(BackgroundFolder, "put", full)
    for act in (run.go_on, run.pause, run.stop, lambda: run.watch("a")):
        with pytest.raises(TrainingError, match="is full; free some space"):
            act()


def test_the_cause_may_be_deep(tmp_path):
    error = chained(RuntimeError("a"), chained(ValueError("b"), OSError(errno.ENOSPC, "No space left on device")))
    assert "is full" in sentence_of(error, BackgroundFolder(tmp_path))
    torn = OSError(errno.EIO, "Input/output error", "/slides/b.svs")
    assert sentence_of(torn, BackgroundFolder(tmp_path)).startswith("/slides/b.svs can't be read or written")


def test_a_training_is_what_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = TrainingPlan(
        Path("m.csv"),
        "zoommil",
        Path("out"),
        encoder="bundled",
        mpps=(8.0, 2.0, 0.5),
        patch_size=256,
        store=Path("store"),
        features=(Path("a"), Path("b")),
        parameters={"hidden": 16},
        settings={"epochs": 3, "learning_rate": 1e-3},
        classes=("x", "y"),
        positive_class="y",
        validation=0.2,
        test=0.1,
        folds=3,
        fold=2,
        device="cpu",
        title="Ünïcode",
        command="napari-wsimil train",
    )
    request = TrainRequest.model_validate_json(request_of(plan).model_dump_json())
    assert request.task == "train"
    again = request.plan()
    for field in fields(TrainingPlan):
        given, found = getattr(plan, field.name), getattr(again, field.name)
        if field.name in ("manifest", "out", "store"):
            given = tmp_path / given
        if field.name == "features":
            given = tuple(tmp_path / folder for folder in given)
        assert found == given, field.name
    assert {field.name for field in fields(TrainingPlan)} == set(TrainRequest.model_fields) - {"task"}


def test_a_fine_tuning_is_what_was_asked_for(random_model, tmp_path):
    plan = FineTuningPlan(
        random_model,
        tmp_path / "m.csv",
        tmp_path / "out",
        settings={"tune": "head", "epochs": 2},
        rehearsal=tmp_path / "old.csv",
        names={"Tumor": "tumour"},
        title="again",
    )
    request = FineTuneRequest.model_validate_json(request_of(plan).model_dump_json())
    assert request.model == random_model.source
    again = request.plan()
    assert again.model.digest == random_model.digest
    for field in fields(FineTuningPlan):
        if field.name != "model":
            assert getattr(again, field.name) == getattr(plan, field.name), field.name
    assert {field.name for field in fields(FineTuningPlan)} == set(FineTuneRequest.model_fields) - {"task"}
    assert "trust" not in request.model_dump_json(), "nobody's folder can allow a program to run"


def test_recent_runs_are_few_and_there(tmp_path, monkeypatch):
    monkeypatch.setattr(recent, "MOST", 3)
    for number in range(5):
        folder = tmp_path / str(number)
        (folder / ".background").mkdir(parents=True)
        (folder / ".background" / "request.json").write_text("{}")
        recent.remember(folder)
    assert [folder.name for folder in ws.recent_runs()] == ["4", "3", "2"]
    recent.remember(tmp_path / "3")
    shutil.rmtree(tmp_path / "4")
    assert [folder.name for folder in ws.recent_runs()] == ["3", "2"]
    recent._file().write_text("[1, {}]")
    assert ws.recent_runs() == []


def test_the_command_line(study, tmp_path, run, warm_children):
    out = tmp_path / "run"
    assert "No training was started" in run("runs")[1]
    arguments = ["train", study, "--method", "abmil", "--out", out, "--detach", "--set", "patience=0", "--device", "cpu"]
    code, said, _ = run(*arguments, "--epochs", LONG)
    assert code == 0
    assert f"napari-wsimil runs follow {out}" in said
    assert run(*arguments, "--tensorboard")[0] == 2
    handle = ws.attach_run(out)
    until_epoch(handle)
    code, said, error = run(*arguments)
    assert (code, "is being trained already" in error) == (2, True)
    assert run("runs", "pause", out)[0] == 0
    until_phase(handle, "paused")
    assert f"{out}  paused, training, epoch " in run("runs")[1]
    (told,) = json.loads(run("runs", "--json")[1])
    assert (told["folder"], told["task"], told["phase"], told["epochs"]) == (str(out), "train", "paused", LONG)
    assert run("runs", "resume", out)[0] == 0
    until_phase(handle, "running")
    assert run("runs", "stop", out)[0] == 0
    until_phase(handle, "stopped")
    code, said, _ = run("runs", "follow", out)
    assert (code, "is stopped; nothing is lost" in said) == (0, True)
    code, _, error = run("runs", "follow", tmp_path)
    assert (code, "holds no training that was started in the background" in error) == (2, True)


def test_following_ends_with_the_figures_or_the_reason(study, tmp_path, run, warm_children):
    out = tmp_path / "run"
    code, said, _ = run(
        "train", study, "--method", "abmil", "--out", out, "--detach", "--json", "--epochs", 2, "--device", "cpu"
    )
    assert json.loads(said)["folder"] == str(out)
    code, said, error = run("runs", "follow", out)
    assert (code, f"wrote {out}" in said, "epoch 2/2: loss" in error) == (0, True, True)
    BackgroundFolder(out).write("state.json", RunState(phase="failed", sentence="The disk is full."))
    code, _, error = run("runs", "follow", out)
    assert (code, "The disk is full." in error) == (2, True)
