"""Stain normalisation, on tissue whose stains are known because the tests mix them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile

from napari_wsimil.errors import SlideError
from napari_wsimil.patches import PatchSpec, StainNormaliser, find_tissue
from napari_wsimil.patches._macenko import _REFERENCE, _REFERENCE_MOST, stain_colours
from napari_wsimil.patches._reinhard import _AXES, _CONES, _REFERENCE_MEAN, _REFERENCE_SPREAD, Reinhard
from napari_wsimil.patches.stain import tissue_pixels
from napari_wsimil.slides import open_slide

METHODS = ("macenko", "reinhard")
HERE = np.array([[0.65, 0.70, 0.29], [0.25, 0.87, 0.42]]).T
THERE = np.array([[0.45, 0.80, 0.40], [0.35, 0.90, 0.20]]).T


def amounts(height, width, seed=0):
    """(height, width, 2) concentrations: eosin everywhere, nuclei of a few pixels with haematoxylin."""
    random = np.random.default_rng(seed)
    nuclei = np.kron(random.random((height // 8, width // 8)) < 0.3, np.ones((8, 8)))
    eosin = random.gamma(6, 0.08, (height, width)) * (1 - 0.9 * nuclei)
    return np.stack([nuclei * random.gamma(20, 0.07, (height, width)), eosin], axis=-1)


def stained(concentrations, colours):
    """RGB of what is so stained, seen on glass of 240."""
    colours = colours / np.linalg.norm(colours, axis=0)
    return np.clip(240 * np.exp(-concentrations @ colours.T) - 1, 0, 255).round().astype(np.uint8)


def slide_of(path, tissue, side=1280):
    """A slide at 0.5 µm per pixel with tissue in its middle."""
    pixels = np.full((side, side, 3), 240, np.uint8)
    rows, columns = tissue.shape[:2]
    pixels[256 : 256 + rows, 256 : 256 + columns] = tissue
    unit = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", compression="adobe_deflate", **unit)
    return open_slide(path)


@pytest.fixture(scope="module")
def laboratories(tmp_path_factory):
    """The same tissue stained in two ways."""
    folder, tissue = tmp_path_factory.mktemp("stains"), amounts(768, 768)
    with (
        slide_of(folder / "a.tiff", stained(tissue, HERE)) as one,
        slide_of(folder / "b.tiff", stained(tissue * 0.6, THERE)) as two,
    ):
        yield one, two


def densities_of(pixels):
    return -np.log((pixels.reshape(-1, 3).astype(np.float64) + 1) / 240)


@pytest.mark.parametrize("colours", [HERE, THERE])
def test_macenko_finds_the_stains_that_were_mixed(colours):
    found = stain_colours(densities_of(stained(amounts(512, 512), colours)))
    cosines = (found * (colours / np.linalg.norm(colours, axis=0))).sum(axis=0)
    assert np.degrees(np.arccos(cosines)).max() < 4


def test_macenko_gives_both_stains_the_colour_and_strength_of_the_reference(laboratories):
    slide = laboratories[1]
    normaliser = StainNormaliser.fit(slide, find_tissue(slide), "macenko")
    changed = densities_of(normaliser.apply(slide.read_region(256, 256, 768, 768)[None]))
    found = stain_colours(changed)
    assert np.degrees(np.arccos((found * _REFERENCE).sum(axis=0) / np.linalg.norm(_REFERENCE, axis=0))).max() < 3
    most = np.percentile(changed @ np.linalg.pinv(_REFERENCE).T, 99, axis=0)
    np.testing.assert_allclose(most, _REFERENCE_MOST, rtol=0.05)


def test_reinhard_gives_the_tissue_the_mean_and_spread_of_the_reference(laboratories):
    slide = laboratories[0]
    pixels = tissue_pixels(slide, find_tissue(slide))
    dark = pixels[pixels.mean(axis=1) < 190]  # none of it fades into glass
    changed = Reinhard.estimated(dark)(dark[None])[0].astype(np.float64)
    axes = np.log((changed + 1) @ _CONES.T) @ _AXES.T
    np.testing.assert_allclose(axes.mean(axis=0), _REFERENCE_MEAN, atol=0.05)
    np.testing.assert_allclose(axes.std(axis=0), _REFERENCE_SPREAD, rtol=0.25)  # colours that no light has are cut off


@pytest.mark.parametrize(("method", "least"), [("macenko", 5), ("reinhard", 1.3)])
def test_two_laboratories_look_alike_afterwards(laboratories, method, least):
    before = [slide.read_region(512, 512, 256, 256)[None] for slide in laboratories]
    after = [
        StainNormaliser.fit(slide, find_tissue(slide), method).apply(pixels)
        for slide, pixels in zip(laboratories, before, strict=True)
    ]
    first, then = (np.abs(one.astype(int) - two).mean() for one, two in (before, after))
    assert then < first / least


@pytest.mark.parametrize("method", METHODS)
def test_glass_and_white_stay_as_they_are(laboratories, method):
    normaliser = StainNormaliser.fit(laboratories[0], None, method)
    greys = np.arange(240, 256, dtype=np.uint8)[None, None, :, None].repeat(3, axis=3)
    np.testing.assert_array_equal(normaliser.apply(greys), greys)


@pytest.mark.parametrize("method", METHODS)
def test_the_estimate_is_the_same_each_time_and_wherever_one_looks(laboratories, method):
    slide = laboratories[0]
    patches = slide.read_patches([(300, 300), (700, 500), (200, 200)], 200, 0.5)
    tissues = find_tissue(slide), find_tissue(slide, "none"), None
    results = [StainNormaliser.fit(slide, tissue, method).apply(patches) for tissue in tissues]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("method", METHODS)
def test_many_threads_and_any_shape_give_the_same_pixels(laboratories, method):
    normaliser = StainNormaliser.fit(laboratories[0], None, method)
    patches = np.stack([laboratories[0].read_region(300 + 10 * i, 300, 217, 217) for i in range(8)])
    expected = np.stack([normaliser._change(patch) for patch in patches])  # without strips
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(normaliser.apply, [patches] * 8):
            np.testing.assert_array_equal(found, expected)
    assert normaliser.apply(patches, out=patches) is patches
    np.testing.assert_array_equal(patches, expected)
    assert normaliser.apply(np.empty((0, 8, 8, 3), np.uint8)).shape == (0, 8, 8, 3)


@pytest.mark.parametrize("method", METHODS)
def test_a_slide_of_one_colour_can_not_be_normalised(tmp_path, method):
    with (
        slide_of(tmp_path / "flat.tiff", np.full((768, 768, 3), (170, 90, 160), np.uint8)) as slide,
        pytest.raises(SlideError, match=rf"flat\.tiff can't be normalised by {method.capitalize()}'s .* one colour only"),
    ):
        StainNormaliser.fit(slide, None, method)


def test_a_single_stain_is_none_for_macenko(tmp_path):
    only = amounts(768, 768) * (1, 0) + (0.3, 0)
    with slide_of(tmp_path / "h.tiff", stained(only, HERE)) as slide, pytest.raises(SlideError, match="one colour only"):
        StainNormaliser.fit(slide, None, "macenko")


@pytest.mark.parametrize("method", METHODS)
def test_too_little_tissue_is_one_sentence(tmp_path, write_slide, method):
    with (
        open_slide(write_slide(tmp_path / "glass.tiff", tissue=False)) as slide,
        pytest.raises(SlideError, match=r"glass\.tiff can't be normalised: there is too little stained tissue"),
    ):
        StainNormaliser.fit(slide, find_tissue(slide), method)


@pytest.mark.parametrize("name", ["none", "vahadane"])
def test_there_must_be_such_a_method(laboratories, name):
    with pytest.raises(SlideError, match=name):
        StainNormaliser.fit(laboratories[0], None, name)


@pytest.mark.parametrize("method", METHODS)
def test_real_tissue_is_brought_to_the_reference_without_burning_out(real_data, method):
    with open_slide(real_data("slides/cmu1_small_region.svs")) as slide:
        normaliser = StainNormaliser.fit(slide, find_tissue(slide), method)
        pixels = slide.read_region(900, 1200, 512, 512)
    changed = normaliser.apply(pixels[None])[0]
    tissue = pixels.mean(axis=2) < 200
    assert np.abs(changed[tissue].astype(int) - pixels[tissue]).mean() > 5
    assert (changed[tissue] == 255).any(axis=1).mean() < 0.05
    assert changed[tissue].mean(axis=0)[1] < changed[tissue].mean(axis=0)[[0, 2]].min()  # still pink to purple


def test_the_digest_keeps_normalised_features_apart_and_old_ones_valid():
    plain = PatchSpec(mpp=0.5)
    assert plain.digest == PatchSpec(mpp=0.5, normalisation="none").digest == "51ab9fd2ead33665"
    assert len({PatchSpec(mpp=0.5, normalisation=name).digest for name in ("none", *METHODS)}) == 3
    with pytest.raises(SlideError, match="no stain normalisation 'vahadane'; choose one of none, macenko, reinhard"):
        PatchSpec(mpp=0.5, normalisation="vahadane")
