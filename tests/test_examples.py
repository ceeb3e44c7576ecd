"""The examples run as a reader would run them."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_predict_slide(tiny_slide, random_model, tmp_path):
    command = [sys.executable, ROOT / "examples" / "predict_slide.py", tiny_slide, "--model", random_model.source]
    done = subprocess.run([*command, "--out", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "most attended patches at 0.5 µm per pixel" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.prediction.h5", "tiny.geojson", "tiny.csv"}
    kinds = [feature["properties"]["objectType"] for feature in json.loads((tmp_path / "tiny.geojson").read_text())["features"]]
    rows = (tmp_path / "tiny.csv").read_text().splitlines()
    assert kinds.count("annotation") == min(5, len(rows) - 1)
    assert 0 < kinds.count("tile") < len(rows) - 1


def test_look_closer(tiny_slide, random_model, tmp_path):
    square = {"type": "Polygon", "coordinates": [[[256, 256], [768, 256], [768, 768], [256, 768], [256, 256]]]}
    drawn = {"type": "Feature", "geometry": square, "properties": {"classification": {"name": "Tumor"}}}
    (tmp_path / "drawn.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [drawn]}))
    command = [sys.executable, ROOT / "examples" / "look_closer.py", tiny_slide, "--model", random_model.source]
    command += ["--annotations", tmp_path / "drawn.geojson", "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for words in ("most like the first: (", "The two ", "tumour by instances: AUC", "at 0.5 µm/px: attention"):
        assert words in done.stdout
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"features", "regions", "tiny.xml", "tiny.png", "tiny.html"}
    assert len(list((tmp_path / "out" / "regions").glob("*.png"))) == done.stdout.count("Attention 0.") > 0


def test_cohort(tiny_slide, random_model, tmp_path):
    (tmp_path / "slides.txt").write_text(f"{tiny_slide}\nmissing.svs\n")
    command = [sys.executable, ROOT / "examples" / "cohort.py", tmp_path / "slides.txt", "--model", random_model.source]
    done = subprocess.run([*command, "--workers", "0", "--out", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 of 2: tiny done" in done.stdout
    assert "1 done, 1 failed" in done.stdout
    assert (tmp_path / "results" / "report.html").is_file()


def test_train(tmp_path):
    command = [sys.executable, ROOT / "examples" / "train.py", "--slides", "8", "--epochs", "2", "--out", tmp_path / "run"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "epoch 2: loss" in done.stdout
    assert "test AUC" in done.stdout
    assert {"model", "metrics.json", "predictions.csv", "plots", "report.html"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }
