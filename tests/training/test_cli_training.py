"""`train` and `evaluate` on the command line."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from napari_wsimil.cli.training_plans import parsed


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    rows = [["slide", "label"]]
    for number in range(30):
        features = random.normal(size=(8, 6)).astype(np.float32) + number % 2
        torch.save(torch.from_numpy(features), folder / f"{number}.pt")
        rows.append([f"{number}.pt", ["benign", "tumour"][number % 2]])
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


SMALL = ("--set", "hidden=8", "--set", "attention=4", "--set", "learning-rate=0.01")


def test_values_are_read_as_what_they_look_like():
    texts = ("a=1", "b=0.5", "c=true", "d=auc", "e=100,150", "f=0.5,0.9", "g-h=none")
    assert parsed(texts) == {"a": 1, "b": 0.5, "c": True, "d": "auc", "e": [100, 150], "f": [0.5, 0.9], "g_h": None}


def test_train_evaluate_and_go_on(run, manifest, tmp_path):
    out = tmp_path / "out"
    command = ("train", manifest, "--method", "abmil", "--out", out, "--epochs", 2, "--seed", 3, *SMALL)
    code, text, err = run(*command, "--json")
    assert code == 0, err
    told = json.loads(text)
    assert told["metrics"]["split"] == "test"
    assert "epoch 2/2: loss" in err
    assert json.loads((out / "settings.json").read_text())["settings"]["seed"] == 3
    code, _, err = run(*command)
    assert code == 2
    assert "--resume" in err
    code, text, _ = run(*command, "--resume")
    assert code == 0
    assert "roc auc" in text
    code, text, err = run("evaluate", manifest, "--model", out / "model", "--out", tmp_path / "figures")
    assert code == 0, err
    assert "30 slides" in text
    assert (tmp_path / "figures" / "report.html").is_file()


def test_a_package_is_trained_further(run, manifest, tmp_path):
    assert run("train", manifest, "--method", "abmil", "--out", tmp_path / "first", "--epochs", 1, *SMALL)[0] == 0
    further = ("train", manifest, "--from", tmp_path / "first" / "model", "--out", tmp_path / "tuned", "--epochs", 1)
    code, _, err = run(*further, "--tune", "head")
    assert code == 0, err
    assert (tmp_path / "tuned" / "model" / "model.json").is_file()
    code, _, err = run(*further, "--method", "abmil")
    assert code == 2
    assert "--method can't be chosen with --from" in err


def test_bad_input_is_one_sentence(run, manifest, tmp_path):
    out = ("--out", tmp_path / "out")
    for arguments, sentence in (
        (("train", manifest, *out), "Say which method to train"),
        (("train", manifest, "--method", "clem", *out), "The MIL method 'clem' is not known"),
        (("train", manifest, "--method", "abmil", "--set", "epoch=2", *out), "abmil has nothing called 'epoch'"),
        (("train", manifest, "--method", "abmil", "--set", "epochs", *out), "--set takes NAME=VALUE"),
        (("train", tmp_path / "none.csv", "--method", "abmil", *out), "There is no table"),
        (("evaluate", manifest, "--model", tmp_path / "none", *out), "There is no model"),
    ):
        code, _, err = run(*arguments)
        assert code == 2
        assert sentence in err
        assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_methods_tell_their_training(run):
    code, out, _ = run("methods", "dtfd", "--json")
    assert code == 0
    settings = {about["name"]: about for about in json.loads(out)[0]["training"]["settings"]}
    assert settings["clip"]["default"] == 5.0
    assert "DTFD-MIL, official code" in settings["clip"]["source"]


@pytest.mark.skipif(os.name == "nt", reason="SIGINT")
def test_ctrl_c_says_how_to_go_on(manifest, tmp_path):
    # a shell that starts the tests in the background tells all of them to ignore Ctrl-C
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heard}; from napari_wsimil.cli import main; main()"
    command = [sys.executable, "-c", program, "train", str(manifest), "--method", "abmil"]
    command += ["--out", str(tmp_path / "out"), "--epochs", "5000", "--set", "patience=0", *SMALL]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "out" / "events.jsonl"
    deadline = time.monotonic() + 240
    while (
        not (log.is_file() and '"kind": "epoch"' in log.read_text()) and process.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "the same command with --resume goes on" in err
    assert "Traceback" not in err
    assert (tmp_path / "out" / "journal" / "journal").is_file()


def test_lrmils_stages_from_slides_to_a_package(run, write_slide, random_encoder, tmp_path):
    rows = [["slide", "label", "split"]]
    for number, side in enumerate(["train"] * 4 + ["validation"] * 2 + ["test"] * 2):
        path = write_slide(tmp_path / f"s{number}.tiff", width=2560 + 256 * number, height=2304)
        rows.append([path.name, ["benign", "tumour"][number % 2], side])
    manifest = tmp_path / "slides.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    command = ("train", manifest, "--method", "lrmil", "--encoder", random_encoder[1], "--out", tmp_path / "out", "--epochs", 1)
    code, text, err = run(*command, "--set", "patch_epochs=1", "--json")
    assert code == 0, err
    assert json.loads(text)["metrics"]["cases"] == 2
    assert (tmp_path / "out" / "model" / "encoder" / "weights.safetensors").is_file()
    code, text, err = run("predict", tmp_path / "s1.tiff", "--model", tmp_path / "out" / "model", "--out", tmp_path / "p")
    assert code == 0, err
    assert "tumour" in text


def test_curves_for_tensorboard_stand_in_the_folder_of_the_run(run, manifest, tmp_path, monkeypatch):
    from napari_wsimil.training import tensorboard

    class Writer:
        """What TensorBoard's does first: it makes its folder."""

        def __init__(self, folder):
            self.folder = folder
            folder.mkdir(parents=True)

        def add_scalar(self, name, value, number):
            with (self.folder / "curves").open("a") as file:
                file.write(f"{name} {number} {value}\n")

        def flush(self):
            pass

        close = flush

    monkeypatch.setattr(tensorboard, "_writer", Writer)
    code, _, err = run(
        "train", manifest, "--method", "mean", "--out", tmp_path / "out", "--epochs", 2, "--set", "hidden=8", "--tensorboard"
    )
    assert code == 0, err
    assert "train/epoch/loss 2 " in (tmp_path / "out" / "tensorboard" / "curves").read_text()
