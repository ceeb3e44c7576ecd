"""Features computed and stored: what comes out, what is skipped, what stops it."""

from __future__ import annotations

import threading

import h5py
import numpy as np
import pytest

import napari_wsimil as ws
from napari_wsimil.bags import FeatureStore
from napari_wsimil.errors import CancelledError, ModelError, SlideError
from napari_wsimil.inference.extraction import extract_steps, patch_specs


def test_features_are_stored_in_tridents_layout_and_kept(tiny_slide, random_encoder, tmp_path):
    encoder, name = random_encoder
    seen = []
    result = ws.extract(tiny_slide, tmp_path, encoder=name, mpp=[0.5, 1.0], on_progress=seen.append, device="cpu")
    assert list(result.files) == [1.0, 0.5]
    assert result.encoded == sum(result.patches.values()) > 0
    assert seen[-1].done == seen[-1].total == result.encoded
    with ws.open_slide(tiny_slide) as slide, h5py.File(result.files[0.5]) as file:
        grid = ws.patch_grid(slide, mpp=0.5, tissue=ws.find_tissue(slide))
        np.testing.assert_array_equal(file["coords"][:], grid.xy)
        assert file["features"].shape == (result.patches[0.5], encoder.dimension)
        assert file["coords"].attrs["target_magnification"] == 20
    before = {path: path.stat().st_mtime_ns for path in result.files.values()}
    again = ws.extract(tiny_slide, tmp_path, encoder=name, mpp=[0.5, 1.0, 2.0])
    assert again.encoded == again.patches[2.0]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_prediction_finds_what_was_extracted(tiny_slide, random_encoder, random_model, tmp_path):
    ws.extract(tiny_slide, tmp_path, encoder=random_encoder[1])
    prediction = ws.predict(tiny_slide, random_model, store=tmp_path)
    assert prediction.provenance["patches"]["encoded"] == {"0.5": 0}


def test_a_stored_file_that_is_broken_is_made_again(tiny_slide, random_encoder, tmp_path):
    first = ws.extract(tiny_slide, tmp_path, encoder=random_encoder[1])
    path = first.files[0.5]
    path.write_bytes(path.read_bytes()[:2000])
    assert ws.extract(tiny_slide, tmp_path, encoder=random_encoder[1]).encoded == first.encoded


def test_stopping_leaves_whole_magnifications_only(tiny_slide, random_encoder, tmp_path):
    encoder, _ = random_encoder
    steps = extract_steps(
        tiny_slide, encoder, patch_specs(encoder, [1.0, 0.5]), FeatureStore(tmp_path), batch_size=1, device="cpu"
    )
    for progress in steps:
        if progress.done > 6:
            break
    steps.close()
    (path,) = tmp_path.rglob("*.h5")
    assert path.parents[1].name.startswith("10x")
    assert not list(tmp_path.rglob("*.part"))
    flag = threading.Event()
    flag.set()
    with pytest.raises(CancelledError, match="The extraction was cancelled"):
        ws.extract(tiny_slide, tmp_path, encoder=encoder, cancel=flag)


def test_what_can_not_be_extracted(tiny_slide, random_encoder, write_slide, tmp_path):
    encoder, _ = random_encoder
    with pytest.raises(ModelError, match="takes patches of 256 px, not of 224; give that size"):
        ws.extract(tiny_slide, tmp_path, encoder=encoder, patch_size=224)
    with pytest.raises(ModelError, match=r"several different ones from 0\.01 to 100 µm per pixel, not 0\.5, 0\.5"):
        ws.extract(tiny_slide, tmp_path, encoder=encoder, mpp=[0.5, 0.5])
    with pytest.raises(ModelError, match="stride must be at least 1 pixel"):
        ws.extract(tiny_slide, tmp_path, encoder=encoder, stride=0)
    with pytest.raises(SlideError, match=r"too coarse for the extraction, which looks at 0\.1; ask for coarser patches"):
        ws.extract(tiny_slide, tmp_path, encoder=encoder, mpp=0.1)
    unknown = write_slide(tmp_path / "unknown.tiff", mpp=None)
    with pytest.raises(
        SlideError, match="does not say how many micrometres a pixel measures; give it as slide_mpp, or in a column"
    ):
        ws.extract(unknown, tmp_path, encoder=encoder)
    assert ws.extract(unknown, tmp_path, encoder=encoder, slide_mpp=0.5).encoded > 0


def test_overlapping_patches(tiny_slide, random_encoder, tmp_path):
    result = ws.extract(tiny_slide, tmp_path, encoder=random_encoder[1], stride=128)
    with h5py.File(result.files[0.5]) as file:
        assert file["coords"].attrs["overlap"] == 128
        assert np.gcd.reduce(file["coords"][:].ravel()) == 128
