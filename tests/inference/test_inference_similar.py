"""Patches that look alike, by stored features."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import napari_wsimil as ws
from napari_wsimil.bags.store.found import find_features
from napari_wsimil.inference import PatchScores, SlidePrediction
from napari_wsimil.inference.similar import appearance

ENCODER = SimpleNamespace(id="made", digest="ab" * 8, dimension=4, precision="fp32")


@pytest.fixture
def kept(tiny_slide, tmp_path):
    """A store with the features of all patches of a slide: their directions turn with the column, their lengths differ."""
    store, spec = ws.FeatureStore(tmp_path / "store"), ws.PatchSpec(mpp=0.5)
    with ws.open_slide(tiny_slide) as slide:
        grid = ws.patch_grid(slide, 0.5, 256)
        angle = grid.cells[:, 0] * 0.2
        features = np.zeros((len(grid), 4), np.float32)
        features[:, 0], features[:, 1] = np.cos(angle), np.sin(angle)
        features *= 1 + grid.cells[:, 1:]
        features[-1] = 0  # a feature without a direction
        path = store.save(slide, ENCODER, spec, grid, features)
        about = {
            "slide": {"fingerprint": slide.fingerprint},
            "encoder": {"id": ENCODER.id, "digest": ENCODER.digest},
            "patches": {"digest": {"0.5": spec.digest}},
        }
    values = np.ones(len(grid), np.float32)
    prediction = SlidePrediction({"a": 1.0}, {0.5: PatchScores(grid.xy, 256.0, values)}, provenance=about)
    return SimpleNamespace(
        store=store, slide=tiny_slide, spec=spec, grid=grid, features=features, path=path, prediction=prediction
    )


def test_the_most_alike_come_first_whatever_the_length_of_their_features(kept):
    found = ws.similar_patches(kept.prediction, (300, 300), store=kept.store, count=6)
    assert [one.rank for one in found] == [1, 2, 3, 4, 5, 6]
    assert {one.patch.x for one in found[:4]} == {256}, "those of the same column"
    assert [one.score for one in found[:4]] == pytest.approx([1.0] * 4)
    assert found[4].score == pytest.approx(np.cos(0.2))
    assert (256, 256) not in [(one.patch.x, one.patch.y) for one in found], "not the patch itself"
    assert found[0].ranking.by == "similarity"
    assert found[0].patch.size_level0 == 256


def test_the_least_alike_too_and_by_a_patch_of_a_ranking(kept):
    patch = ws.rank_patches(kept.prediction)[0].patch
    found = ws.similar_patches(kept.prediction, patch, store=kept.store.folder, count=2, lowest=True)
    assert (found[0].patch.x, found[0].score) == (kept.grid.xy[-1, 0], 0.0), "what has no direction is like nothing"
    assert found[1].patch.x == kept.grid.xy[:, 0].max()


def test_features_that_a_zooming_model_left_are_enough(kept):
    kept.path.unlink()
    with ws.open_slide(kept.slide) as slide, kept.store.open(slide, ENCODER, kept.spec, kept.grid) as stored:
        stored.write([0, 1, 7], kept.features[[0, 1, 7]])
    assert kept.path.with_name(f"{kept.path.name}.part").exists()
    known = appearance(kept.prediction, store=kept.store)
    assert known.xy.tolist() == kept.grid.xy[[0, 1, 7]].tolist()
    assert len(known.similar_to(known.patch_at(10, 10))) == 2
    with pytest.raises(ws.PredictionError, match="not stored: this model did not encode it"):
        known.similar_to(replace(known.patch_at(10, 10), x=512))


def test_what_is_not_kept_is_said_with_what_to_do(kept, tmp_path, monkeypatch):
    with pytest.raises(ws.PredictionError, match=r"not kept in .*nowhere.*Keep features"):
        ws.similar_patches(kept.prediction, (10, 10), store=tmp_path / "nowhere")
    monkeypatch.setenv("NAPARI_WSIMIL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ws.PredictionError, match=r"at 2 µm/px are not kept in .*cache"):
        ws.similar_patches(kept.prediction, (10, 10), mpp=2.0)
    with pytest.raises(ws.PredictionError, match="no patch with features at \\(9999, 0\\)"):
        ws.similar_patches(kept.prediction, (9999, 0), store=kept.store)
    with pytest.raises(ws.PredictionError, match="not kept"):
        ws.similar_patches(replace(kept.prediction, provenance={}), (10, 10), store=kept.store)


def test_a_file_that_is_damaged_or_of_something_else_is_not_taken(kept):
    wanted = (kept.prediction.provenance["slide"]["fingerprint"], ENCODER.digest, kept.spec.digest)
    folder = kept.store.folder
    assert len(find_features(folder, *wanted).xy) == len(kept.grid)
    assert find_features(folder, "../../x", *wanted[1:]) is None
    assert find_features(folder, "*" * 12, *wanted[1:]) is None
    with h5py.File(kept.path, "r+") as file:
        file["features"][3] = np.nan
    assert len(find_features(folder, *wanted).xy) == len(kept.grid) - 1
    with h5py.File(kept.path, "r+") as file:
        file["coords"].attrs["encoder_digest"] = "cd" * 8
    assert find_features(folder, *wanted) is None
    kept.path.write_bytes(b"no HDF5")
    assert find_features(folder, *wanted) is None


def test_a_magnification_with_many_digits_is_found_and_stays_exact(kept):
    about = {**kept.prediction.provenance, "patches": {"mpp": [0.24987654321], "digest": {"0.249877": kept.spec.digest}}}
    odd = replace(kept.prediction, provenance=about)
    assert appearance(odd, store=kept.store).mpp == appearance(odd, 0.24987654321, kept.store).mpp == 0.24987654321


def test_what_predict_keeps_is_found(tiny_slide, random_model, tmp_path):
    store = tmp_path / "store"
    prediction = ws.predict(tiny_slide, random_model, device="cpu", store=store)
    patch = ws.rank_patches(prediction)[0].patch
    found = ws.similar_patches(prediction, patch, store=store, count=3)
    assert len(found) == 3
    assert found[0].score >= found[1].score >= found[2].score > 0
