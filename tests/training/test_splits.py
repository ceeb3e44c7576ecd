"""Splits: no patient on two sides, every class on each, what the manifest says holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.manifest import Case, Manifest
from napari_wsimil.training.data.splits import k_folds, split_cases


def manifest(counts, *, slides=2, splits=None, folds=None):
    """`counts` patients of each class, `slides` of each patient."""
    cases = []
    for label, patients in counts.items():
        for patient in range(patients):
            for slide in range(slides):
                name, number = f"{label}{patient}-{slide}", len(cases)
                split = splits[number] if splits else None
                fold = folds[number] if folds else None
                cases.append(Case(name, Path(name), label, f"{label}{patient}", split, fold))
    return Manifest(Path("m.csv"), tuple(cases), tuple(sorted(counts)))


def labels(cases):
    return Counter(case.label for case in cases)


def check_apart(split, cases):
    sides = split.train, split.validation, split.test
    assert sorted(case.name for side in sides for case in side) == sorted(case.name for case in cases)
    patients = [{case.patient for case in side} for side in sides]
    assert sum(map(len, patients)) == len(set.union(*patients))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("counts", [{"n": 35, "t": 15}, {"n": 3, "t": 3}, {"n": 60, "t": 3}, {"a": 12, "b": 9, "c": 5}])
def test_patients_stay_together_and_every_class_is_on_every_side(counts, seed):
    given = manifest(counts)
    split = split_cases(given, seed=seed)
    check_apart(split, given.cases)
    for side in (split.train, split.validation, split.test):
        assert labels(side).keys() == counts.keys()
    assert split == split_cases(given, seed=seed)


def test_shares_are_about_what_was_asked_in_each_class():
    given = manifest({"n": 60, "t": 40}, slides=1)
    split = split_cases(given, validation=0.2, test=0.3)
    # 0.3 is 2 of 7; 0.2 of all is 2 of 7 of what the test leaves
    assert labels(split.test) == {"n": 17, "t": 11}
    assert labels(split.validation)["n"] == pytest.approx(12, abs=1)
    assert labels(split.validation)["t"] == pytest.approx(8, abs=1)
    assert split_cases(given, seed=1) != split_cases(given, seed=2)


def test_shares_of_zero():
    split = split_cases(manifest({"n": 2, "t": 1}), validation=0, test=0)
    assert len(split.train) == 6
    assert split.validation == split.test == ()


def test_patients_of_very_different_size():
    cases = [Case(f"big{i}", Path(f"big{i}"), "n", "big") for i in range(30)]
    cases += [Case(f"{label}{i}", Path(f"{label}{i}"), label, f"{label}{i}") for label in "nt" for i in range(9)]
    split = split_cases(Manifest(Path("m.csv"), tuple(cases), ("n", "t")))
    check_apart(split, cases)
    assert "big" in {case.patient for case in split.train}


def test_a_patient_with_slides_of_both_classes_is_one_patient():
    cases = [Case(f"{label}{i}", Path(f"{label}{i}"), label, f"P{i}") for label in "nt" for i in range(10)]
    check_apart(split_cases(Manifest(Path("m.csv"), tuple(cases), ("n", "t"))), cases)


def test_what_the_manifest_says_holds():
    told = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2 + ["train"] * 4 + ["test"] * 2
    given = manifest({"n": 5, "t": 3}, splits=told)
    split = split_cases(given, validation=0.5)
    assert [case.split for case in split.train] == ["train"] * 10
    assert len(split.validation) == 2
    assert len(split.test) == 4


def test_validation_comes_from_training_where_the_manifest_names_none():
    told = ["train"] * 8 + ["test"] * 2 + ["train"] * 6 + ["test"] * 2
    given = manifest({"n": 5, "t": 4}, splits=told)
    split = split_cases(given)
    check_apart(split, given.cases)
    assert len(split.test) == 4
    assert labels(split.validation).keys() == {"n", "t"}
    assert {case.split for case in split.validation} == {"train"}


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_each_slide_is_tested_once(folds):
    given = manifest({"n": 9, "t": 5})
    splits = k_folds(given, folds)
    assert len(splits) == folds
    for split in splits:
        check_apart(split, given.cases)
        assert labels(split.test).keys() == labels(split.validation).keys() == {"n", "t"}
    assert sorted(case.name for split in splits for case in split.test) == sorted(case.name for case in given.cases)


def test_folds_of_the_manifest_hold():
    given = manifest({"n": 6, "t": 6}, slides=1, folds=[1, 2, 7] * 4)
    splits = k_folds(given, 5)
    assert [{case.fold for case in split.test} for split in splits] == [{1}, {2}, {7}]
    assert split_cases(given).test == splits[0].test


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: split_cases(manifest({"n": 9, "t": 1})), "too few patients of class 't' for test beside training"),
        (lambda: split_cases(manifest({"n": 9, "t": 2})), "too few patients of class 't' for validation beside training"),
        (lambda: split_cases(manifest({"n": 9, "t": 9}), test=0.6, validation=0.4), "must be from 0 to 1 and leave"),
        (lambda: split_cases(manifest({"n": 1, "t": 1}, splits=["train", None, "test", "test"])), "n0-1 has no split"),
        (
            lambda: split_cases(manifest({"n": 1, "t": 1}, splits=["train"] * 2 + ["test"] * 2)),
            "no slide of class 't' to train",
        ),
        (
            lambda: k_folds(manifest({"n": 9, "t": 3}), 5),
            "only 3 patients of class 't', too few for 5 folds; ask for at most 3",
        ),
        (lambda: k_folds(manifest({"n": 9, "t": 9}), 1), "at least 2 folds, not 1"),
        (lambda: k_folds(manifest({"n": 1, "t": 1}, splits=["train"] * 4)), "needs a column 'fold', or neither"),
        (lambda: k_folds(manifest({"n": 1, "t": 1}, folds=[0, 0, 0, None])), "t0-1 has no fold"),
        (lambda: k_folds(manifest({"n": 1, "t": 1}, folds=[3] * 4)), "has only the fold 3"),
        (lambda: k_folds(manifest({"n": 1, "t": 2}, folds=[0, 0, 1, 1, 2, 2])), "no slide of class 'n'|too few patients"),
    ],
)
def test_faults_are_sentences(call, words):
    with pytest.raises(TrainingError, match=words):
        call()
