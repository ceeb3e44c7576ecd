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
from napari_wsimil.inference.options import PatchOptions
from napari_wsimil.inference.steps import Computing


def contents(path):
    with h5py.File(path) as file:
        return file["features"][:].tobytes(), file["coords"][:].tobytes()


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
    before = {path: contents(path) for path in result.files.values()}
    again = ws.extract(tiny_slide, tmp_path, encoder=name, mpp=[0.5, 1.0, 2.0])
    assert again.encoded == again.patches[2.0]
    assert {path: contents(path) for path in before} == before


def test_prediction_finds_what_was_extracted(tiny_slide, random_encoder, random_model, tmp_path):
    ws.extract(tiny_slide, tmp_path, encoder=random_encoder[1])
    prediction = ws.predict(tiny_slide, random_model, store=tmp_path)
    assert prediction.provenance["patches"]["encoded"] == {"0.5": 0}


def test_a_stored_file_that_is_broken_is_made_again(tiny_slide, random_encoder, tmp_path):
    first = ws.extract(tiny_slide, tmp_path, encoder=random_encoder[1])
    path = first.files[0.5]
    path.write_bytes(path.read_bytes()[:2000])
    assert ws.extract(tiny_slide, tmp_path, encoder=random_encoder[1]).encoded == first.encoded


def test_stopping_keeps_what_was_encoded(tiny_slide, random_encoder, tmp_path):
    encoder, _ = random_encoder
    specs, store = patch_specs(encoder, [1.0, 0.5]), FeatureStore(tmp_path)
    steps = extract_steps(tiny_slide, encoder, specs, store, computing=Computing("cpu", batch_size=1))
    for progress in steps:
        if progress.done > 6:
            break
    steps.close()
    (path,) = tmp_path.rglob("*.h5")
    assert path.parents[1].name.startswith("10x")
    (part,) = tmp_path.rglob("*.h5.part")
    assert part.parents[1].name.startswith("20x")
    flag = threading.Event()
    flag.set()
    with pytest.raises(CancelledError, match="The extraction was cancelled"):
        ws.extract(tiny_slide, tmp_path, encoder=encoder, cancel=flag)
    whole = ws.extract(tiny_slide, tmp_path, encoder=encoder, mpp=[1.0, 0.5])
    assert 0 < whole.encoded < whole.patches[0.5]
    assert not list(tmp_path.rglob("*.part"))


def test_patches_inside_regions_have_a_file_of_their_own(tiny_slide, random_encoder, tmp_path):
    everywhere = ws.extract(tiny_slide, tmp_path, encoder=random_encoder[1])
    left = PatchOptions(inside=(((0, 0), (600, 0), (600, 1280), (0, 1280)),))
    result = ws.extract(tiny_slide, tmp_path, encoder=random_encoder[1], options=left)
    assert 0 < result.patches[0.5] == result.encoded < everywhere.patches[0.5]
    assert result.files[0.5] != everywhere.files[0.5]
    with h5py.File(result.files[0.5]) as file:
        assert (file["coords"][:, 0] + 128 <= 600).all()
    assert ws.extract(tiny_slide, tmp_path, encoder=random_encoder[1], options=left).encoded == 0
    with pytest.raises(ModelError, match="overlap of extracted patches by their stride"):
        ws.extract(tiny_slide, tmp_path, encoder=random_encoder[1], options=PatchOptions(overlap=0.5))


def test_finer_patches_know_the_coarser_ones_around_them(tiny_slide, random_encoder, tmp_path):
    result = ws.extract(tiny_slide, tmp_path, encoder=random_encoder[1], mpp=[1.0, 0.5])
    with h5py.File(result.files[0.5]) as fine, h5py.File(result.files[1.0]) as coarse:
        parents = fine["parents/1"][:]
        inside = parents >= 0
        assert inside.any()
        offset = fine["coords"][:][inside] - coarse["coords"][:][parents[inside]]
    assert ((offset >= 0) & (offset < 512)).all()


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
