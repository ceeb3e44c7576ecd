from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types

import pytest

from napari_wsimil import __version__
from napari_wsimil.inference import load_prediction


def one_sentence(err: str) -> str:
    """The only line on stderr that the program wrote itself."""
    lines = [line for line in err.replace("\r", "\n").splitlines() if line.startswith("napari-wsimil: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


def test_version_and_help(run):
    assert run("--version") == (0, f"napari-wsimil, version {__version__}\n", "")
    code, out, _ = run("--help")
    assert code == 0
    for verb in ("info", "predict", "export", "models", "methods", "demo", "sample"):
        assert f"  {verb} " in out


def test_info(run, tiny_slide):
    code, out, err = run("info", tiny_slide, "--json")
    about = json.loads(out)
    assert (code, err) == (0, "")
    assert (about["width"], about["height"], about["backend"]) == (1536, 1280, "tiff")
    assert about["mpp"] == pytest.approx([0.5, 0.5])
    assert about["levels"][0] == {"index": 0, "width": 1536, "height": 1280, "downsample": 1.0, "tile_size": [256, 256]}
    code, out, _ = run("info", tiny_slide)
    assert code == 0
    assert "1536 x 1280 px" in out
    assert "0.5 x 0.5 µm (tiff)" in out


def test_info_with_mpp_by_hand(run, tiny_slide):
    _, out, _ = run("info", tiny_slide, "--json", "--mpp", "0.25")
    assert json.loads(out)["mpp"] == [0.25, 0.25]
    assert json.loads(out)["mpp_source"] == "user"


def test_info_tells_what_is_unknown(run, tmp_path, write_slide):
    code, out, err = run("info", write_slide(tmp_path / "unknown.tiff", mpp=None))
    assert code == 0
    assert "not stated" in out
    assert "unknown.tiff" in one_sentence(err)


def test_wrong_mpp_is_said_once(run, real_data):
    code, _, err = run("info", real_data("slides/cmu1_jpeg_wrong_mpp.tiff"))
    assert code == 0
    assert "0.00499 µm" in one_sentence(err)
    assert "SlideWarning" not in err


def test_predict_writes_and_tells(run, tiny_slide, random_model, tmp_path):
    out_folder = tmp_path / "new" / "folder"
    arguments = (
        "--model",
        random_model.source,
        "--out",
        out_folder,
        "--device",
        "cpu",
        "--format",
        "geojson",
        "--format",
        "csv",
    )
    code, out, err = run("predict", tiny_slide, *arguments)
    assert code == 0, err
    assert sorted(path.name for path in out_folder.iterdir()) == ["tiny.csv", "tiny.geojson", "tiny.prediction.h5"]
    prediction = load_prediction(out_folder / "tiny.prediction.h5")
    numbers = ", ".join(f"{name} {value:.3f}" for name, value in prediction.probabilities.items())
    assert out.startswith(f"tiny.tiff: {numbers}  (12 patches, ")
    assert json.loads((out_folder / "tiny.geojson").read_text())["type"] == "FeatureCollection"


def test_predict_goes_on_after_a_bad_slide(run, tiny_slide, random_model, tmp_path):
    bad, text = tmp_path / "empty.svs", tmp_path / "text.svs"
    bad.touch()
    text.write_text("no slide")
    arguments = ("--model", random_model.source, "--out", tmp_path / "out", "--workers", "0", "--json")
    code, out, err = run("predict", bad, tiny_slide, text, *arguments)
    assert code == 2
    first, second, third = json.loads(out)
    assert "empty" in first["error"]
    assert second["patches"] == {"0.5": 12}
    assert sum(second["probabilities"].values()) == pytest.approx(1)
    assert [os.path.basename(path) for path in second["files"]] == ["tiny.prediction.h5"]  # noqa: PTH119
    assert third["slide"] == str(text)
    assert err.count("napari-wsimil: ") == 2
    assert "Traceback" not in err


def test_slides_of_the_same_name_do_not_overwrite_each_other(run, tiny_slide, random_model, tmp_path, write_slide):
    other = write_slide(tmp_path / "tiny.tiff", width=1280)
    arguments = ("--model", random_model.source, "--out", tmp_path / "out", "--store", tmp_path / "store", "--workers", "0")
    assert run("predict", tiny_slide, other, *arguments)[0] == 0
    widths = [
        load_prediction(tmp_path / "out" / f"{name}.prediction.h5").provenance["slide"]["width"] for name in ("tiny", "tiny-2")
    ]
    assert widths == [1536, 1280]
    assert len(list((tmp_path / "store").rglob("*.h5"))) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--model", "/nowhere"), 'There is no model "/nowhere"'),
        (("--device", "cuda:99"), "choose auto or cpu"),
        (("--device", "abacus"), "There is no device"),
    ],
)
def test_predict_refuses(run, tiny_slide, random_model, tmp_path, arguments, says):
    code, _, err = run("predict", tiny_slide, "--out", tmp_path / "out", "--model", random_model.source, *arguments)
    assert code == 2
    assert says in one_sentence(err)
    assert not (tmp_path / "out").exists()


def test_misspelt_options_are_refused(run, tiny_slide, tmp_path):
    code, _, err = run("predict", tiny_slide, "--out", tmp_path, "--format", "word")
    assert code == 2
    assert "choose from geojson, asap, csv" in err
    assert run("predict", tiny_slide)[0] == 2
    assert run("predict", "--out", tmp_path)[0] == 2
    assert run("info", tiny_slide, "--mpp", "0")[0] == 2
    assert run("unheard")[0] == 2


def test_folder_that_cannot_be_made(run, tiny_slide, random_model, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, err = run("predict", tiny_slide, "--model", random_model.source, "--out", tmp_path / "file" / "out")
    assert code == 2
    assert "can't be made" in one_sentence(err)


def test_export(run, tiny_slide, random_model, tmp_path):
    run("predict", tiny_slide, "--model", random_model.source, "--out", tmp_path)
    saved = tmp_path / "tiny.prediction.h5"
    code, out, _ = run("export", saved, "--out", tmp_path / "a.csv")
    assert (code, out) == (0, f"wrote {tmp_path / 'a.csv'}\n")
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 13
    assert run("export", saved, "--format", "geojson", "--out", tmp_path / "b.json")[0] == 0
    assert len(json.loads((tmp_path / "b.json").read_text())["features"]) > 0
    code, _, err = run("export", tmp_path / "a.csv", "--out", tmp_path / "c.csv")
    assert code == 2
    assert "is no saved prediction" in one_sentence(err)


def test_export_threshold_and_top_choose_what_is_written(run, tiny_slide, random_model, tmp_path):
    run("predict", tiny_slide, "--model", random_model.source, "--out", tmp_path)
    counts = []
    for options in (("--threshold", "0.5", "--top", "2"), ("--threshold", "0", "--top", "0")):
        out = tmp_path / "patches.geojson"
        assert run("export", tmp_path / "tiny.prediction.h5", "--out", out, *options)[0] == 0
        kinds = [feature["properties"]["objectType"] for feature in json.loads(out.read_text())["features"]]
        counts.append((kinds.count("annotation"), kinds.count("tile")))
    assert counts == [(2, 7), (0, 12)]  # the middle patch reaches the percentile
    assert run("export", tmp_path / "tiny.prediction.h5", "--out", out, "--threshold", "2")[0] == 2


def test_models(run, random_model, tmp_path, monkeypatch):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.json").write_text("{}")
    (tmp_path / "good").symlink_to(random_model.source)
    monkeypatch.setenv("NAPARI_WSIMIL_MODELS", str(tmp_path))
    code, out, _ = run("models", "--json")
    found = {model["name"]: model for model in json.loads(out)}
    assert code == 0
    assert found[str(tmp_path / "good")]["spec"]["method"] == "abmil"
    assert found[str(tmp_path / "broken")]["problem"]
    _, out, _ = run("models")
    assert "abmil, classes normal, tumour, 0.5 µm per pixel" in out
    assert "can't be used" in out


def test_methods(run):
    code, out, _ = run("methods")
    assert code == 0
    names = {line.split()[0] for line in out.splitlines()}
    assert {
        "abmil",
        "acmil",
        "ainet",
        "clam",
        "dsmil",
        "dtfd",
        "ilra",
        "lrmil",
        "max",
        "mean",
        "transmil",
        "weno",
        "zoommil",
    } <= names
    code, out, _ = run("methods", "zoommil")
    assert "selected = 16: Patches to look closer at" in out
    assert "jacobian = diag (diag | full)" in out
    assert "shows attention, instance logits, zoom" in out
    (about,) = json.loads(run("methods", "ainet", "--json")[1])
    assert {"balance", "regions"} & {parameter["name"] for parameter in about["parameters"]}
    assert any(parameter["guess"] for parameter in about["parameters"])
    code, _, err = run("methods", "nonsense")
    assert code == 2
    assert "'nonsense' is not known" in err


def test_backend_can_be_forced(run, tiny_slide):
    assert json.loads(run("info", tiny_slide, "--json", "--backend", "openslide")[1])["backend"] == "openslide"
    code, _, err = run("info", tiny_slide, "--backend", "paper")
    assert code == 2
    assert "no backend 'paper'" in err


def test_sample_refuses_a_bad_size(run, tmp_path):
    code, _, err = run("sample", "--out", tmp_path / "s.tiff", "--size", "2049")
    assert code == 2
    assert "1024" in one_sentence(err)


def test_sample(run, tmp_path, monkeypatch):
    asked = {}

    def make(path, *, progress, **named):
        asked.update(named)
        progress(1, 2)
        path.write_text("slide")
        return path

    monkeypatch.setattr("napari_wsimil.samples.make_sample_slide", make)
    path = tmp_path / "new" / "s.tiff"
    code, out, _ = run("sample", "--out", path, "--kind", "normal", "--seed", "7", "--size", "2048")
    assert (code, out) == (0, f"wrote {path}\n")
    assert asked == {"kind": "normal", "seed": 7, "size": 2048, "confounder": None}
    run("sample", "--out", path, "--confounder", "pen")
    assert asked["confounder"] == "pen"


def test_demo_hands_over_to_the_widgets(run, tmp_path, monkeypatch):
    asked = {}

    def show(out, headless):
        asked.update(out=out, headless=headless)
        return 0

    monkeypatch.setitem(sys.modules, "napari_wsimil.widgets.demo", types.SimpleNamespace(run=show))
    assert run("demo", "--headless", "--out", tmp_path)[0] == 0
    assert asked == {"out": tmp_path, "headless": True}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child")
def test_interrupting_ends_with_130_and_one_line(tiny_slide, random_model, tmp_path):
    # the child presses Ctrl-C on itself at the first progress of the encoding
    program = (
        "import os, signal, sys\n"
        "from napari_wsimil.inference import job\n"
        "usual = job.Meter.progress\n"
        "def progress(self, *rest):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return usual(self, *rest)\n"
        "job.Meter.progress = progress\n"
        "from napari_wsimil.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ["predict", str(tiny_slide), "--model", random_model.source, "--out", str(tmp_path)]
    child = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert child.returncode == 130, child.stderr
    assert "interrupted; nothing was left half-written" in one_sentence(child.stderr)
    assert not list(tmp_path.iterdir())
