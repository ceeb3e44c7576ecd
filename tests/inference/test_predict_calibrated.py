"""A package that was calibrated gives calibrated probabilities, and everything that shows them says so."""

import json
import shutil

import pytest
from click.testing import CliRunner

from napari_wsimil.cli.commands import commands
from napari_wsimil.cli.reports import calibration_text, describe_result, model_text, result_text
from napari_wsimil.errors import PredictionError
from napari_wsimil.inference import load_prediction, predict
from napari_wsimil.packages import Calibration, InstalledModel, load_model

FIT = {"temperature": 2.0, "cases": 60}


def edited(random_model, folder, **changes):
    copy = shutil.copytree(random_model.source, folder)
    path = copy / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return load_model(copy)


@pytest.fixture(scope="module", name="calibrated")
def _calibrated(random_model, tmp_path_factory):
    return edited(random_model, tmp_path_factory.mktemp("calibrated") / "package", calibration=FIT)


@pytest.fixture(scope="module", name="predictions")
def _predictions(tiny_slide, random_model, calibrated):
    return predict(tiny_slide, random_model, device="cpu"), predict(tiny_slide, calibrated, device="cpu")


def test_probabilities_are_calibrated(predictions):
    plain, calibrated = predictions
    roots = {name: value**0.5 for name, value in plain.probabilities.items()}
    for name, root in roots.items():
        assert calibrated.probabilities[name] == pytest.approx(root / sum(roots.values()))
    assert sum(calibrated.probabilities.values()) == pytest.approx(1)


def test_provenance_says_so(predictions, tmp_path):
    plain, calibrated = predictions
    assert plain.provenance["calibration"] is None
    told = calibrated.provenance["calibration"]
    assert (told["method"], told["temperature"], told["cases"]) == ("temperature", 2.0, 60)
    assert told["before"] == pytest.approx(plain.probabilities)
    assert load_prediction(calibrated.save(tmp_path / "a.prediction.h5")).provenance["calibration"] == told


def test_a_saved_prediction_with_a_broken_calibration_is_refused(predictions, tmp_path):
    _, calibrated = predictions
    calibrated.provenance["calibration"]["cases"] = "many"
    try:
        path = calibrated.save(tmp_path / "a.prediction.h5")
    finally:
        calibrated.provenance["calibration"]["cases"] = 60
    with pytest.raises(PredictionError, match=r"wrong entry, calibration\.cases"):
        load_prediction(path)


def test_the_command_line_says_so(predictions, calibrated, tmp_path, tiny_slide):
    plain, found = predictions
    assert ", calibrated  (" in result_text(describe_result(tiny_slide, found, []))
    assert "calibrated" not in result_text(describe_result(tiny_slide, plain, []))
    model = InstalledModel("m", tmp_path, calibrated.spec, None)
    assert model_text(model).endswith("probabilities calibrated on 60 slides (temperature 2.00)")
    assert calibration_text(None) == "probabilities not calibrated"
    unfit = Calibration(method="none", cases=3, note="Slides to fit a temperature on: 3; 10 are needed.")
    assert calibration_text(unfit) == "probabilities not calibrated. Slides to fit a temperature on: 3; 10 are needed."
    done = CliRunner().invoke(
        commands,
        ["predict", str(tiny_slide), "--model", calibrated.source, "--out", str(tmp_path), "--device", "cpu", "--json"],
    )
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)
    assert told["calibration"]["temperature"] == 2.0


def test_a_calibration_that_could_not_be_fitted_changes_nothing(random_model, tiny_slide, predictions, tmp_path):
    unfit = edited(random_model, tmp_path / "package", calibration={"method": "none", "cases": 3, "note": "Too few."})
    assert unfit.digest == random_model.digest
    found = predict(tiny_slide, unfit, device="cpu")
    assert found.probabilities == predictions[0].probabilities
    assert found.provenance["calibration"] is None


def test_the_digest_follows_the_temperature_alone(random_model, calibrated, tmp_path):
    assert calibrated.digest != random_model.digest
    other = edited(random_model, tmp_path / "other", calibration={**FIT, "cases": 61, "ece_before": 0.2})
    assert other.digest == calibrated.digest
    assert edited(random_model, tmp_path / "none", calibration=None).digest == random_model.digest
