"""The commands that look at saved predictions: compare and inspect."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

import napari_wsimil as ws


@pytest.fixture
def saved(tmp_path):
    """Two predictions of one slide with two magnifications each, and one of another slide."""
    x, y = np.meshgrid(np.arange(6) * 100, np.arange(5) * 100)
    fine = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.int64)
    random = np.random.default_rng(0)

    def made(model, fingerprint="f"):
        return ws.SlidePrediction(
            {"normal": 0.4, "tumour": 0.6},
            {
                0.5: ws.PatchScores(fine, 100.0, random.random(30).astype(np.float32)),
                1.0: ws.PatchScores(fine[::2] // 200 * 200, 200.0, random.random(15).astype(np.float32)),
            },
            provenance={
                "slide": {
                    "path": f"{fingerprint}.svs",
                    "fingerprint": fingerprint,
                    "width": 600,
                    "height": 500,
                    "mpp": [0.5, 0.5],
                    "origin": [0, 0],
                },
                "model": {"id": model, "digest": "0", "method": "abmil", "positive_class": "tumour"},
                "encoder": {"id": "none", "digest": "0"},
                "patches": {"mpp": [0.5, 1.0], "size": 200, "stride": 200, "digest": {}, "counts": {}},
                "device": "cpu",
                "seconds": {"total": 3.2},
            },
        )

    first = made("one")
    return [
        first.save(tmp_path / "one.prediction.h5"),
        replace(first, probabilities={"normal": 0.1, "tumour": 0.9}).save(tmp_path / "two.prediction.h5"),
        made("three").save(tmp_path / "three.prediction.h5"),
        made("one", "g").save(tmp_path / "other.prediction.h5"),
    ]


def test_two_predictions(run, saved, tmp_path):
    out, places = tmp_path / "pairs.csv", tmp_path / "places.csv"
    code, text, _ = run("compare", saved[0], saved[1], "--out", out, "--places", places)
    assert code == 0
    assert "first   one" in text
    assert "The two agree closely: rank correlation 1.00." in text
    assert "probability of tumour" in text
    with out.open() as file:
        (row,) = csv.DictReader(file)
    assert (row["first"], row["second"], float(row["spearman"])) == ("one", "two", pytest.approx(1))
    assert float(row["prob_tumour_difference"]) == pytest.approx(-0.3)
    with places.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    assert {float(row["difference"]) for row in rows} == {0.0}
    assert (rows[1]["x"], rows[1]["y"], rows[1]["side"]) == ("100", "0", "100.0")


def test_more_are_compared_each_with_each(run, saved):
    code, text, _ = run("compare", *saved[:3], "--json")
    assert code == 0
    pairs = json.loads(text)
    assert [(pair["first"], pair["second"]) for pair in pairs] == [("one", "two"), ("one", "three"), ("two", "three")]
    assert pairs[0]["spearman"] == pytest.approx(1)
    assert pairs[1]["spearman"] == pytest.approx(pairs[2]["spearman"])


def test_files_of_one_name_are_told_apart_by_their_folders(run, saved):
    again = saved[0].parent / "again" / saved[0].name
    again.parent.mkdir()
    again.write_bytes(saved[0].read_bytes())
    _, text, _ = run("compare", saved[0], again, "--json")
    (pair,) = json.loads(text)
    assert pair["second"] == "again/one"
    assert pair["first"] == f"{saved[0].parent.name}/one"


def test_one_is_compared_with_itself_and_magnifications_are_chosen(run, saved):
    code, text, _ = run("compare", saved[0], "--json")
    assert code == 0
    assert [json.loads(text)[0][name] for name in ("mpp_first", "mpp_second")] == [0.5, 1.0]
    code, text, _ = run(
        "compare", saved[0], saved[2], "--mpp", 1, "--mpp", 0.5, "--scale", "times average", "--top", 3, "--json"
    )
    assert code == 0
    (pair,) = json.loads(text)
    assert (pair["mpp_first"], pair["mpp_second"], pair["scale"], pair["top"]) == (1.0, 0.5, "times average", 3)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((0, 3), "same slide"),
        ((0, 1, "--by", "instances", "--class", "tumour"), "no instances"),
        ((0, 1, "--mpp", "0.5"), "twice"),
        ((0, 1, 2, "--places", "x.csv"), "one pair"),
        ((0, 1, "--out", "/no/such/folder/x.csv"), "no folder"),
        ((0, 1, "--out", 1), "end in .csv"),
        ((0, 1, "--out", "x.csv", "--places", "x.csv"), "two names"),
        ((0, 1, "--top", "inf"), "a share (0.1) or a number"),
        ((0, "no\nfile"), "no file no file"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(run, saved, given, sentence):
    words = [saved[word] if isinstance(word, int) else word for word in given]
    code, _, err = run("compare", *words)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err


def test_one_place_of_a_prediction(run, saved):
    code, text, _ = run("inspect", saved[0], "--point", "150,50")
    assert code == 0
    assert "1 µm/px  (0, 0) + 200 px: attention" in text
    assert "patches in it at 0.5 µm/px" in text
    code, text, _ = run("inspect", saved[0], "--point", "150,50", "--mpp", 0.5, "--json")
    found = json.loads(text)
    assert found["mpp"] == 0.5
    assert found["patches"][1]["patch"] == {"mpp": 0.5, "x": 100, "y": 0, "size_level0": 100.0}
    assert found["children"] == []
    code, text, _ = run("inspect", saved[0], "--point", "-9000,1e300")
    assert text.count("no patch here") == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(("--point", "nan,1"), "is no point"), (("--point", "150,50", "--mpp", 3), "no patches at 3 µm/px; choose from 1, 0.5")],
)
def test_a_place_that_makes_no_sense(run, saved, options, sentence):
    code, text, err = run("inspect", saved[0], *options)
    assert (code, text) == (2, "")
    assert sentence in err
