"""Folders of patch images, from a manifest to a package with the encoder that learned along."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

import napari_wsimil as ws
from napari_wsimil.bags.images import ImageBag
from napari_wsimil.cli import main
from napari_wsimil.encoders import load_encoder, load_network, save_encoder
from napari_wsimil.errors import TrainingError
from napari_wsimil.mil import METHODS, build_mil, encoding
from napari_wsimil.mil.end_to_end import ImageEncoder, end_to_end
from napari_wsimil.training.bag_sets import EncodedImageBags, ImageFolderBags
from napari_wsimil.training.data.manifest import Case
from napari_wsimil.training.fine_tuning.settings import FineTuningSettings
from napari_wsimil.training.recipes import RECIPES
from napari_wsimil.training.runs.plan import TrainingPlan
from napari_wsimil.training.runs.run import evaluate, train, train_steps

SMALL = {
    "abmil": {"hidden": 8, "attention": 4},
    "weno": {"hidden": 8, "attention": 4, "student": 8},
    "dtfd": {},
    "mean": {},
}
SETTINGS = {"epochs": 2, "learning_rate": 1e-3}


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    from napari_wsimil.training.evaluation import results
    from napari_wsimil.training.runs import run

    for module in (results, run):
        monkeypatch.setattr(module, "measure", partial(module.measure, draws=10))


def make_study(folder, side=32, mpp="", count=14):
    """Folders of 1 to 4 noisy images; those of the second class are redder."""
    random = np.random.default_rng(0)
    rows = [["slide", "label", "split", *(["mpp"] if mpp else [])]]
    for number in range(count):
        place = folder / f"s{number}"
        place.mkdir(parents=True)
        for image in range(1 + number // 2 % 4):
            pixels = random.integers(90, 200, (side, side, 3), dtype=np.uint8)
            pixels[..., 0] += 40 * (number % 2)
            Image.fromarray(pixels).save(place / f"{image}.png")
        part = "train" if number < count - 8 else "validation" if number < count - 4 else "test"
        rows.append([place.name, ["benign", "tumour"][number % 2], part, *([mpp] if mpp else [])])
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("images"))


def run_on(study, out, method="abmil", **more):
    return train(study, method, out, parameters=SMALL[method], settings={**SETTINGS, **more.pop("settings", {})}, **more)


def told(folder):
    with (folder / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def weights(folder):
    return {path.parent.name: path.read_bytes() for path in folder.rglob("model/**/weights.safetensors")}


@pytest.fixture(scope="module", params=["abmil", "weno"])
def finished(request, study, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        from napari_wsimil.training.evaluation import results

        patch.setattr(results, "measure", partial(results.measure, draws=10))
        return request.param, run_on(study, tmp_path_factory.mktemp("run") / "out", request.param, mpps=8)


def test_the_package_brings_the_encoder_that_learned(finished):
    method, run = finished
    spec, start = run.model.spec, load_encoder()
    assert (spec.method, spec.encoder.name, spec.encoder.id) == (method, "./encoder", "bundled-cnn-trained")
    assert (spec.patch_size, spec.stride, spec.mpps) == (32, 32, (8.0,))
    assert spec.encoder.digest == run.model.encoder.digest != start.digest
    assert (run.model.encoder.patch_size, run.model.encoder.mpp) == (32, 8.0)
    assert spec.training["encoder_from"] == f"bundled-cnn {start.digest}"
    _, before = load_network()
    _, after = load_network(run.folder / "model" / "encoder")
    same = [torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)]
    assert sum(same) < len(same) / 2
    if method == "weno":
        assert spec.parameters["projection"] == 0
    assert run.metrics["cases"] == 4


def test_it_predicts_slides(finished, tiny_slide):
    _, run = finished
    prediction = ws.predict(tiny_slide, run.model)
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_evaluate_says_what_the_run_said(finished, study, tmp_path):
    _, run = finished
    evaluate(study, run.folder / "model", tmp_path / "again")
    assert told(tmp_path / "again") == told(run.folder)


def test_what_learned_is_what_the_package_is(finished, study):
    """The package's folded encoder and model answer as the network did that was trained."""
    method, run = finished
    spec, network = load_network(run.folder / "model" / "encoder")
    mil = build_mil(method, 256, 2, run.model.spec.parameters)
    mil.load_state_dict(run.model.mil.state_dict())
    whole = end_to_end(ImageEncoder(network, spec.mean, spec.std), mil).eval()
    case = Case("s3", study.parent / "s3", "tumour", "s3")
    with torch.inference_mode():
        expected = whole(ImageFolderBags([case], [1], mpp=8.0).bag(0)).logits
        found = run.model.mil(EncodedImageBags([case], [1], run.model.encoder, mpp=8.0).bag(0)).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_run_that_was_stopped_ends_in_the_same_weights(finished, study, tmp_path):
    method, run = finished
    plan = TrainingPlan(
        study, method, tmp_path / "out", mpps=(8.0,), parameters=SMALL[method], settings=SETTINGS, title=run.model.title
    )
    for stop in (2, 5):
        with closing(train_steps(plan, resume=stop > 2)) as steps:
            for _ in range(stop):
                next(e for e in steps if e.kind == "step")
    again = train(study, method, tmp_path / "out", mpps=8, parameters=SMALL[method], settings=SETTINGS, resume=True)
    assert len(weights(run.folder)) == 2
    assert weights(again.folder) == weights(run.folder)


def test_other_images_are_another_run(study, tmp_path):
    here = make_study(tmp_path / "images")
    plan = TrainingPlan(here, "mean", tmp_path / "out", settings=SETTINGS)
    with closing(train_steps(plan)) as steps:
        next(e for e in steps if e.kind == "step")
    Image.new("RGB", (32, 32)).save(tmp_path / "images" / "s0" / "more.png")
    with pytest.raises(TrainingError, match="images"):
        train(here, "mean", tmp_path / "out", settings=SETTINGS, resume=True)


def test_command_line(study, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--method", "dtfd", "--mpp", "2", "--epochs", "1", "--set", "patches-of-bag=2", "--json"]
    main(["train", str(study), "--out", str(out), *options])
    document = json.loads(capsys.readouterr().out)
    assert document["metrics"]["cases"] == 4
    assert (out / "model" / "encoder" / "encoder.json").is_file()
    main(["evaluate", str(study), "--model", str(out / "model"), "--out", str(tmp_path / "again"), "--json"])
    assert json.loads(capsys.readouterr().out)["figures"] == document["metrics"]["figures"]


def test_an_encoder_may_stay_as_it_is(study, tmp_path):
    spec, network = load_network()
    mine = save_encoder(network, tmp_path / "mine", id="mine", mean=spec.mean, std=spec.std, patch_size=32, mpp=1.0)
    run = run_on(study, tmp_path / "out", encoder=str(tmp_path / "mine"), settings={"train_encoder": False})
    assert run.model.encoder.digest == mine.digest
    assert run.model.spec.mpps == (1.0,)
    assert "taken to be at 1 µm per pixel" in run.model.card
    evaluate(study, run.model, tmp_path / "again")
    assert told(tmp_path / "again") == told(run.folder)
    with pytest.raises(TrainingError, match=r"patches of 32 px, but encoder bundled-cnn takes 256 px"):
        run_on(study, tmp_path / "no", settings={"train_encoder": False})
    with pytest.raises(TrainingError, match="leave one of them out"):
        run_on(study, tmp_path / "no", settings={"train_encoder": False, "patches_of_bag": 3})


def test_the_manifest_may_say_the_magnification(tmp_path):
    manifest = make_study(tmp_path / "a", side=64, mpp="2.5")
    run = run_on(manifest, tmp_path / "out", "mean", settings={"epochs": 1})
    assert (run.model.spec.mpps, run.model.spec.patch_size) == ((2.5,), 64)
    coarse = make_study(tmp_path / "b", side=64, mpp="5")
    with pytest.raises(TrainingError, match=r"patches of 64 px at 5 µm per pixel, but the model takes 64 px at 2\.5"):
        evaluate(coarse, run.model, tmp_path / "no")


@pytest.mark.parametrize(
    ("method", "more", "sentence"),
    [
        ("zoommil", {}, "several magnifications, but folders of patch images have one"),
        ("lrmil", {}, "several magnifications, but folders of patch images have one"),
        ("ainet", {}, "places of patches, which folders of images do not tell"),
        ("mean", {"mpps": (2, 1)}, "looks at 1 magnification, but 2 were given"),
        ("mean", {"patch_size": 64}, "patches of 32 px, not of 64"),
        ("weno", {"parameters": {"projection": 16}}, "takes its place"),
    ],
)
def test_what_does_not_fit_is_a_sentence(study, tmp_path, method, more, sentence):
    with pytest.raises(TrainingError, match=sentence):
        train(study, method, tmp_path / "out", **more)


def test_images_that_do_not_fit_are_a_sentence(study, tmp_path):
    with pytest.raises(TrainingError, match=r"patches of 40 px; .* multiples of 32 px"):
        train(make_study(tmp_path / "odd", side=40), "mean", tmp_path / "out")
    mixed = make_study(tmp_path / "mixed")
    for path in (tmp_path / "mixed" / "s4").iterdir():
        Image.new("RGB", (64, 64)).save(path)
    with pytest.raises(TrainingError, match=r"s0 are 32 x 32 px, those of s4 64 x 64 px"):
        train(mixed, "mean", tmp_path / "out")
    with pytest.raises(ValueError, match="the encoder stays as it is"):
        FineTuningSettings(patches_of_bag=3)
    for name in "abcd":
        torch.save(torch.rand(3, 4), tmp_path / f"{name}.pt")
    features = tmp_path / "features.csv"
    features.write_text("slide,label,split\na.pt,0,train\nb.pt,1,train\nc.pt,0,validation\nd.pt,1,validation\n")
    with pytest.raises(TrainingError, match="names features, whose encoder stays as it is"):
        train(features, "mean", tmp_path / "out", settings={"patches_of_bag": 2})


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("zoommil", "lrmil", "ainet")])
def test_every_method_at_one_magnification_takes_a_step(study, method):
    """Gradients reach the encoder; a slide may have a single patch."""
    parameters = {"projection": 0} if method == "weno" else {}
    torch.manual_seed(0)
    spec, network = load_network()
    model = end_to_end(ImageEncoder(network, spec.mean, spec.std), build_mil(method, 256, 2, parameters))
    cases = [Case(name, study.parent / name, "tumour", name) for name in ("s0", "s3")]
    bags = ImageFolderBags(cases, [0, 1])
    assert bags.counts.tolist() == [1, 2]
    recipe = RECIPES[method].make(model, bags, RECIPES[method].settings())
    before = [p.detach().clone() for p in network.parameters()]
    for row in range(2):
        losses = recipe.step(recipe.phases(0, np.random.default_rng(0))[0][0], np.array([row]), {row: bags.bag(row)})
        assert np.isfinite(losses["loss"])
    assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_weno_may_need_all_patches(study, tmp_path):
    settings = {**SETTINGS, "norm_scope": "bag", "patches_of_bag": 2}
    with pytest.raises(TrainingError, match="every patch of a slide"):
        train(study, "weno", tmp_path / "a", parameters=SMALL["weno"], settings=settings)
    run = train(study, "weno", tmp_path / "b", parameters=SMALL["weno"], settings={**SETTINGS, "patches_of_bag": 2})
    assert run.metrics["cases"] == 4


def test_patches_of_a_bag_are_drawn_in_training_only(monkeypatch):
    seen = []

    class Encoder(torch.nn.Linear):
        def forward(self, images):
            seen.append(len(images))
            return super().forward(images.mean((2, 3)))

    bag = ImageBag(torch.randint(0, 255, (9, 3, 8, 8), dtype=torch.uint8))
    model = end_to_end(Encoder(3, 6), build_mil("mean", 6, 2, {}), 4)
    model.losses(bag, torch.tensor(1))
    monkeypatch.setattr(encoding, "PIXELS", 4 * 64)
    model.eval()
    with torch.inference_mode():
        parts = model(bag).logits
    assert seen == [4, 4, 4, 1]
    monkeypatch.setattr(encoding, "PIXELS", 1 << 20)
    with torch.inference_mode():
        torch.testing.assert_close(model(bag).logits, parts)
