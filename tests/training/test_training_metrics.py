"""Figures against values worked out by hand, and what is said where there is nothing to work out."""

import json

import numpy as np
import pytest
from sklearn import metrics as reference

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.evaluation.bootstrap import resample_counts, with_interval
from napari_wsimil.training.evaluation.figures import figures
from napari_wsimil.training.evaluation.metrics import instance_metrics, measure, selection_value
from napari_wsimil.training.evaluation.resampled import resampled_figures
from napari_wsimil.training.evaluation.scoring import Scores


def table(targets, probabilities, classes=("normal", "tumour"), names=None):
    """`probabilities`: (n,) of the second class, or (n, C)."""
    probabilities = np.asarray(probabilities, float)
    if probabilities.ndim == 1:
        probabilities = np.stack([1 - probabilities, probabilities], axis=1)
    names = names or tuple(f"s{number}" for number in range(len(targets)))
    with np.errstate(divide="ignore"):
        return Scores(tuple(names), np.asarray(targets, np.int64), np.log(probabilities), probabilities, tuple(classes))


# truth 0 0 0 1 1, predicted 0 0 1 1 0: TN 2, FP 1, TP 1, FN 1
SMALL = table([0, 0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9, 0.3])


def values(found):
    return {name: figure["value"] for name, figure in found["figures"].items()}


def test_two_classes_by_hand():
    found = measure(SMALL, draws=20)
    assert found["confusion_matrix"] == [[2, 1], [1, 1]]
    told = values(found)
    assert told["accuracy"] == pytest.approx(3 / 5)
    assert told["sensitivity"] == pytest.approx(1 / 2)
    assert told["specificity"] == pytest.approx(2 / 3)
    assert told["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert told["f1"] == pytest.approx(1 / 2)  # precision 1/2, recall 1/2
    assert told["f1_macro"] == pytest.approx((1 / 2 + 2 / 3) / 2)  # normal: precision 2/3, recall 2/3
    assert told["f1_weighted"] == pytest.approx((2 * 1 / 2 + 3 * 2 / 3) / 5)
    assert told["roc_auc"] == pytest.approx(5 / 6)  # of 6 pairs only (0.3, 0.7) is the wrong way round
    assert told["average_precision"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)  # ranks 1 and 3
    assert told["brier"] == pytest.approx((0.01 + 0.04 + 0.49 + 0.01 + 0.49) / 5)
    assert told["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.3, 0.9, 0.3]).mean())
    # by chance: (3/5 * 3/5) + (2/5 * 2/5) = 13/25, so (15/25 - 13/25) / (12/25)
    assert told["kappa"] == pytest.approx(2 / 12)
    assert found["counts"] == {"normal": 3, "tumour": 2}
    assert found["positive_class"] == "tumour"
    (_, tumour) = found["per_class"]
    assert (tumour["class"], tumour["cases"], tumour["predicted"]) == ("tumour", 2, 2)
    assert (tumour["precision"], tumour["recall"]) == (0.5, 0.5)
    json.dumps(found, allow_nan=False)


def test_the_positive_class_can_be_the_first():
    told = values(measure(SMALL, positive="normal", draws=0))
    assert told["sensitivity"] == pytest.approx(2 / 3)
    assert told["f1"] == pytest.approx(2 / 3)
    assert told["roc_auc"] == pytest.approx(5 / 6)
    assert told["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)  # ranks 1, 2 and 4 of 0.9 0.8 (0.7) 0.3 (0.1)
    with pytest.raises(TrainingError, match="none of the classes; choose from normal, tumour"):
        measure(SMALL, positive="cancer")


def test_many_classes_agree_with_scikit_learn():
    random = np.random.default_rng(3)
    targets = random.integers(0, 4, 80)
    logits = random.normal(size=(80, 4)) + 1.5 * np.eye(4)[targets]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    predicted = probabilities.argmax(1)
    told = values(measure(table(targets, probabilities, "abcd"), draws=0))
    assert set(told).isdisjoint({"sensitivity", "specificity", "f1"})
    assert told["roc_auc"] == pytest.approx(reference.roc_auc_score(targets, probabilities, multi_class="ovr"))
    assert told["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(targets, predicted))
    assert told["f1_macro"] == pytest.approx(reference.f1_score(targets, predicted, average="macro"))
    assert told["f1_weighted"] == pytest.approx(reference.f1_score(targets, predicted, average="weighted"))
    assert told["log_loss"] == pytest.approx(reference.log_loss(targets, probabilities))
    assert told["kappa"] == pytest.approx(reference.cohen_kappa_score(targets, predicted))
    one_hot = np.eye(4)[targets]
    assert told["average_precision"] == pytest.approx(reference.average_precision_score(one_hot, probabilities))
    assert told["brier"] == pytest.approx(np.square(probabilities - one_hot).sum(1).mean())


def test_what_is_undefined_is_none_and_says_why():
    only_normal = measure(table([0, 0, 0], [0.1, 0.2, 0.3]), draws=10)
    told = only_normal["figures"]
    for name in ("roc_auc", "average_precision", "balanced_accuracy", "sensitivity", "f1_macro"):
        assert told[name] == {"value": None, "low": None, "high": None, "reason": "There is no slide of class tumour."}
    assert told["f1"]["reason"] == "No slide is tumour, and none was predicted so."
    assert told["kappa"]["value"] is None
    assert "one class" in told["kappa"]["reason"]
    assert told["accuracy"]["value"] == told["specificity"]["value"] == told["f1_weighted"]["value"] == 1
    assert only_normal["per_class"][1]["recall"] is None
    assert only_normal["per_class"][1]["roc_auc"] is None
    json.dumps(only_normal, allow_nan=False)
    several = measure(table([0, 0], [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]], "abc"), draws=0)["figures"]
    assert several["roc_auc"]["reason"] == "There is no slide of these classes: b, c."
    assert several["accuracy"]["value"] == 0.5


def test_an_answer_that_is_always_wrong_is_zero_not_none():
    told = values(measure(table([0, 1], [0.9, 0.1]), draws=0))
    assert (told["roc_auc"], told["accuracy"], told["f1"], told["kappa"]) == (0, 0, 0, -1)


def test_certain_and_wrong_has_a_finite_loss():
    told = values(measure(table([0, 1], [1.0, 1.0]), draws=0))
    assert told["log_loss"] == pytest.approx(-np.log(np.finfo(float).eps) / 2)


def test_interval_covers_what_resampling_theory_says():
    """Accuracy of 0.8 on 100 slides: the bootstrap's standard error is sqrt(0.8 * 0.2 / 100) = 0.04."""
    targets = np.tile([0, 1], 50)
    right = np.arange(100) % 5 != 0
    figure = measure(table(targets, np.where(right, targets, 1 - targets) * 0.8 + 0.1), draws=2000)["figures"]["accuracy"]
    assert figure["value"] == pytest.approx(0.8)
    assert figure["low"] == pytest.approx(0.8 - 1.96 * 0.04, abs=0.011)
    assert figure["high"] == pytest.approx(0.8 + 1.96 * 0.04, abs=0.011)
    assert figure["reason"] is None


def test_slides_of_one_patient_widen_the_interval():
    """Ten patients with ten like slides each: the standard error is that of ten cases, sqrt(10) times that of a hundred."""
    targets = np.tile([0, 1], 50)
    patients = [f"p{number // 10}" for number in range(100)]
    right = np.arange(100) // 10 % 5 != 0
    scores = table(targets, np.where(right, targets, 1 - targets) * 0.8 + 0.1)
    alone = measure(scores, draws=1000)["figures"]["accuracy"]
    found = measure(scores, patients=patients)
    together = found["figures"]["accuracy"]
    assert found["patients"] == 10
    assert found["interval"]["method"] == "percentile bootstrap of patients"
    assert (together["high"] - together["low"]) > 2.5 * (alone["high"] - alone["low"])


def test_a_resample_keeps_patients_whole():
    counts = resample_counts(6, ["b", "a", "b", "c", "a", "b"], 200, 0)
    assert (counts[:, [0]] == counts[:, [2, 5]]).all()
    assert (counts[:, 1] == counts[:, 4]).all()
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert counts[:, [0, 1, 3]].mean(axis=0) == pytest.approx(1, abs=0.2)
    assert (resample_counts(6, None, 20, 0).sum(axis=1) == 6).all()
    assert resample_counts(0, None, 20, 0).size == 0


@pytest.mark.parametrize("classes", [2, 4])
def test_figures_of_resamples_are_those_of_the_cases_repeated(classes):
    """Few cases with coarse probabilities: ties, classes that a resample lacks, and all undefined figures occur."""
    random = np.random.default_rng(classes)
    targets = random.integers(0, classes, 9)
    weights = random.integers(1, 4, (9, classes)) + np.eye(classes)[targets]
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    positive = 1 if classes == 2 else None
    counts = resample_counts(9, None, 60, 1)
    found = resampled_figures(targets, probabilities, positive, counts)
    undefined = set()
    for draw, repeats in enumerate(counts):
        rows = np.repeat(np.arange(9), repeats)
        for name, value in figures(targets[rows], probabilities[rows], positive).items():
            assert found[name][draw] == pytest.approx(value, nan_ok=True), name
            undefined |= {name} if np.isnan(value) else set()
    assert {"roc_auc", "balanced_accuracy", "f1_macro"} <= undefined


def test_intervals_repeat_with_their_seed():
    scores = table([0, 1] * 10, np.linspace(0.2, 0.8, 20))
    first, again, other = (measure(scores, draws=20, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["figures"] != other["figures"]


def test_intervals_that_mean_little_say_so():
    perfect = measure(table([0, 1] * 5, [0.1, 0.9] * 5), draws=50)["figures"]["accuracy"]
    assert (perfect["value"], perfect["low"], perfect["high"]) == (1, 1, 1)
    assert "No interval can be told" in perfect["reason"]
    assert with_interval(0.5, [np.nan, np.nan, 0.5], "")["low"] is None
    assert "lack a class" in with_interval(0.5, [np.nan, np.nan, 0.5], "")["reason"]
    assert with_interval(0.5, [], "")["reason"] == "No interval was asked for."


def test_what_can_not_be_measured_is_one_sentence():
    with pytest.raises(TrainingError, match="no labelled slide"):
        measure(table([], np.zeros((0, 2))))
    with pytest.raises(TrainingError, match="answer for s1 is no probability"):
        measure(table([0, 1], [0.5, np.nan]))
    with pytest.raises(TrainingError, match="2 slides were measured but 1 patients"):
        measure(table([0, 1], [0.5, 0.5]), patients=["p"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", np.log([0.9, 0.8, 0.3, 0.9, 0.3]).mean()),
        ("auc", 5 / 6),
        ("balanced_accuracy", 7 / 12),
        ("f1", 1 / 2),
        ("auc+f1", 5 / 6 + 1 / 2),
    ],
)
def test_more_of_a_selection_value_is_better(name, value):
    assert selection_value(SMALL, name) == pytest.approx(value)


def test_selection_without_a_class():
    lacking = table([0, 0], [0.1, 0.2])
    assert selection_value(lacking, "loss") == pytest.approx(np.log([0.9, 0.8]).mean())
    for name in ("auc", "f1", "auc+f1", "balanced_accuracy"):
        with pytest.raises(TrainingError, match="none of class tumour, so the best epoch can't be chosen"):
            selection_value(lacking, name)


def test_f1_of_many_classes_is_their_mean():
    scores = table([0, 1, 2, 2], [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]], "abc")
    assert selection_value(scores, "f1") == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)


def test_patches_by_hand():
    labels = {"one": np.array([1, 0, 0, -1]), "two": np.array([1, 1, 0]), "clean": np.array([0, 0]), "bare": np.array([-1])}
    scores = {
        "one": np.array([0.9, 0.1, 0.2, 1.0]),
        "two": np.array([0.8, 0.3, 0.6]),
        "clean": np.array([0.4, 0.0]),
        "bare": np.array([0.1]),
    }
    found = instance_metrics(labels, scores, draws=50)
    assert (found["slides"], found["patches"], found["positive"]) == (3, 8, 3)
    told = values(found)
    assert told["roc_auc"] == pytest.approx(13 / 15)  # of 3 x 5 pairs (0.3, 0.6) and (0.3, 0.4) are the wrong way round
    assert told["average_precision"] == pytest.approx((1 + 1 + 3 / 5) / 3)  # ranks 1, 2 and 5
    assert told["slide_roc_auc"] == pytest.approx((1 + 1 / 2) / 2)
    assert [row["roc_auc"] for row in found["per_slide"]] == [1, 0.5, None]
    json.dumps(found, allow_nan=False)


def test_patches_that_can_not_be_compared():
    nothing = instance_metrics({"a": np.array([-1])}, {"a": np.array([0.5])})
    assert nothing["figures"]["roc_auc"]["reason"] == "No patch is labelled."
    alike = instance_metrics({"a": np.array([1, 1])}, {"a": np.array([0.5, 0.4])}, draws=5)
    assert alike["figures"]["roc_auc"]["reason"] == "The labelled patches are all of one kind."
    with pytest.raises(TrainingError, match="Slide a has 2 patch labels but 1 patch scores"):
        instance_metrics({"a": np.array([1, 0])}, {"a": np.array([0.5])})
    with pytest.raises(TrainingError, match="Slide a has 2 patch labels but no patch scores"):
        instance_metrics({"a": np.array([1, 0])}, {})
    with pytest.raises(TrainingError, match="other than 1, 0 and -1"):
        instance_metrics({"a": np.array([1, 2])}, {"a": np.array([0.5, 0.4])})
