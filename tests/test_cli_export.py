"""The command `export`."""

import numpy as np
import pytest
from PIL import Image

from napari_wsimil.exports import FORMATS
from napari_wsimil.inference.prediction import PatchScores, SlidePrediction


@pytest.fixture(scope="module")
def saved(tiny_slide, tmp_path_factory):
    import napari_wsimil as ws

    with ws.open_slide(tiny_slide) as slide:
        about = {"path": str(tiny_slide), "name": slide.name, "fingerprint": slide.fingerprint, "mpp": list(slide.mpp)}
        about |= {"width": slide.width, "height": slide.height}
    scores = PatchScores(np.int64([[256, 256], [512, 256], [512, 512]]), 256, np.float32([0.2, 0.3, 0.5]))
    path = tmp_path_factory.mktemp("predictions") / "tiny.prediction.h5"
    return SlidePrediction({"normal": 0.2, "tumour": 0.8}, {0.5: scores}, provenance={"slide": about}).save(path)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(run, saved, tmp_path, name):
    code, out, err = run("export", saved, "--format", name, "--out", tmp_path / "a")
    assert code == 0, err
    path = tmp_path / f"a{FORMATS[name].suffix}"
    assert out == f"wrote {path}\n"
    assert path.stat().st_size > 0


def test_a_figure_as_asked(run, saved, tmp_path):
    options = ("--region", "256,256,768,640", "--mpp", 1, "--no-legend", "--no-scale-bar", "--no-overlays", "--dpi", 100)
    code, _, err = run("export", saved, "--out", tmp_path / "a.png", *options)
    assert code == 0, err
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (256, 192)
        assert round(image.info["dpi"][0]) == 100
    code, _, err = run("export", saved, "--out", tmp_path / "b.png", "--width", 300, "--title", "--side-by-side", "--top", 0)
    assert code == 0, err
    with Image.open(tmp_path / "b.png") as image:
        assert image.size[0] > 600


def test_a_slide_that_moved(run, saved, tiny_slide, tmp_path):
    import napari_wsimil as ws
    from napari_wsimil.inference import load_prediction

    prediction = load_prediction(saved)
    prediction.provenance["slide"]["path"] = str(tmp_path / "gone.tiff")
    moved = prediction.save(tmp_path / "moved.prediction.h5")
    code, _, err = run("export", moved, "--out", tmp_path / "a.html")
    assert code == 2
    assert "--slide PATH" in err
    assert run("export", moved, "--out", tmp_path / "a.html", "--slide", tiny_slide)[0] == 0
    assert ws.__version__ in (tmp_path / "a.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("how", ["export", "predict"])
def test_the_slide_itself_is_never_replaced(run, saved, tiny_slide, random_model, tmp_path, how):
    import napari_wsimil as ws

    slide = tmp_path / "tiny.tiff"
    slide.write_bytes(tiny_slide.read_bytes())
    prediction = ws.load_prediction(saved)
    prediction.provenance["slide"]["path"] = str(slide)
    moved = prediction.save(tmp_path / "moved.prediction.h5")
    arguments = {
        "export": (moved, "--out", slide),
        "predict": (slide, "--model", random_model.source, "--out", tmp_path, "--format", "tiff"),
    }
    code, _, err = run(how, *arguments[how])
    assert code == 2
    assert "is the slide itself" in err
    assert slide.read_bytes() == tiny_slide.read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "a.png", "--region", "1,2"), "give level-0 pixels as X0,Y0,X1,Y1"),
        (("--out", "a.png", "--region", "9,9,1,1"), "is empty"),
        (("--out", "a.png", "--region", "0,0,inf,9"), "is no region"),
        (("--out", "a.png", "--region", "0,0,1e12,1e12"), "far larger than the slide"),
        (("--out", "a.png", "--mpp", "1e-300"), "coarser resolution"),
        (("--out", "a.png", "--mpp", "1", "--width", "99"), "either mpp or the width"),
        (("--out", "a.html", "--width", "99"), "are for figures"),
        (("--out", "a.png", "--dpi", "0"), "pixels per inch"),
        (("--out", "a.doc"), "end it in"),
        (("--out", "a", "--format", "word"), "choose from geojson, asap"),
        (("--out", "nowhere/a.svg"), "no folder"),
    ],
)
def test_bad_input_is_one_sentence(run, saved, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("export", saved, *options)
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []
