from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import torch

from napari_wsimil.inference import predict
from napari_wsimil.packages import load_model, save_model
from napari_wsimil.packages.model import SPEC
from napari_wsimil.slides import open_slide


@pytest.fixture(scope="module")
def jpeg_slide(tmp_path_factory):
    """Twice as fine as the model wants, and no level in between."""
    path = tmp_path_factory.mktemp("jpeg") / "slide.tif"
    pixels = np.full((1536, 1536, 3), 245, np.uint8)
    block = np.random.default_rng(0).normal((170, 90, 160), 25, (1024, 1024, 3))
    pixels[256:1280, 256:1280] = block.clip(0, 255)
    resolution = {"resolution": (4e4, 4e4), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", compression="jpeg", **resolution)
    return path


@pytest.fixture(scope="module")
def dct_model(random_model, tmp_path_factory):
    spec = random_model.spec.model_copy(update={"id": "reduced", "resampling": "dct"})
    return save_model(tmp_path_factory.mktemp("dct"), random_model.mil, spec)


def test_a_model_reads_patches_as_it_was_made(jpeg_slide, random_model, dct_model):
    prediction = predict(jpeg_slide, dct_model, device="cpu")
    corners = prediction.attention[0.5].xy
    with open_slide(jpeg_slide) as slide:
        bags = {way: slide.read_patches(corners, 256, 0.5, resampling=way) for way in ("area", "dct")}
    assert (bags["area"] != bags["dct"]).any()
    expected = {
        way: random_model.mil.cpu().eval()(_bag(random_model.encoder.encode(pixels))).logits.softmax(-1)[..., 1].item()
        for way, pixels in bags.items()
    }
    assert prediction.probabilities["tumour"] == pytest.approx(expected["dct"], abs=1e-5)
    assert expected["area"] != pytest.approx(expected["dct"], abs=1e-7)
    assert prediction.provenance["patches"]["resampling"] == "dct"
    assert prediction.provenance["patches"]["colour"] == "raw"
    assert prediction.provenance["patches"]["digest"]["0.5"] == dct_model.spec.patch_specs()[0].digest


def _bag(features):
    from napari_wsimil.bags import FeatureBag

    return FeatureBag({0.5: torch.as_tensor(features)})


def test_the_way_of_reading_changes_the_digest_only_where_it_is_not_the_usual_one(random_model, dct_model):
    assert dct_model.digest != random_model.digest
    assert dct_model.spec.patch_specs()[0].resampling == "dct"
    again = random_model.spec.model_copy(update={"resampling": "area", "colour": "raw"})
    assert load_model(random_model.source).digest == random_model.digest
    assert again.patch_specs()[0].digest == random_model.spec.patch_specs()[0].digest


def test_a_package_from_before_says_nothing_and_means_the_usual(dct_model, random_model, tmp_path):
    target = save_model(tmp_path / "old", random_model.mil, random_model.spec)
    path = tmp_path / "old" / SPEC
    content = json.loads(path.read_text())
    for name in ("resampling", "colour"):
        content.pop(name, None)
    path.write_text(json.dumps(content))
    old = load_model(tmp_path / "old")
    assert (old.spec.resampling, old.spec.colour) == ("area", "raw")
    assert old.digest == target.digest
