"""A model that learned to look at ink is put right by four regions on two slides, and not by the same slides without them."""

from __future__ import annotations

import csv
import json

import h5py
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import napari_wsimil as ws
from napari_wsimil.training.bag_sets import FileBags
from napari_wsimil.training.corrections import Correction, correct
from napari_wsimil.training.data.manifest import read_manifest

WIDTH, SIDE, PATCH = 16, 8, 256
FRESH = 16


def _slide(path, *, tumour, ink, seed):
    """8 x 8 patches: 2 x 2 of tumour (features 0 and 1), 3 x 3 under ink (features 2 and 3) in another corner."""
    random = np.random.default_rng(seed)
    down, right = np.divmod(np.arange(SIDE**2), SIDE)
    features = random.normal(size=(SIDE**2, WIDTH)).astype(np.float32)
    x, y = random.integers(0, 3, 2)
    ill = (right >= x) & (right < x + 2) & (down >= y) & (down < y + 2)
    inked = (right >= 5) & (down >= 5)
    if tumour:
        features[ill, :2] += 3
    if ink:
        features[inked, 2:4] += 3
    with h5py.File(path, "w") as file:
        file["features"] = features
        file["features"].attrs["encoder"] = "some"
        file["coords"] = np.stack([right, down], axis=1) * PATCH
        file["coords"].attrs.update(
            patch_size=PATCH, patch_size_level0=float(PATCH), overlap=0, mpp_target=0.5, level0_origin=(0, 0)
        )
    return path, ill & tumour, inked & ink, (x, y)


def _box(name, left, top, side):
    corners = [[left, top], [left + side, top], [left + side, top + side], [left, top + side], [left, top]]
    geometry = {"type": "Polygon", "coordinates": [[[x * PATCH, y * PATCH] for x, y in corners]]}
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}}


def _table(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["slide", "label", "split"], *rows])
    return path


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The folder of a model trained where each slide with tumour has ink, and what was marked on two of these slides."""
    folder, rows, marked = tmp_path_factory.mktemp("reach"), [], []
    for number in range(20):
        tumour = bool(number % 2)
        path, _, _, (x, y) = _slide(folder / f"s{number}.h5", tumour=tumour, ink=tumour, seed=number)
        rows.append([path.name, ("normal", "tumour")[tumour], "train" if number < 14 else "validation"])
        if tumour and len(marked) < 2:
            marks = {"type": "FeatureCollection", "features": [_box("tumour", int(x), int(y), 2), _box("!tumour", 5, 5, 3)]}
            drawn = folder / f"s{number}.geojson"
            drawn.write_text(json.dumps(marks))
            marked.append(Correction(path, drawn, "tumour"))
    ws.train(
        _table(folder / "study.csv", rows),
        "abmil",
        folder / "run",
        parameters={"hidden": 256, "attention": 128},
        settings={"epochs": 12, "learning_rate": 5e-4},
        positive_class="tumour",
        device="cpu",
    )
    return folder, marked


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Slides that all have ink, half of them tumour: their bags and what is true of their patches."""
    folder, truth, rows = tmp_path_factory.mktemp("fresh"), [], []
    for number in range(FRESH):
        path, ill, inked, _ = _slide(folder / f"f{number}.h5", tumour=bool(number % 2), ink=True, seed=1000 + number)
        rows.append([path.name, ("normal", "tumour")[number % 2], "test"])
        truth.append((ill, inked))
    cases = read_manifest(_table(folder / "fresh.csv", rows)).cases
    return FileBags(cases, [number % 2 for number in range(FRESH)]), truth


def _figures(model, fresh):
    """Of fresh slides: mean patch AUC of attention and of patches' probability, slide AUC, share of attention on ink."""
    bags, truth = fresh
    attention, instance, wrong, said = [], [], [], []
    model.mil.eval()
    with torch.inference_mode():
        for row, (ill, inked) in enumerate(truth):
            output = model.mil(bags.bag(row))
            said.append(float(output.logits.softmax(0)[1]))
            if ill.any():
                paid, evidence = output.attention[0.5].numpy(), output.instance_logits[0.5].softmax(1)[:, 1].numpy()
                attention.append(roc_auc_score(ill, paid))
                instance.append(roc_auc_score(ill, evidence))
                wrong.append(paid[inked].sum())
    return np.mean(attention), np.mean(instance), roc_auc_score(bags.targets, said), np.mean(wrong)


def test_four_regions_on_two_slides_put_a_wrong_focus_right(learned, fresh):
    folder, marked = learned
    base = ws.load_model(folder / "run" / "model")
    attention, instance, slides, wrong = _figures(base, fresh)
    assert wrong > 0.1  # else there is nothing to put right
    run = correct(base, marked, folder / "corrected", settings={"epochs": 20}, device="cpu")
    after = _figures(run.model, fresh)
    assert after[0] >= attention + 0.1
    assert after[1] >= instance + 0.1
    assert after[2] >= slides
    assert after[3] < wrong / 2


def test_the_same_slides_without_marks_do_not(learned, fresh):
    folder, marked = learned
    base = ws.load_model(folder / "run" / "model")
    before = _figures(base, fresh)
    unmarked = [Correction(one.slide, None, one.label) for one in marked]
    run = correct(base, unmarked, folder / "unmarked", settings={"epochs": 20}, device="cpu")
    after = _figures(run.model, fresh)
    assert after[0] < before[0] + 0.1
    assert after[3] > before[3] / 2
