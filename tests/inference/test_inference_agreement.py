"""A prediction beside what was drawn, by numbers computed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

import napari_wsimil as ws
from napari_wsimil.annotations import Region
from napari_wsimil.errors import AnnotationError, PredictionError
from napari_wsimil.inference import PatchScores
from napari_wsimil.inference.agreement import judge


def prediction(tumour, attention=None, mpp=0.5):
    """Patches of 100 px in one row with these probabilities of tumour."""
    tumour = np.asarray(tumour, np.float32)
    xy = np.stack([np.arange(len(tumour)) * 100, np.zeros(len(tumour))], axis=1).astype(np.int64)
    weights = tumour if attention is None else np.asarray(attention, np.float32)
    return ws.SlidePrediction(
        probabilities={"normal": 0.2, "tumour": 0.8},
        attention={mpp: PatchScores(xy, 100.0, weights)},
        instances={mpp: PatchScores(xy, 100.0, np.stack([1 - tumour, tumour], axis=1))},
        provenance={
            "slide": {"path": "a.tiff", "fingerprint": "f", "width": 900, "height": 900, "mpp": [0.5, 0.5], "origin": [10, 0]},
            "model": {"id": "m", "digest": "0", "positive_class": "tumour"},
        },
    )


def drawn(*regions):
    return ws.Annotations(Path("here.geojson"), tuple(Region(name, shapely.box(*box)) for name, *box in regions))


def test_numbers_by_hand():
    found = ws.agreement(prediction([0.9, 0.4, 0.6, 0.1]), drawn(("Tumor", 0, 0, 200, 100)))
    assert (found.class_name, found.by, found.mpp) == ("tumour", "instances", 0.5)
    assert (found.positive, found.negative, found.ignored) == (2, 2, 0)
    assert found.auc == pytest.approx(3 / 4)
    assert found.dice == pytest.approx(2 / 4)  # one of two found, one of two alarms is false
    assert (found.sensitivity, found.specificity) == (0.5, 0.5)
    assert found.best_dice == pytest.approx(4 / 5)
    assert found.best_threshold == pytest.approx(0.4)
    (region,) = found.regions
    assert region.area == pytest.approx(200 * 100 * 0.25)
    assert (region.patches, region.bounds) == (2, (0, 0, 200, 100))
    assert region.mean_score == pytest.approx(0.65)
    assert region.share_above == 0.5


def test_equal_scores_count_half():
    found = ws.agreement(prediction([0.5, 0.5, 0.5, 0.1]), drawn(("tumour", 0, 0, 100, 100)))
    assert found.auc == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert found.best_dice == pytest.approx(2 / 4)


def test_attention_is_judged_as_its_percentile():
    found = ws.agreement(
        prediction([0.5] * 4, attention=[0.7, 0.2, 0.06, 0.04]), drawn(("tumour", 0, 0, 100, 100)), by="attention"
    )
    assert (found.auc, found.by) == (1.0, "attention")
    assert found.regions[0].mean_score == 1.0
    assert found.best_threshold == 1.0


def test_another_class_makes_the_rest_unknown_unless_told():
    regions = drawn(("tumour", 0, 0, 100, 100), ("Stroma", 100, 0, 200, 100), ("Ignore*", 200, 0, 300, 100))
    scores = prediction([0.9, 0.4, 0.6, 0.95])
    found = ws.agreement(scores, regions)
    assert (found.positive, found.negative, found.ignored) == (1, 1, 2)
    assert "not judged" in found.note
    told = ws.agreement(scores, regions, rest=True)
    assert (told.positive, told.negative, told.ignored) == (1, 2, 1)
    assert told.auc == 0.5


def test_one_class_of_several_against_the_rest():
    xy = np.array([[0, 0], [100, 0], [200, 0]])
    table = PatchScores(xy, 100.0, np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]], np.float32))
    three = ws.SlidePrediction({"a": 0.4, "b": 0.3, "c": 0.3}, {}, {1.0: table})
    regions = drawn(("A", 0, 0, 100, 100), ("b", 100, 0, 200, 100), ("not a", 200, 0, 300, 100))
    assert ws.agreement(three, regions).auc == 1.0
    found = ws.agreement(three, regions, class_name="b")
    assert (found.positive, found.negative, found.ignored) == (1, 1, 1)  # "not a" says nothing of b
    with pytest.raises(PredictionError, match="gives no attention; it gives instances"):
        ws.agreement(three, regions, by="attention")
    with pytest.raises(PredictionError, match="no class 'd'; choose from a, b, c"):
        ws.agreement(three, regions, class_name="d")
    with pytest.raises(PredictionError, match="no patches at 2 µm per pixel; choose from 1"):
        ws.agreement(three, regions, mpp=2)


def test_names_may_stand_for_classes():
    regions = drawn(("_0", 0, 0, 100, 100))
    with pytest.raises(AnnotationError, match=r"No region of here\.geojson is of the class 'tumour'; what is drawn is _0"):
        ws.agreement(prediction([0.9, 0.1]), regions)
    assert ws.agreement(prediction([0.9, 0.1]), regions, names={"_0": "tumour"}).auc == 1.0


def test_a_sentence_where_one_side_is_missing():
    everything = ws.agreement(prediction([0.9, 0.1]), drawn(("tumour", 0, 0, 200, 100)))
    assert everything.auc is None
    assert everything.specificity is None
    assert "every patch that is judged is tumour" in everything.note
    speck = ws.agreement(prediction([0.9, 0.1]), drawn(("tumour", 0, 0, 20, 20)))
    assert (speck.auc, speck.dice, speck.best_dice) == (None, None, None)
    assert "covers half of a patch" in speck.note
    assert speck.regions[0].mean_score == pytest.approx(0.9)
    with pytest.raises(AnnotationError, match="A threshold of 2"):
        ws.agreement(prediction([0.9, 0.1]), drawn(("tumour", 0, 0, 20, 20)), threshold=2)


def test_one_judgement_serves_all_thresholds():
    judged = judge(prediction([0.9, 0.4, 0.6, 0.1]), drawn(("tumour", 0, 0, 200, 100)))
    assert [judged.at(threshold).dice for threshold in (0, 0.4, 0.9)] == pytest.approx([4 / 6, 4 / 5, 2 / 3])
    assert judged.at(0.4) == ws.agreement(prediction([0.9, 0.4, 0.6, 0.1]), drawn(("tumour", 0, 0, 200, 100)), threshold=0.4)


def test_the_command_says_the_same(tmp_path, run):
    scores = prediction([0.9, 0.4, 0.6, 0.1])
    saved = scores.save(tmp_path / "a.prediction.h5")
    path = ws.write_annotations(drawn(("tumour", 0, 0, 200, 100)), tmp_path / "a.geojson", origin=(10, 0))
    code, out, err = run("agreement", saved, path, "--out", tmp_path / "regions.csv")
    assert (code, err) == (0, "")
    assert "2 of the class, 2 not, 0 not judged" in out
    assert "AUC          0.750" in out
    assert (tmp_path / "regions.csv").read_text().splitlines()[1] == "1,tumour,0.0,0.0,200.0,100.0,5000.0,2,0.65,0.5"
    code, out, _ = run("agreement", saved, path, "--json", "--threshold", 0.4, "--by", "instances")
    told = json.loads(out)
    assert (code, told["dice"]) == (0, pytest.approx(0.8))
    code, _, err = run("agreement", saved, path, "--class", "other")
    assert code == 2
    assert "The model knows no class 'other'" in err
    code, _, err = run("agreement", saved, path, "--means", "what")
    assert code == 2
    assert "NAME=CLASS" in err
