from __future__ import annotations

import numpy as np
import pytest

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide
from napari_wsimil.slides._resample import resample


def block_mean(pixels, k):
    height, width = pixels.shape[0] // k, pixels.shape[1] // k
    return pixels[: height * k, : width * k].reshape(height, k, width, k, 3).mean((1, 3))


def exact_mean(pixels, x0, y0, factor, size):
    """Area mean by brute force: every pixel cut into 20 x 20 equal pieces."""
    fine = pixels.repeat(20, 0).repeat(20, 1).astype(float)
    step = round(factor * 20)
    out = np.empty((size, size, 3))
    for row in range(size):
        for column in range(size):
            y, x = round(y0 * 20) + row * step, round(x0 * 20) + column * step
            out[row, column] = fine[y : y + step, x : x + step].mean((0, 1))
    return out


def test_half_magnification_is_the_area_mean(make_slide, images):
    pixels = images[0](600, 600)
    slide = open_slide(make_slide(pixels, mpp=0.25))
    read = slide.read_region(40, 60, 200, 150, mpp=0.5).astype(float)
    assert abs(read - block_mean(pixels[60:360, 40:440], 2)).max() <= 0.51
    read = slide.read_region(40, 60, 50, 40, mpp=2.0).astype(float)
    assert abs(read - block_mean(pixels[60:380, 40:440], 8)).max() <= 0.51


@pytest.mark.parametrize(("fx", "fy"), [(2, 2), (3, 3), (4, 2), (16, 16), (17, 17)])
def test_whole_blocks_are_averaged(images, fx, fy):
    pixels = images[0](fy * 9, fx * 11)
    pixels[: fy * 3] = 255
    mean = pixels.reshape(9, fy, 11, fx, 3).mean((1, 3))
    assert abs(resample(pixels, (0, 0, fx * 11, fy * 9), (11, 9)) - mean).max() <= 0.51


@pytest.mark.parametrize(("factor", "x", "y"), [(1.85, 3.3, 8.15), (1.1, 20, 7.5), (3.4, 0.6, 0.8)])
def test_any_magnification_is_the_exact_area_mean(make_slide, images, factor, x, y):
    pixels = images[0](120, 120)
    slide = open_slide(make_slide(pixels, mpp=0.25))
    read = slide.read_region(x, y, 30, 30, mpp=0.25 * factor).astype(float)
    assert abs(read - exact_mean(pixels, x, y, factor, 30)).max() <= 0.6


def test_large_reads_in_blocks_are_seamless(make_slide, images, monkeypatch):
    slide = open_slide(make_slide(images[0](1500, 1500), mpp=0.25))
    whole = slide.read_region(-7, 3, 300, 290, mpp=1.1)
    monkeypatch.setattr("napari_wsimil.slides._scaled._BLOCK_PIXELS", 1 << 16)
    assert (open_slide(slide.path).read_region(-7, 3, 300, 290, mpp=1.1) == whole).all()


def test_magnification_comes_from_the_nearest_finer_level(make_slide, images):
    levels = [np.full((1024 // k, 1024 // k, 3), 10 * k, np.uint8) for k in (1, 2, 8)]
    slide = open_slide(make_slide(*levels, mpp=0.25))
    for mpp, level in ((0.25, 1), (0.45, 1), (0.495, 2), (0.5, 2), (1.0, 2), (1.9, 2), (1.97, 8), (2.0, 8), (8.0, 8)):
        assert (slide.read_region(100, 100, 4, 4, mpp=mpp) == 10 * level).all(), mpp


def test_a_level_within_2_percent_is_taken_as_it_is(make_slide, images):
    pixels = images[0](600, 600)
    slide = open_slide(make_slide(pixels, mpp=0.2525))
    assert (slide.read_region(100, 200, 64, 64, mpp=0.25) == pixels[200:264, 100:164]).all()


def test_enlarging_only_where_level_0_is_coarser(make_slide, images):
    pixels = images[1](300, 300)
    slide = open_slide(make_slide(pixels, mpp=0.5))
    read = slide.read_region(100, 100, 200, 200, mpp=0.25)
    assert abs(read[::2, ::2].astype(int) - pixels[100:200, 100:200]).max() < 8
    assert abs(read[1::2, 1::2].astype(int) - pixels[100:200, 100:200]).max() < 8


def test_far_corner_of_a_level_whose_downsample_is_not_whole(make_slide):
    """32.26, not 32: a rounded downsample would miss the corner by 8 level-0 pixels for each 1000."""
    pixels = np.full((4000, 4000, 3), 200, np.uint8)
    coarse = np.full((124, 124, 3), 200, np.uint8)
    coarse[-1, -1] = 0
    slide = open_slide(make_slide(pixels, coarse, mpp=0.25))
    scale = 4000 / 124
    assert slide.levels[1].downsample == scale
    read = slide.read_region(4000 - 3 * scale, 4000 - 3 * scale, 3, 3, level=1)
    assert (read[2, 2] == 0).all()
    assert (read.reshape(-1, 3)[:8] == 200).all()
    read = slide.read_region(4000 - 3 * scale, 4000 - 3 * scale, 3, 3, mpp=0.25 * scale)
    assert (read[2, 2] == 0).all()
    assert (read.reshape(-1, 3)[:8] == 200).all()
    # half of the dark pixel at the double magnification step
    read = slide.read_region(4000 - 2 * scale, 4000 - 2 * scale, 1, 1, mpp=0.5 * scale)
    assert abs(int(read[0, 0, 0]) - 150) <= 1


def test_bad_requests(make_slide, images):
    slide = open_slide(make_slide(images[0](300, 300)))
    with pytest.raises(SlideError, match="not both"):
        slide.read_region(0, 0, 5, 5, mpp=1, level=0)
    with pytest.raises(SlideError, match="levels 0 to 0, not 1"):
        slide.read_region(0, 0, 5, 5, level=1)
    with pytest.raises(SlideError, match="positive"):
        slide.read_region(0, 0, 5, 5, mpp=0)
    with pytest.raises(SlideError, match="do not fit"):
        slide.read_patches([[0, 0]], 8, 0.25, out=np.empty((2, 8, 8, 3), np.uint8))
