"""From a manifest to a folder with a model package, and what the folder refuses."""

from __future__ import annotations

import csv
import json
from contextlib import closing

import numpy as np
import pytest
import torch

import napari_wsimil as ws
from napari_wsimil.bags import FeatureStore
from napari_wsimil.encoders import load_encoder
from napari_wsimil.errors import ModelError, TrainingError
from napari_wsimil.training.events import read_events
from napari_wsimil.training.runs import study_run
from napari_wsimil.training.runs.cross_validation import summary
from napari_wsimil.training.runs.plan import TrainingPlan
from napari_wsimil.training.runs.run import evaluate, train, train_steps
from napari_wsimil.training.tensorboard import TensorBoardSink

SETTINGS = {"epochs": 3, "learning_rate": 1e-2}
PARAMETERS = {"hidden": 8, "attention": 4}


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    """A thousand resamples take longer than all else here."""
    from functools import partial

    from napari_wsimil.training.evaluation import results
    from napari_wsimil.training.runs import run

    for module in (results, run):
        monkeypatch.setattr(module, "measure", partial(module.measure, draws=20))


def write_manifest(path, rows, heads=("slide", "label")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([heads, *rows])
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A manifest with 40 tables of features of an encoder that nobody names."""
    folder, random = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    rows = []
    for number in range(40):
        features = random.normal(size=(int(random.integers(3, 12)), 6)).astype(np.float32)
        features[:, 0] += 1.5 * (number % 2)
        torch.save(torch.from_numpy(features), folder / f"{number}.pt")
        rows.append([f"{number}.pt", ["benign", "tumour"][number % 2]])
    return write_manifest(folder / "manifest.csv", rows)


def run_on(study, out, **more):
    return train(study, "abmil", out, parameters=PARAMETERS, settings={**SETTINGS, **more.pop("settings", {})}, **more)


@pytest.fixture(scope="module")
def finished(study, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        from functools import partial

        from napari_wsimil.training.evaluation import results

        patch.setattr(results, "measure", partial(results.measure, draws=20))
        events = []
        return run_on(study, tmp_path_factory.mktemp("run") / "out", on_event=events.append), events


def test_a_run_is_a_folder_with_everything(finished, study):
    run, events = finished
    names = {path.name for path in run.folder.iterdir()}
    assert {
        "model",
        "metrics.json",
        "predictions.csv",
        "plots",
        "report.html",
        "settings.json",
        "manifest.csv",
        "events.jsonl",
    } <= names
    assert {name for name in names if name.startswith(".")} <= {".lock"}
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert metrics == run.metrics
    assert metrics["split"] == "test"
    assert metrics["figures"]["roc_auc"]["value"] > 0.8
    assert metrics["validation"]["cases"] > 0
    settings = json.loads((run.folder / "settings.json").read_text())
    assert settings["settings"]["epochs"] == 3
    assert settings["parameters"]["hidden"] == 8
    assert {"napari-wsimil", "torch", "numpy"} <= set(settings["versions"])
    kinds = [event.kind for event in events]
    assert kinds.count("epoch") == 3
    assert [event.stage for event in events if event.kind == "stage"] == ["features", "train", "evaluation", "report"]
    assert [event.epoch for event in read_events(run.folder / "events.jsonl") if event.kind == "epoch"] == [0, 1, 2]
    with (run.folder / "manifest.csv").open() as file:
        sides = [row["split"] for row in csv.DictReader(file)]
    assert set(sides) == {"train", "validation", "test"}
    assert len(sides) == 40
    with (run.folder / "predictions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == sides.count("test") == metrics["cases"]


def test_the_package_tells_what_it_is_and_refuses_pixels_of_an_encoder_that_is_not_here(finished, tiny_slide):
    run, _ = finished
    spec = run.model.spec
    assert (spec.method, spec.classes, spec.positive_class) == ("abmil", ("benign", "tumour"), "tumour")
    assert spec.encoder.name == ""
    assert spec.encoder.dimension == 6
    assert spec.metrics["test"]["figures"]["roc_auc"]["value"] == run.metrics["figures"]["roc_auc"]["value"]
    assert spec.training["best_epoch"] in (1, 2, 3)
    assert sum(spec.training["slides"]["train"].values()) > 20
    assert "test slides, looked at once" in run.model.card
    with pytest.raises(ModelError, match=r"encoder 'unknown', which this program does not have"):
        ws.predict(tiny_slide, run.model)


def test_the_test_slides_are_scored_once(study, tmp_path, monkeypatch):
    from napari_wsimil.training.evaluation import results

    seen = []
    original = results.score
    monkeypatch.setattr(
        results, "score", lambda model, bags, *rest: seen.append(set(bags.names)) or original(model, bags, *rest)
    )
    run = run_on(study, tmp_path / "out")
    run_on(study, tmp_path / "out", resume=True)
    with (run.folder / "manifest.csv").open() as file:
        test = {row["name"] for row in csv.DictReader(file) if row["split"] == "test"}
    assert [names for names in seen if names & test] == [test]


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(finished, study, tmp_path):
    plan = TrainingPlan(study, "abmil", tmp_path / "out", parameters=PARAMETERS, settings=SETTINGS)
    for count in (9, 31):
        with closing(train_steps(plan, resume=True)) as steps:
            for _ in range(count):
                next(steps)
    run = run_on(study, tmp_path / "out", resume=True)
    for name in ("metrics.json", "predictions.csv", "model/weights.safetensors"):
        assert (run.folder / name).read_bytes() == (finished[0].folder / name).read_bytes()


def test_other_settings_and_other_folders_are_refused(finished, study, tmp_path):
    folder = finished[0].folder
    with pytest.raises(TrainingError, match=r"holds a training already; go on with it \(--resume"):
        run_on(study, folder)
    with pytest.raises(TrainingError, match=r"with settings epochs 3, not 4, so it can't be gone on with"):
        run_on(study, folder, settings={"epochs": 4}, resume=True)
    with pytest.raises(TrainingError, match=r"with method abmil, not clam"):
        train(study, "clam", folder, resume=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"is not empty and holds no training"):
        run_on(study, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_evaluation_of_the_finished_model(finished, study, tmp_path):
    run, _ = finished
    again = evaluate(run.folder / "manifest.csv", run.folder / "model", tmp_path / "again")
    assert again["figures"]["roc_auc"]["value"] == run.metrics["figures"]["roc_auc"]["value"]
    assert again["figures"]["log_loss"]["value"] == pytest.approx(run.metrics["figures"]["log_loss"]["value"], rel=1e-9)
    assert evaluate(study, run.model, tmp_path / "all")["cases"] == 40
    assert (tmp_path / "all" / "report.html").is_file()
    with pytest.raises(TrainingError, match=r"has no test slides; it has no splits"):
        evaluate(study, run.model, tmp_path / "none", split="test")


def test_folds_are_runs_of_their_own_with_a_summary(study, tmp_path):
    run = run_on(study, tmp_path / "out", folds=2, settings={"epochs": 1})
    assert [fold.folder.name for fold in run.folds] == ["fold-1", "fold-2"]
    values = [fold.metrics["figures"]["roc_auc"]["value"] for fold in run.folds]
    figure = run.metrics["figures"]["roc_auc"]
    assert figure["values"] == values
    assert figure["mean"] == pytest.approx(sum(values) / 2)
    assert figure["sd"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert run.metrics["cases"] == 40
    with pytest.raises(TrainingError, match=r"holds a training already"):
        run_on(study, tmp_path / "out", folds=2, settings={"epochs": 1})


def test_the_summary_of_figures_that_some_folds_can_not_tell():
    folds = [{"figures": {"f1": {"value": v}}, "classes": ["a"], "positive_class": None, "cases": 3} for v in (0.5, None)]
    assert summary(folds)["figures"]["f1"] == {"mean": 0.5, "sd": None, "values": [0.5, None]}


def test_features_of_slides_are_made_once_and_the_model_predicts_slides(tmp_path, write_slide, tiny_slide):
    rows = []
    for number in range(6):
        path = write_slide(tmp_path / f"s{number}.tiff", width=1024, height=1024)
        rows.append([path.name, "ab"[number % 2], ["train", "train", "validation"][number // 2]])
    manifest = write_manifest(tmp_path / "m.csv", rows, ("slide", "label", "split"))
    run = run_on(manifest, tmp_path / "out", settings={"epochs": 1})
    assert run.metrics["split"] == "validation"
    assert run.model.spec.encoder.name == "bundled"
    stored = sorted((tmp_path / "out" / "features").rglob("*.h5"))
    assert len(stored) == 6
    assert set(ws.predict(tiny_slide, run.model, store=tmp_path / "out" / "features").probabilities) == {"a", "b"}
    # the same features, given as files: the encoder is told by their digest
    again = run_on(manifest, tmp_path / "files", features=tmp_path / "out" / "features", settings={"epochs": 1})
    assert again.model.spec.encoder == run.model.spec.encoder
    assert again.model.spec.patch_specs() == run.model.spec.patch_specs()
    assert (again.folder / "model/weights.safetensors").read_bytes() == (run.folder / "model/weights.safetensors").read_bytes()
    assert FeatureStore(tmp_path / "out" / "features").folder.is_dir()
    assert load_encoder().digest == run.model.spec.encoder.digest


def test_what_does_not_fit_is_one_sentence_before_any_work(study, tmp_path):
    for options, sentence in (
        ({"positive_class": "cancer"}, r"The positive class 'cancer' is none of the classes; choose from benign, tumour"),
        ({"mpps": (2.0, 0.5)}, r"names features at 0.5 µm per pixel, none at 2"),
        ({"validation": 0.0}, r"leaves no slides for validation"),
        ({"settings": {"epochs": "many"}}, r"The setting 'epochs' of abmil can't be 'many'"),
    ):
        with pytest.raises(TrainingError, match=sentence):
            run_on(study, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_tensorboard_gets_steps_and_epochs(finished):
    kept = {}

    class Writer:
        def add_scalar(self, tag, value, number):
            kept.setdefault(tag, []).append((number, value))

        def flush(self):
            pass

        close = flush

    _, events = finished
    with closing(TensorBoardSink(None, Writer())) as sink:
        for event in events:
            sink(event)
    steps = [number for number, _ in kept["train/step/loss"]]
    assert steps == list(range(1, 1 + len(steps)))
    assert len(steps) == sum(event.kind == "step" for event in events)
    assert [number for number, _ in kept["train/validation/auc"]] == [1, 2, 3]


def test_a_model_that_was_trained_already_is_not_trained_again(finished, study, monkeypatch):
    monkeypatch.setattr(study_run, "_learn", lambda *_: pytest.fail("trained again"))
    (finished[0].folder / "report.html").unlink()
    run_on(study, finished[0].folder, resume=True)
    assert (finished[0].folder / "report.html").is_file()


def test_two_processes_never_train_one_run(tmp_path):
    from napari_wsimil.training.runs.run_folder import RunFolder

    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    with first.held(), pytest.raises(TrainingError, match="trained by another process"), second.held():
        pass
    with second.held():
        pass
