"""The command `regions`: a table, and pictures of what the model saw."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import napari_wsimil as ws
from napari_wsimil.inference import PatchScores, SlidePrediction


@pytest.fixture
def saved(tiny_slide, tmp_path):
    """A saved prediction of a copy of a slide, 4 x 3 patches of 1 µm per pixel, which is coarser than the slide."""
    path = shutil.copy(tiny_slide, tmp_path / "case.tiff")
    column, row = np.meshgrid(np.arange(3), np.arange(2))
    xy = np.stack([column.ravel(), row.ravel()], axis=1) * 512
    tumour = np.linspace(0.1, 0.9, 6).astype(np.float32)
    with ws.open_slide(path) as slide:
        about = {"path": str(path), "fingerprint": slide.fingerprint, "width": slide.width, "height": slide.height}
        about |= {"mpp": list(slide.mpp), "mpp_source": slide.mpp_source, "origin": [0, 0]}
    prediction = SlidePrediction(
        {"normal": 0.2, "tumour": 0.8},
        {1.0: PatchScores(xy, 512.0, tumour / tumour.sum())},
        instances={1.0: PatchScores(xy, 512.0, np.stack([1 - tumour, tumour], axis=1))},
        provenance={
            "slide": about,
            "model": {"id": "made", "digest": "0", "method": "abmil", "positive_class": "tumour"},
            "encoder": {"id": "none", "digest": "0"},
            "patches": {"mpp": [1.0], "size": 256, "stride": 256, "digest": {}, "counts": {}},
        },
    )
    return prediction.save(tmp_path / "case.prediction.h5")


def test_a_table_for_people(run, saved):
    code, out, err = run("regions", saved, "--top", 2)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Attention",
        "rank   score     x    y  mpp",
        "   1     0.3  1024  512    1",
        "   2  0.2467   512  512    1",
    ]


def test_one_for_programs_by_class_from_the_low_end(run, saved):
    code, out, _ = run("regions", saved, "--class", "normal", "--lowest", "--top", 1, "--json")
    assert code == 0
    assert json.loads(out) == {
        "regions": [
            {
                "rank": 1,
                "score": pytest.approx(0.1),
                "by": "Normal probability",
                "class": "normal",
                "x": 1024,
                "y": 512,
                "size_level0": 512.0,
                "mpp": 1.0,
            }
        ],
        "files": [],
    }


def test_pictures_are_what_the_model_saw(run, saved, tmp_path):
    code, out, _ = run("regions", saved, "--by", "instances", "--top", 3, "--out", tmp_path / "out")
    assert code == 0
    assert "wrote 3 pictures and regions.csv" in out
    with (tmp_path / "out" / "regions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert (rows[1]["by"], rows[1]["class"], rows[1]["mpp"]) == ("Tumour probability", "tumour", "1.0")
    with ws.open_slide(tmp_path / "case.tiff") as slide:
        for row in rows:
            picture = Image.open(tmp_path / "out" / row["file"])
            expected = slide.read_region(float(row["x"]), float(row["y"]), 256, 256, mpp=1.0)
            assert np.array_equal(np.asarray(picture), expected)
            assert picture.info["dpi"][0] == pytest.approx(25400, rel=1e-3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*(row["file"] for row in rows), "regions.csv"]


def test_the_slide_may_have_moved(run, saved, tmp_path, write_slide):
    (tmp_path / "case.tiff").rename(tmp_path / "moved.tiff")
    code, _, err = run("regions", saved, "--out", tmp_path / "out")
    assert code == 2
    assert "any more: say where it is now with slide=... (--slide PATH)" in err
    assert run("regions", saved, "--out", tmp_path / "out", "--slide", tmp_path / "moved.tiff")[0] == 0
    other = write_slide(tmp_path / "other.tiff", width=1024, height=1024)
    code, _, err = run("regions", saved, "--out", tmp_path / "elsewhere", "--slide", other)
    assert code == 2
    assert "is not the slide that was predicted" in err
    assert not (tmp_path / "elsewhere").exists()


def test_similar_ones_by_what_predict_kept(run, tiny_slide, random_model, tmp_path):
    prediction = ws.predict(tiny_slide, random_model, device="cpu", store=tmp_path / "store")
    path = prediction.save(tmp_path / "tiny.prediction.h5")
    code, out, _ = run("regions", path, "--similar-to", "700,700", "--store", tmp_path / "store", "--top", 2)
    assert code == 0
    assert out.startswith("Similarity to (512, 512)\n")
    assert len(out.splitlines()) == 4


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--by", "zoom"], "no ranking by zoom; it has Attention (attention), Tumour probability (instances)"),
        (["--mpp", 0.25], "no ranking at 0.25 µm/px"),
        (["--class", "cat"], "no ranking of class 'cat'"),
        (["--similar-to", "1000,300"], "are not kept in"),
        (["--similar-to", "here"], "'here' is no point; give level-0 pixels as X,Y"),
        (["--similar-to", "1,2", "--by", "zoom"], "leave --by and --class out"),
        (["--store", "somewhere"], "--store is for --similar-to"),
    ],
)
def test_bad_input_is_one_sentence(run, saved, options, sentence, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_WSIMIL_CACHE", str(tmp_path / "cache"))
    code, _, err = run("regions", saved, *options)
    assert code == 2
    assert sentence in " ".join(err.split())
    assert "Traceback" not in err


def test_a_folder_that_cannot_be_written(run, saved, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, err = run("regions", saved, "--out", tmp_path / "file" / "inside")
    assert code == 2
    assert "Can't write to" in err
