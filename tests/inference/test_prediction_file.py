from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from napari_wsimil import files
from napari_wsimil.errors import PredictionError
from napari_wsimil.inference import PatchScores, PatchSet, SlidePrediction, load_prediction
from napari_wsimil.patches import TissueMask

PROVENANCE = {
    "slide": {
        "path": "/data/Gewebe ä.svs",
        "fingerprint": "f",
        "width": 10,
        "height": 20,
        "mpp": [0.25, 0.2501],
        "origin": [3, 4],
    },
    "model": {"id": "m", "digest": "d", "positive_class": "tumour"},
    "seconds": {"total": 1.25},
    "notices": [],
}


def scores(count: int, *columns: int, seed: int = 0) -> PatchScores:
    random = np.random.default_rng(seed)
    xy = random.integers(-500, 2**40, (count, 2))
    return PatchScores(xy, 512.7, random.random((count, *columns)).astype(np.float32), 256.35)


def chosen(count: int) -> PatchSet:
    return PatchSet(scores(count).xy, 1025.4, scores(count).values)


FULL = SlidePrediction(
    probabilities={"tumour": 1 / 3, "normal": 2 / 3},
    attention={2.0: scores(3, seed=1), 0.5: scores(40, seed=2)},
    instances={0.5: scores(40, 2, seed=3)},
    anchors=chosen(2),
    zoom={2.0: chosen(1), 1.0: chosen(0)},
    provenance=PROVENANCE,
)
MASK = TissueMask(np.random.default_rng(4).random((13, 9)) > 0.5, (32.0, 31.5), 8.0, "otsu")
PLAIN = SlidePrediction(probabilities={"a": 0.25, "b": 0.75}, attention={0.5: scores(1)})


def same_patches(first, second) -> None:
    assert type(first) is type(second)
    for name in first.__dataclass_fields__:
        a, b = getattr(first, name), getattr(second, name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


@pytest.mark.parametrize("prediction", [FULL, PLAIN], ids=["full", "plain"])
def test_every_field_comes_back_exactly(prediction, tmp_path):
    path = prediction.save(tmp_path / "a.prediction.h5")
    again = load_prediction(path)
    assert list(again.probabilities.items()) == list(prediction.probabilities.items())
    assert again.provenance == prediction.provenance
    for field in ("attention", "instances", "zoom"):
        before, after = getattr(prediction, field), getattr(again, field)
        if before is None:
            assert after is None
            continue
        assert list(after) == list(before)
        for mpp in before:
            same_patches(after[mpp], before[mpp])
    if prediction.anchors is None:
        assert again.anchors is None
    else:
        same_patches(again.anchors, prediction.anchors)
    assert [item.name for item in tmp_path.iterdir()] == ["a.prediction.h5"]


def test_saving_again_replaces(tmp_path):
    path = FULL.save(tmp_path / "a.prediction.h5")
    PLAIN.save(path)
    assert load_prediction(path).classes == ("a", "b")


def test_positive_class_survives(tmp_path):
    assert load_prediction(FULL.save(tmp_path / "a.prediction.h5")).positive_class == "tumour"


def test_failing_to_save_leaves_nothing(tmp_path):
    path = PLAIN.save(tmp_path / "a.prediction.h5")
    broken = SlidePrediction(probabilities={"a": 1.0}, attention={0.5: scores(1)}, provenance={"device": object()})
    with pytest.raises(TypeError):
        broken.save(path)
    assert load_prediction(path).classes == ("a", "b")
    assert len(list(tmp_path.iterdir())) == 1


def test_saving_into_nowhere_is_a_sentence(tmp_path):
    with pytest.raises(PredictionError, match="can't be written"):
        PLAIN.save(tmp_path / "missing" / "a.prediction.h5")


def refuse(path, says):
    with pytest.raises(PredictionError, match=says) as caught:
        load_prediction(path)
    assert path.name in str(caught.value)


def test_files_that_are_no_predictions(tmp_path):
    refuse(tmp_path / "none.prediction.h5", "There is no file")
    for name, content in (("empty", b""), ("text", b"hello"), ("half", FULL.save(tmp_path / "x").read_bytes()[:3000])):
        path = tmp_path / f"{name}.prediction.h5"
        path.write_bytes(content)
        refuse(path, "is no saved prediction or is damaged")
    with h5py.File(tmp_path / "other.prediction.h5", "w") as file:
        file["features"] = [1]
    refuse(tmp_path / "other.prediction.h5", "HDF5 file but no saved prediction")


@pytest.mark.parametrize("mask", [MASK, replace(MASK, mpp=None), replace(MASK, mask=np.ones((1, 1), np.bool_))])
def test_the_tissue_mask_comes_back_and_is_small(tmp_path, mask):
    again = load_prediction(replace(PLAIN, tissue=mask).save(tmp_path / "a.prediction.h5")).tissue
    assert again.mask.dtype == np.bool_
    np.testing.assert_array_equal(again.mask, mask.mask)
    assert (again.downsample, again.mpp, again.method) == (mask.downsample, mask.mpp, mask.method)
    assert load_prediction(PLAIN.save(tmp_path / "b.prediction.h5")).tissue is None, "older files have none"


def test_a_tissue_mask_takes_little_room(tmp_path):
    mask = np.zeros((2000, 3000), np.bool_)
    mask[200:1800, 300:2500] = True
    large = replace(PLAIN, tissue=replace(MASK, mask=mask)).save(tmp_path / "a.prediction.h5")
    assert large.stat().st_size - PLAIN.save(tmp_path / "b.prediction.h5").stat().st_size < 20_000


@pytest.mark.parametrize("damage", ["shape", "huge", "bits", "downsample", "method"])
def test_a_damaged_tissue_mask(tmp_path, damage):
    path = replace(FULL, tissue=MASK).save(tmp_path / "a.prediction.h5")
    with h5py.File(path, "a") as file:
        group = file["tissue"]
        if damage == "shape":
            group.attrs["shape"] = [13, 90]
        elif damage == "huge":
            group.attrs["shape"] = [10**9, 10**9]
        elif damage == "bits":
            del group["bits"]
        elif damage == "downsample":
            group.attrs["downsample"] = [0.0, 1.0]
        else:
            del group.attrs["method"]
    refuse(path, "damaged")


def test_newer_schema(tmp_path):
    path = FULL.save(tmp_path / "a.prediction.h5")
    with h5py.File(path, "a") as file:
        file.attrs["schema_version"] = 2
    refuse(path, "schema version 2 .* update napari-wsimil")


@pytest.mark.parametrize("damage", ["lengths", "classes", "missing", "dtype", "json", "provenance", "version"])
def test_damaged_predictions(tmp_path, damage):
    path = FULL.save(tmp_path / "a.prediction.h5")
    with h5py.File(path, "a") as file:
        if damage == "classes":
            file.attrs["classes"] = json.dumps(["only one"])
        elif damage == "missing":
            del file["attention"]
        elif damage == "json":
            file.attrs["provenance"] = "{"
        elif damage == "provenance":
            file.attrs["provenance"] = json.dumps(PROVENANCE | {"slide": {"path": 3}})
        elif damage == "version":
            file.attrs["schema_version"] = "one"
        else:
            del file["attention/000/values"]
            file["attention/000/values"] = np.zeros(9, np.float32) if damage == "lengths" else np.zeros(3, np.int8)
    refuse(path, "damaged")


@pytest.mark.parametrize("name", ["probabilities", "attention/000/values", "attention/000/xy"])
def test_changed_bytes_are_never_shown_as_a_result(tmp_path, name):
    path = PLAIN.save(tmp_path / "a.prediction.h5")
    with h5py.File(path) as file:
        offset = file[name].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
    with pytest.raises(PredictionError, match="is damaged"):
        load_prediction(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "uuid4", lambda: SimpleNamespace(hex="x"))
    (tmp_path / ".a.prediction.h5.x.part").symlink_to("/dev/full")
    with pytest.raises(PredictionError, match="No space left on device") as caught:
        PLAIN.save(tmp_path / "a.prediction.h5")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
