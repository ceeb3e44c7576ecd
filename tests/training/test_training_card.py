"""What a run says of itself: the card of its package, and the outcome in words, of a real small training and fine-tuning."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import UTC, datetime
from functools import partial

import h5py
import numpy as np
import pytest

import napari_wsimil as ws
from napari_wsimil import __version__
from napari_wsimil.errors import TrainingError
from napari_wsimil.packages import ModelSpec
from napari_wsimil.training.evaluation import outputs, results
from napari_wsimil.training.runs.outcome import read_outcome
from napari_wsimil.training.runs.run_card import run_card

COUNT = 24


def drawn(name, left, right):
    square = [[left, 0], [right, 0], [right, 768], [left, 768], [left, 0]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [square]},
        "properties": {"classification": name},
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory, random_encoder):
    """(run, fine-tuned run): a training on 24 slides of 12 patients, and a correction by what is drawn on two of them."""
    folder, random = tmp_path_factory.mktemp("secret"), np.random.default_rng(0)
    encoder, name = random_encoder
    rows = [["slide", "label", "patient", "split", "annotation"]]
    for number in range(COUNT):
        cells = np.stack(np.divmod(np.arange(48), 8), axis=1)[:, ::-1]
        features = random.normal(size=(48, encoder.dimension)).astype(np.float32)
        features[:12, :8] += 2 * (number % 2)
        with h5py.File(folder / f"smith{number}.h5", "w") as file:
            file["features"], file["coords"] = features, cells * 256
            file["coords"].attrs.update(patch_size=256, patch_size_level0=256.0, overlap=0, mpp_target=0.5)
        split = "test" if number < 6 else "validation" if number < 12 else "train"
        rows.append([f"smith{number}.h5", ["normal", "tumour"][number % 2], f"p{number // 2}", split, ""])
    for number in (13, 15):
        (folder / f"drawn{number}.geojson").write_text(json.dumps([drawn("tumour", 0, 1024), drawn("!tumour", 1024, 2048)]))
        rows[number + 1][4] = f"drawn{number}.geojson"
    write(folder / "manifest.csv", rows)
    write(folder / "few.csv", [rows[0], *rows[7:17]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "measure", partial(results.measure, draws=50))
        patch.setattr(outputs, "_draw", lambda *_: None)  # plots take longer than all else
        parameters = {"hidden": 8, "attention": 4}
        run = ws.train(
            folder / "manifest.csv",
            "abmil",
            folder / "run",
            encoder=name,
            parameters=parameters,
            settings={"epochs": 3, "learning_rate": 0.01},
            title="Nodes",
        )
        tuned = ws.fine_tune(
            run.folder / "model",
            folder / "few.csv",
            folder / "tuned",
            tune="head",
            learn_from="both",
            settings={"epochs": 2},
            rehearsal=folder / "manifest.csv",
        )
    return run, tuned


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_the_card_of_a_training_is_complete(made):
    run, _ = made
    card, spec = run.model.card, run.model.spec
    assert card.startswith("# Nodes\n")
    assert f"Made on {datetime.now(UTC).year}" in card
    assert f"napari-wsimil {__version__}" in card
    assert "| split | slides | patients | normal | tumour |" in card
    assert "| training | 12 | 6 | 6 | 6 |" in card
    assert "| test | 6 | 3 | 3 | 3 |" in card
    assert "## Figures on 6 test slides\n\n3 normal, 3 tumour." in card
    assert card.index("6 test slides") < card.index("## Figures on 6 validation slides")
    figure = run.metrics["figures"]["roc_auc"]
    interval = "" if figure["low"] == figure["high"] else f"{figure['low']:.3f} to {figure['high']:.3f}"
    assert f"| ROC AUC | {figure['value']:.3f} | {interval} |" in card
    for told in ("## Calibration", "- hidden: 8", "- epochs: 3", "- learning rate: 0.01", "not for diagnosis", "## Limits"):
        assert told in card
    assert spec.training["totals"]["train"] == {"slides": 12, "patients": 6, "without_label": 0}
    assert "Fine-tuned" not in card
    assert f"- run: {run.folder}" in card


def test_the_card_of_a_fine_tuning_says_what_it_was_made_from(made):
    run, tuned = made
    card = tuned.model.card
    assert f"- from the model {run.model.id} ({run.model.digest}), which had learned from 12 slides" in card
    assert "- what changed: its last layers, " in card
    assert "- from 4 marked regions on 2 slides: tumour 2, not tumour 2" in card
    assert f"- mixed with {tuned.model.spec.training['rehearsal_slides']} slides shown again" in card
    assert "- from the labels of " in card


def test_nothing_private_leaves_with_a_trained_model(made, tmp_path):
    for run in made:
        private = str(run.folder.parent)
        assert private in run.model.card
        shared = ws.share_model(run.folder / "model", tmp_path / run.folder.name)
        for file in ("model.json", "README.md", "encoder/encoder.json", "encoder/README.md"):
            text = (shared / file).read_text()
            assert private not in text, file
            assert "smith" not in text
            assert ".csv" not in text
        assert ws.load_model(shared).digest == run.model.digest
        assert "not for diagnosis" in ws.load_model(shared).card


def test_remarks_that_name_slides_stay_at_home(random_model):
    spec = random_model.spec
    told = [
        "The pixel size is a guess, 0.25 µm/px.",
        "Polygons of the classes Fat (2) take no part.",
        "2 drawn objects take no part.",
    ]
    secret = [
        "smith1 takes no part.",
        "The run is gone; its slides are taken from /home/x",
        "jones, lee can't be shown.",
        "The file a.svs",
    ]
    card = run_card(spec, [*told, *secret, "The slides p7 are few."], ["smith1", "p7"])
    public, private = card.split("<!-- private -->")
    assert all(notice in public for notice in told)
    assert not any(name in public for name in ("smith1", "/home", "jones", "a.svs", "p7"))
    assert all(notice in private for notice in secret)
    assert "how good it is, nobody knows" in public


def test_no_patients_and_slides_without_label():
    spec = ModelSpec(
        id="x",
        method="abmil",
        classes=("a", "b|c"),
        encoder={"id": "e", "digest": "0", "dimension": 4},
        mpps=(0.5,),
        training={
            "slides": {"train": {"a": 1, "b|c": 2}},
            "totals": {"train": {"slides": 5, "patients": None, "without_label": 2}},
        },
        metrics={
            "validation": {"cases": 1, "figures": {"roc_auc": {"value": None, "low": None, "high": None, "reason": "One."}}}
        },
    )
    card = run_card(spec)
    assert "| split | slides | a | b\\|c | no label |" in card
    assert "| training | 5 | 1 | 2 | 2 |" in card
    assert "names no patients" in card
    assert "## Figures on 1 validation slide\n" in card
    assert "ROC AUC is not defined here. One." in card
    assert "these figures flatter" in card


def test_the_outcome_in_words(made):
    run, tuned = made
    outcome = read_outcome(run.folder)
    assert outcome.package == run.folder / "model"
    assert outcome.spec.title == "Nodes"
    right = sum(run.metrics["confusion_matrix"][row][row] for row in range(2))
    assert outcome.verdict.startswith(f"Right on {right} of 6 test slides, ROC AUC ")
    assert outcome.verdict.endswith("So few slides say little.")
    assert [figure.title for figure in outcome.figures] == ["ROC AUC", "Balanced accuracy", "Sensitivity", "Specificity", "F1"]
    learned, measured, _ = outcome.data
    assert learned == "Learned from 12 slides (6 normal, 6 tumour)."
    assert measured == "Measured on 6 test slides (3 normal, 3 tumour) of 3 patients."
    assert outcome.calibration.startswith("Not calibrated.")
    assert outcome.report.is_file()
    told = read_outcome(tuned.folder)
    assert "Learned from 4 marked regions." in told.data
    assert "the figures flatter" in told.verdict


def test_outcomes_that_are_none(made, tmp_path):
    run, _ = made
    assert read_outcome(tmp_path) is None
    shutil.copytree(run.folder / "model", tmp_path / "model")
    assert read_outcome(tmp_path) is None
    (tmp_path / "metrics.json").write_text('{"cases": 3}')
    with pytest.raises(TrainingError, match="is damaged"):
        read_outcome(tmp_path)


def test_the_outcome_of_a_cross_validation(made, tmp_path):
    run, _ = made
    shutil.copytree(run.folder / "model", tmp_path / "fold-1" / "model")
    metrics = {
        "folds": 5,
        "cases": 40,
        "figures": {"roc_auc": {"mean": 0.8123, "sd": 0.05, "values": []}, "f1": {"mean": None, "sd": None, "values": []}},
    }
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    outcome = read_outcome(tmp_path)
    assert outcome.verdict.startswith("5 folds, 40 slides tested: ROC AUC 0.81 ± 0.05.")
    assert [(figure.value, figure.interval) for figure in outcome.figures] == [("0.81", "± 0.05"), ("–", "")]
    assert outcome.package == tmp_path / "fold-1" / "model"
