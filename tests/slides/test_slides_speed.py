"""What makes reading quick, as far as it can be seen without a clock."""

from __future__ import annotations

import os
import threading
from collections import Counter

import numpy as np
import pytest

from napari_wsimil.slides import cache_info, open_slide
from napari_wsimil.slides._cache import TileCache
from napari_wsimil.slides._dask import level_array
from napari_wsimil.slides._memory import TileMemory
from napari_wsimil.slides._parallel import ReadPool
from napari_wsimil.slides._resample import block_mean
from napari_wsimil.slides._scratch import scratch
from napari_wsimil.slides.backends.base import Level
from napari_wsimil.slides.backends.tiff import TiffBackend


@pytest.fixture
def decoded(monkeypatch):
    """Counter of (level, column, row) decoded so far."""
    counter = Counter()
    original = TiffBackend.read_tile

    def read_tile(self, level, column, row, scratch=None):
        counter[level, column, row] += 1
        return original(self, level, column, row, scratch)

    monkeypatch.setattr(TiffBackend, "read_tile", read_tile)
    return counter


def halved(pixels):
    return pixels.reshape(pixels.shape[0] // 2, 2, pixels.shape[1] // 2, 2, 3).mean((1, 3))


def test_every_mean_of_four_is_rounded_half_up():
    sums = np.arange(4 * 255 + 1)
    blocks = np.zeros((2, 2 * len(sums), 3), np.uint8)
    for number in sums:
        parts = [min(255, max(0, number - 255 * part)) for part in range(4)]
        blocks[:, 2 * number : 2 * number + 2] = np.reshape(parts, (2, 2, 1))
    out = np.empty((1, len(sums), 3), np.uint8)
    block_mean(blocks, 2, 2, out)
    assert (out[0] == ((sums + 2) // 4)[:, None]).all()


@pytest.mark.parametrize("place", [np.s_[2:11, 3:14], np.s_[::-1], np.s_[:, ::-1], np.s_[:, :, ::-1], np.s_[::2, 1::3]])
def test_means_can_be_written_to_any_part_of_an_array(images, place):
    out = np.zeros((20, 30, 3), np.uint8)
    part = out[place]
    pixels = images[0](part.shape[0] * 2, part.shape[1] * 2 + 3)[:, 1:-2]
    block_mean(pixels, 2, 2, part)
    assert abs(part - halved(pixels)).max() <= 0.51
    expected = np.zeros_like(out)
    expected[place] = part
    assert (out == expected).all()


def test_tiles_are_halved_one_by_one_and_kept_at_that_size(make_slide, images, decoded):
    pixels = images[0](1024, 1024)
    slide = open_slide(make_slide(pixels))
    before = cache_info().bytes
    for _ in range(2):
        assert abs(slide.read_region(100, 50, 400, 450, mpp=0.5) - halved(pixels[50:950, 100:900])).max() <= 0.51
    assert set(decoded.values()) == {1}
    assert len(decoded) == 16
    assert cache_info().bytes - before == pytest.approx(16 * 128 * 128 * 3, rel=0.01)


def test_blocks_that_lie_across_tiles_are_averaged_all_the_same(make_slide, images):
    pixels = images[0](1024, 1024)
    slide = open_slide(make_slide(pixels))
    assert abs(slide.read_region(101, 50, 400, 450, mpp=0.5) - halved(pixels[50:950, 101:901])).max() <= 0.51
    slide = open_slide(make_slide(pixels, tile=(240, 240)))
    assert abs(slide.read_region(32, 64, 50, 50, mpp=8.0)[3, 4] - pixels[160:192, 160:192].mean((0, 1))).max() <= 0.51


def test_a_level_that_ends_within_a_block_is_completed_with_white(make_slide, images):
    pixels = images[0](601, 603)
    whole = np.full((602, 604, 3), 255, np.uint8)
    whole[:601, :603] = pixels
    slide = open_slide(make_slide(pixels))
    read = slide.read_region(0, 0, 310, 305, mpp=0.5)
    assert abs(read[:301, :302] - halved(whole)).max() <= 0.51
    assert (read[301:] == 255).all()
    assert (read[:, 302:] == 255).all()


def test_tiles_seen_at_full_size_are_halved_without_decoding_them_again(make_slide, images, decoded):
    slide = open_slide(make_slide(images[0](512, 512)))
    slide.read_region(0, 0, 512, 512)
    slide.read_region(0, 0, 256, 256, mpp=0.5)
    assert sum(decoded.values()) == 4


def test_patches_keep_only_what_the_next_ones_want(make_slide, images, decoded):
    slide = open_slide(make_slide(images[0](1024, 1024)))
    before = cache_info().bytes
    upper, lower = ([(x, y) for y in rows for x in (0, 256, 512)] for rows in ((0, 128), (384, 640)))
    slide.read_patches(upper, 256, 0.25)
    # the rows from 256 to 384 are taken, those from 384 to 512 are not
    assert cache_info().bytes - before == pytest.approx(3 * 256 * 256 * 3, rel=0.01)
    slide.read_patches(lower, 256, 0.25)
    assert set(decoded.values()) == {1}


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_patches_fit_into_any_memory(make_slide, images, mpp):
    slide = open_slide(make_slide(images[0](700, 700)))
    corners = [(-30, 40), (256, 256), (0, 0), (690, 690), (2000, 0), (256, 0)]
    expected = slide.read_patches(corners, 256, mpp)
    apart, turned = np.zeros((12, 256, 256, 3), np.uint8)[::2], np.zeros((3, 6, 256, 256), np.uint8).transpose(1, 2, 3, 0)
    for out in (apart, turned, turned[:, ::-1]):
        assert slide.read_patches(corners, 256, mpp, out=out) is out
        assert (out == expected).all()


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.6])
def test_patches_beyond_the_level_but_within_its_last_tile_are_white(make_slide, images, decoded, mpp):
    slide = open_slide(make_slide(images[0](300, 300)))
    corners = [(310, 0), (0, 310), (310, 310), (299, 299), (20, -400)]
    patches = slide.read_patches(corners, 64, mpp)
    assert [bool((patch == 255).all()) for patch in patches] == [True, True, True, False, True]
    for patch, (x, y) in zip(patches, corners, strict=True):
        assert (patch == slide.read_region(x, y, 64, 64, mpp=mpp)).all()
    assert (slide.read_patches([(310, 310)], 64, mpp) == 255).all()


def test_decoded_pixels_that_are_looked_at_next_begin_beside_the_borders_of_16_bytes():
    for _ in range(3):
        assert scratch("test", (256, 256, 3)).ctypes.data % 16 == 8
        assert TileMemory().take((256, 256, 3)).ctypes.data % 16 == 8
    assert scratch("test", (256, 256, 3)) is scratch("test", (256, 256, 3))
    assert np.shares_memory(scratch("test", (256, 256, 3)), scratch("test", (9, 9, 3)))


def test_threads_are_as_many_as_the_cores_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    where = []
    ReadPool().run(lambda _: where.append(threading.current_thread()), range(3))
    assert set(where) == {threading.current_thread()}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(100)))
    assert ReadPool().workers == 8


def test_who_waits_for_a_tile_is_given_it_or_what_went_wrong():
    cache = TileCache()
    making, go_on = threading.Event(), threading.Event()
    outcomes = []

    def make():
        making.set()
        assert go_on.wait(10)
        raise OSError("gone")

    def want(work):
        try:
            outcomes.append(cache.get("key", work))
        except OSError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=want, args=(make,)), *(threading.Thread(target=want, args=(dict,)) for _ in range(2))]
    threads[0].start()
    assert making.wait(10)
    for thread in threads[1:]:
        thread.start()
    while cache.info().misses < 3:
        threads[0].join(0.001)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert outcomes == ["gone"] * 3


def test_a_view_is_one_chunk_and_a_large_slice_is_cut_where_the_level_is(make_slide, images):
    slide = open_slide(make_slide(images[0](600, 600)))
    array = level_array(slide, Level(0, 100_000, 130_000, 1.0, (256, 256)))
    assert array[700:1700, 900:2500].chunks == ((1000,), (1600,), (3,))
    large = array[700:4700, 900:5900]
    assert large.chunks[0][:2] == (324, 512)
    assert large.chunks[1][:2] == (124, 512)
