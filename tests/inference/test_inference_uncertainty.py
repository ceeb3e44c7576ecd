"""Patches that the model is least sure of come first; teacher and student are measured against each other as WENO does."""

from __future__ import annotations

import numpy as np
import pytest

import napari_wsimil as ws
from napari_wsimil.inference import PatchScores, SlidePrediction
from napari_wsimil.inference.uncertainty import can_disagree, patch_disagreement, patch_uncertainty, slide_disagreement

SIDE = 256.0
XY = np.array([[0, 0], [256, 0], [512, 0], [768, 0]], np.int64)


def taught(logits, student, *, positive=True, method="weno"):
    """A prediction of a teacher with these attention logits and a student with these probabilities."""
    paid = np.exp(np.asarray(logits, np.float64))
    student = np.asarray(student, np.float32)
    share = 0.9 if positive else 0.1
    return SlidePrediction(
        {"normal": 1 - share, "tumour": share},
        {0.5: PatchScores(XY, SIDE, (paid / paid.sum()).astype(np.float32))},
        instances={0.5: PatchScores(XY, SIDE, np.stack([1 - student, student], axis=1))},
        provenance={"model": {"id": "m", "method": method, "positive_class": "tumour"}},
    )


def test_entropy_is_largest_where_all_classes_are_equally_probable():
    table = np.array([[0.5, 0.5], [1, 0], [0.9, 0.1], [np.nan, np.nan]], np.float32)
    prediction = SlidePrediction({"a": 0.5, "b": 0.5}, {}, instances={0.5: PatchScores(XY, SIDE, table)})
    values = patch_uncertainty(prediction, 0.5).values
    assert values[:2].tolist() == [1, 0]
    assert values[2] == pytest.approx(-(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1)), abs=1e-6)
    assert np.isnan(values[3])
    ranked = ws.rank_patches(prediction, "Uncertainty")
    assert [one.patch.x for one in ranked] == [0, 512, 256]


def test_one_column_and_three_classes():
    one = SlidePrediction({"a": 0.5, "b": 0.5}, {}, instances={0.5: PatchScores(XY, SIDE, np.float32([0.5, 0, 1, 0.2]))})
    assert patch_uncertainty(one, 0.5).values[:3].tolist() == [1, 0, 0]
    third = np.full((4, 3), 1 / 3, np.float32)
    three = SlidePrediction({"a": 0.5, "b": 0.3, "c": 0.2}, {}, instances={0.5: PatchScores(XY, SIDE, third)})
    assert patch_uncertainty(three, 0.5).values == pytest.approx(1)


def test_disagreement_is_between_the_stretched_logits_and_the_student():
    prediction = taught([-3, 1, -1, 0], [0.0, 0.25, 0.5, 0.75])
    values = patch_disagreement(prediction, 0.5).values
    assert values == pytest.approx([0, 0.75, 0, 0], abs=1e-5)
    assert slide_disagreement(prediction) == pytest.approx(0.1875, abs=1e-5)
    assert ws.rank_patches(prediction, "Disagreement of teacher and student")[0].patch.x == 256


def test_on_a_negative_slide_the_teacher_says_that_nothing_is_positive():
    values = patch_disagreement(taught([-3, 1, -1, 0], [0.0, 0.25, 0.5, 0.75], positive=False), 0.5).values
    assert values == pytest.approx([0, 0.25, 0.5, 0.75], abs=1e-6)


def test_models_without_teacher_and_student_do_not_disagree():
    prediction = taught([0, 1, 2, 3], [0, 0, 1, 1], method="abmil")
    assert can_disagree(prediction) == []
    assert slide_disagreement(prediction) is None
    assert "disagreement" not in {one.by for one in ws.rankings(prediction)}


def test_attention_that_is_equal_everywhere_says_neither_yes_nor_no():
    assert patch_disagreement(taught([1, 1, 1, 1], [0, 0.5, 1, 0.5]), 0.5).values == pytest.approx([0.5, 0, 0.5, 0])
