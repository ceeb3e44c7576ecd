"""The generated slides: the same everywhere, pyramidal, with tumour exactly where the truth says."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import shapely
import tifffile

from napari_wsimil.patches import find_tissue, patch_grid
from napari_wsimil.samples import _stamps as stamps
from napari_wsimil.samples import make_sample_slide, read_truth, truth_path, tumour_fraction
from napari_wsimil.samples._layout import make_layout
from napari_wsimil.samples._paint import Painter
from napari_wsimil.slides import open_slide

SIZE = 2048


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    return make_sample_slide(tmp_path_factory.mktemp("samples") / "tumour.tiff", seed=1, size=SIZE)


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:16]


def test_pixels_are_the_same_in_another_process():
    here = _digest(Painter(make_layout("tumour", 5, SIZE)).paint(512, 512, 512, 512))
    code = (
        "import hashlib; from napari_wsimil.samples._layout import make_layout;"
        "from napari_wsimil.samples._paint import Painter;"
        f"p = Painter(make_layout('tumour', 5, {SIZE})).paint(512, 512, 512, 512);"
        "print(hashlib.sha256(p.tobytes()).hexdigest()[:16])"
    )
    # Without wide vector instructions numpy takes other paths through its loops: the pixels must not notice.
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"}
    there = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert there.stdout.strip() == here


def test_windows_join_without_a_seam():
    painter = Painter(make_layout("tumour", 2, SIZE))
    whole = painter.paint(512, 512, 1024, 1024)
    assert np.array_equal(painter.paint(896, 768, 256, 512), whole[256:768, 384:640])


def test_another_seed_is_another_slide():
    first, second = (Painter(make_layout("normal", seed, SIZE)).paint(768, 768, 512, 512) for seed in (0, 1))
    assert (first != second).mean() > 0.5


def test_pyramid_levels_halve_and_say_their_resolution(slide):
    with tifffile.TiffFile(slide) as tiff:
        assert [page.shape for page in tiff.pages] == [(2048, 2048, 3), (1024, 1024, 3), (512, 512, 3), (256, 256, 3)]
        assert all(page.is_tiled and page.compression == 7 for page in tiff.pages)
        numerator, denominator = tiff.pages[0].tags["XResolution"].value
        assert 1e4 / (numerator / denominator) == pytest.approx(0.5)
        fine, coarse = tiff.pages[0].asarray().astype(float), tiff.pages[1].asarray().astype(float)
    mean = fine.reshape(1024, 2, 1024, 2, 3).mean((1, 3))
    assert np.abs(mean - coarse).mean() < 3  # JPEG twice, nothing else


def test_corners_are_glass(slide):
    with tifffile.TiffFile(slide) as tiff:
        pixels = tiff.pages[0].asarray()
    assert all(pixels[rows, columns].mean() > 235 for rows in (slice(0, 40), slice(-40, None)) for columns in (slice(0, 40),))


def test_tumour_cells_lie_inside_the_truth():
    layout = make_layout("tumour", 3, 4096)
    cells = layout.cells[np.isin(layout.cells[:, 2], (stamps.TUMOUR, stamps.MITOSIS))]
    inside = tumour_fraction(layout.foci, cells[:, :2] - 16, 32) > 0
    assert len(cells) > 200
    assert inside.mean() > 0.97
    glands = layout.glands[layout.glands[:, 4] <= 1]
    assert (tumour_fraction(layout.foci, glands[:, :2] - 16, 32) > 0).mean() < 0.02


def test_tumour_nuclei_are_larger_and_irregular():
    areas = [np.mean([(stamp > 40).sum() for stamp in stamps.cells()[kind]]) for kind in (stamps.EPITHELIUM, stamps.TUMOUR)]
    assert areas[1] > 2 * areas[0]


@pytest.mark.parametrize("seed", range(4))
def test_every_tumour_slide_has_a_focus_and_no_normal_one_has(seed):
    tumour, normal = make_layout("tumour", seed, SIZE), make_layout("normal", seed, SIZE)
    assert 1 <= len(tumour.foci) <= 5
    assert not normal.foci
    assert not np.isin(normal.cells[:, 2], (stamps.TUMOUR, stamps.MITOSIS)).any()


def test_truth_file_gives_the_outlines_back(slide):
    layout = make_layout("tumour", 1, SIZE)
    assert [np.allclose(read[:-1], drawn, atol=0.01) for read, drawn in zip(read_truth(slide), layout.foci, strict=True)]
    assert np.array_equal(read_truth(slide)[0][0], read_truth(slide)[0][-1])


def test_tumour_fraction_measures_area():
    square = [np.array([[100.0, 100.0], [300.0, 100.0], [300.0, 300.0], [100.0, 300.0]])]
    share = tumour_fraction(square, np.array([[100, 100], [200, 100], [250, 250], [400, 400]]), 100)
    assert share == pytest.approx([1.0, 1.0, 0.25, 0.0], abs=0.05)


def test_kept_in_the_cache_and_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_WSIMIL_CACHE", str(tmp_path))
    reports = []
    first = make_sample_slide(kind="normal", size=SIZE, progress=lambda *report: reports.append(report))
    written = first.stat().st_mtime_ns
    assert reports[-1] == (4, 4)
    assert make_sample_slide(kind="normal", size=SIZE).stat().st_mtime_ns == written
    assert sorted(p.name for p in first.parent.iterdir()) == [first.name, truth_path(first).name]


@pytest.mark.parametrize(
    ("kind", "size", "confounder"), [("frog", SIZE, None), ("tumour", 1000, None), ("tumour", SIZE, "coffee")]
)
def test_what_cannot_be_drawn_is_refused(tmp_path, kind, size, confounder):
    with pytest.raises(ValueError, match=r"neither|multiple"):
        make_sample_slide(tmp_path / "x.tiff", kind=kind, size=size, confounder=confounder)
    assert not list(tmp_path.iterdir())


# -- what must not count ------------------------------------------------------------------------------------------------------


def _window(layout):
    """Left, top, width and height (multiples of 16 px) of what was planted and a little around it."""
    low = np.maximum(layout.confounder.outline.min(axis=0) - 96, 0) // 16 * 16
    high = np.minimum(layout.confounder.outline.max(axis=0) + 96, SIZE) // 16 * 16
    return tuple(int(value) for value in (*low, *(high - low)))


def _places(window, step=8):
    left, top, width, height = window
    y, x = np.mgrid[0:height:step, 0:width:step]
    return y + top, x + left


@pytest.mark.parametrize("confounder", ["pen", "blur"])
def test_planting_changes_nothing_but_the_planted_area(confounder):
    planted = make_layout("tumour", 5, SIZE, confounder)
    window = _window(planted)
    layouts = make_layout("tumour", 5, SIZE), replace(planted, confounder=None), planted
    before, same, after = (Painter(layout).paint(*window) for layout in layouts)
    assert _digest(same) == _digest(before)
    y, x = _places(window)
    shape = shapely.Polygon(planted.confounder.outline)
    changed = (before != after).any(axis=-1)[::8, ::8]
    assert not changed[~shapely.contains_xy(shape.buffer(48), x, y)].any()
    assert changed[shapely.contains_xy(shape.buffer(-32), x, y)].mean() > 0.5


@pytest.mark.parametrize("confounder", ["pen", "blur"])
def test_windows_join_without_a_seam_where_something_was_planted(confounder):
    layout = make_layout("normal", 3, SIZE, confounder)
    painter = Painter(layout)
    left, top = (int(value) // 16 * 16 for value in layout.confounder.outline.mean(axis=0) - 256)
    whole = painter.paint(left, top, 512, 512)
    assert np.array_equal(painter.paint(left + 128, top + 192, 256, 128), whole[192:320, 128:384])


@pytest.mark.parametrize("confounder", ["pen", "blur"])
def test_a_confounder_stays_in_the_grid_clear_of_tumour_and_in_the_truth(tmp_path, confounder):
    path = make_sample_slide(tmp_path / "s.tiff", seed=2, size=SIZE, confounder=confounder)
    planted, foci = read_truth(path, "Confounder"), read_truth(path)
    assert len(planted) == 1
    assert foci
    assert not any(shapely.Polygon(planted[0]).intersects(shapely.Polygon(focus)) for focus in foci)
    with open_slide(path) as slide:
        grid = patch_grid(slide, mpp=0.5, size=128, tissue=find_tissue(slide))
    share = tumour_fraction(planted, grid.xy, grid.size_level0)
    assert 0.1 < (share >= 0.5).mean() < 0.35
    assert not read_truth(make_sample_slide(tmp_path / "plain.tiff", seed=2, size=SIZE), "Confounder")


def test_blur_takes_detail_away_and_ink_is_violet():
    def inside(confounder):
        layout = make_layout("normal", 3, SIZE, confounder)
        window = _window(layout)
        y, x = _places(window, 1)
        deep = shapely.contains_xy(shapely.Polygon(layout.confounder.outline).buffer(-40), x, y)
        return [Painter(one).paint(*window).astype(float) for one in (replace(layout, confounder=None), layout)], deep

    (sharp, blurred), deep = inside("blur")
    detail = [np.abs(np.diff(pixels, axis=1))[deep[:, 1:]].mean() for pixels in (sharp, blurred)]
    assert detail[1] < detail[0] / 3
    (_, inked), deep = inside("pen")
    red, green, blue = inked[deep].mean(axis=0)
    assert green < red < blue
