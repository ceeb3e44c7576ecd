import json

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import softmax

from napari_wsimil.packages import Calibration
from napari_wsimil.training.evaluation.calibration import (
    COLDEST,
    HOTTEST,
    apply,
    calibrated,
    calibration_figures,
    chance_error,
    confidence,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from napari_wsimil.training.evaluation.scoring import Scores


def answers(targets, logits, classes=("normal", "tumour")):
    logits = np.asarray(logits, float)
    names = tuple(f"s{number}" for number in range(len(targets)))
    return Scores(names, np.asarray(targets, np.int64), logits, softmax(logits, axis=1), tuple(classes))


def drawn(temperature, cases=4000, classes=3, seed=0):
    """Slides whose classes are drawn from softmax(logits / temperature): that temperature is the right one."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (cases, classes))
    truth = softmax(logits / temperature, axis=1)
    targets = (random.random((cases, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    return answers(targets, logits, "abcdefgh"[:classes])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_finds_the_temperature_that_made_the_labels(temperature):
    scores = drawn(temperature)
    found = fit_temperature(scores)
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    assert (found.method, found.cases, found.note) == ("temperature", 4000, "")
    assert found.log_loss_after <= found.log_loss_before
    if temperature == 2.5:
        assert found.ece_before > 0.15 > 0.03 > found.ece_after
    np.testing.assert_allclose(calibrated(scores, found).probabilities, softmax(scores.logits / found.temperature, axis=1))
    assert calibrated(scores, found).logits is scores.logits
    assert calibrated(scores, None) is scores


def test_two_slides_of_each_kind_by_hand():
    """All logits are (0, 1); 3 of 4 are right: softmax(1 / T) = 3 / 4 asks for T = 1 / log 3."""
    scores = answers([1, 1, 1, 0] * 5, [[0, 1]] * 20)
    found = fit_temperature(scores)
    assert found.temperature == pytest.approx(1 / np.log(3), rel=1e-4)
    assert found.ece_after == pytest.approx(0, abs=1e-4)
    assert found.ece_before == pytest.approx(0.75 - 1 / (1 + np.exp(-1)))


def test_powers_of_probabilities():
    half = apply(np.array([[0.8, 0.2]]), 2.0)
    np.testing.assert_allclose(half, [[2 / 3, 1 / 3]])  # sqrt 0.8 is twice sqrt 0.2
    np.testing.assert_allclose(apply(np.array([0.8, 0.2]), 0.5), [16 / 17, 1 / 17])
    certain = apply(np.array([1.0, 0.0]), 20.0)
    assert np.isfinite(certain).all()
    assert certain[0] == pytest.approx(1, abs=1e-12)


def test_answers_without_a_fault_make_no_model_surer_than_their_number_allows():
    """Ten slides of each class, all right: the fit aims at 11 / 12, and never makes a model less sure."""
    targets = np.tile([0, 1], 10)
    for size in (0.2, 1.0, 2.0):
        found = fit_temperature(answers(targets, size * np.eye(2)[targets]))
        sure = apply(softmax(size * np.eye(2), axis=1), found.temperature)
        np.testing.assert_allclose(np.diag(sure), 11 / 12, rtol=1e-3)
        assert "as sure as their number allows" in found.note
        assert found.log_loss_after < found.log_loss_before
    found = fit_temperature(answers(targets, 30 * np.eye(2)[targets]))
    assert (found.method, found.temperature) == ("none", 1.0)
    assert found.note == "All 20 validation slides are answered right, so nothing shows how sure the model may be."


def test_the_temperature_has_bounds():
    turned = answers([0, 1] * 10, np.tile([[0.0, 5], [5, 0]], (10, 1)))
    found = fit_temperature(turned)
    assert found.temperature == pytest.approx(HOTTEST, rel=0.01)
    assert "next to nothing" in found.note
    faint = answers([0] * 99 + [1], np.tile([[1e-3, 0]], (100, 1)))
    found = fit_temperature(faint)
    assert found.temperature == pytest.approx(COLDEST, rel=0.01)
    assert "ran into its limit" in found.note


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        ([0, 1, 1], "Slides to fit a temperature on: 3; 10 are needed."),
        ([1] * 12, "All 12 validation slides are of class tumour."),
    ],
)
def test_what_can_not_be_fitted_says_so_and_changes_nothing(targets, says):
    scores = answers(targets, np.random.default_rng(0).normal(size=(len(targets), 2)))
    found = fit_temperature(scores)
    assert (found.method, found.temperature, found.note) == ("none", 1.0, says)
    assert calibrated(scores, found).probabilities is scores.probabilities


def test_errors_of_bins_by_hand():
    probabilities = np.array([0.05, 0.05, 0.32, 0.34, 0.9, 1.0])
    came_true = np.array([False, True, False, False, True, True])
    # (0, .1]: 0.05 and 1/2; (.3, .4]: 0.33 and 0; (.8, .9]: 0.9 and 1; (.9, 1]: right
    by_width = (2 * 0.45 + 2 * 0.33 + 0.1) / 6
    assert expected_calibration_error(probabilities, came_true) == pytest.approx(by_width)
    # three bins of two: 0.05 and 1/2, 0.33 and 0, 0.95 and 1
    by_mass = (2 * 0.45 + 2 * 0.33 + 2 * 0.05) / 6
    assert expected_calibration_error(probabilities, came_true, bins=3, binning="mass") == pytest.approx(by_mass)
    first, _, third, last = reliability(probabilities, came_true)
    assert (first["low"], first["high"], first["cases"], first["share"]) == (0, 0.1, 2, 0.5)
    assert first["share_low"] < 0.5 < first["share_high"]
    assert (third["low"], third["probability"]) == (0.8, 0.9)
    assert (last["probability"], last["share"], last["share_high"]) == (1.0, 1.0, 1.0)
    assert [row["cases"] for row in reliability(probabilities, came_true, bins=3, binning="mass")] == [2, 2, 2]


def test_probabilities_on_the_edge_of_a_bin_are_in_the_lower_one():
    assert [row["high"] for row in reliability(np.array([0.0, 0.5, 1.0]), np.array([False, True, True]))] == [0.1, 0.5, 1.0]


def test_chance_error_falls_with_the_slides_and_bounds_a_calibrated_model():
    few, many = (chance_error(np.full(cases, 0.7), draws=300) for cases in (20, 2000))
    # one bin: the mean distance of a share from 0.7 is sqrt(2 / pi) of its standard error
    assert few[0] == pytest.approx(np.sqrt(2 / np.pi) * np.sqrt(0.21 / 20), rel=0.15)
    assert few[0] > 5 * many[0]
    assert few[1] > few[0]
    good = confidence(drawn(1.0, cases=500, classes=2))
    assert expected_calibration_error(*good) < chance_error(good[0])[1] * 1.3


def test_what_is_to_come_true():
    two = answers([0, 1], [[0, 0], [0, np.log(3)]])
    probabilities, came_true = confidence(two)
    np.testing.assert_allclose(probabilities, [0.5, 0.75])
    assert came_true.tolist() == [False, True]
    np.testing.assert_allclose(confidence(two, "normal")[0], [0.5, 0.25])
    three = answers([2, 1], [[0, 0, np.log(2)], [0, 0, np.log(2)]], "abc")
    probabilities, came_true = confidence(three)
    np.testing.assert_allclose(probabilities, [0.5, 0.5])
    assert came_true.tolist() == [True, False]


def test_figures_for_reports_are_json():
    told = calibration_figures(drawn(2.0, cases=200))
    json.dumps(told, allow_nan=False)
    assert told["of"] == "the predicted class"
    assert sum(row["cases"] for row in told["table"]) == told["cases"] == 200
    assert told["ece"] > told["chance_high"] > told["chance"] > 0
    assert calibration_figures(drawn(2.0, cases=50, classes=2))["of"] == "b"


def test_a_calibration_is_checked_when_it_is_read():
    for wrong in ({"temperature": 0}, {"temperature": float("nan")}, {"method": "isotonic"}, {"cases": -1}, {"other": 1}):
        with pytest.raises(ValidationError):
            Calibration(**{"cases": 10, **wrong})
