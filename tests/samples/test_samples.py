"""The generated slides: the same everywhere, pyramidal, with tumour exactly where the truth says."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_wsimil.samples import _stamps as stamps
from napari_wsimil.samples import make_sample_slide, read_truth, truth_path, tumour_fraction
from napari_wsimil.samples._layout import make_layout
from napari_wsimil.samples._paint import Painter

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


@pytest.mark.parametrize(("kind", "size"), [("frog", SIZE), ("tumour", 1000)])
def test_what_cannot_be_drawn_is_refused(tmp_path, kind, size):
    with pytest.raises(ValueError, match=r"neither|multiple"):
        make_sample_slide(tmp_path / "x.tiff", kind=kind, size=size)
    assert not list(tmp_path.iterdir())
