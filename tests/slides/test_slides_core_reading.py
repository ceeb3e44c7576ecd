from __future__ import annotations

import itertools
import logging
from collections import Counter

import numpy as np
import pytest
import simplejpeg

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import Box, cache_info, open_slide, set_cache_limit
from napari_wsimil.slides._cache import SHARED, SlideTiles, TileCache
from napari_wsimil.slides._memory import TileMemory
from napari_wsimil.slides.backends.tiff import TiffBackend
from napari_wsimil.slides.backends.tiff.planes import jpeg_stream

JPEG = {"compression": "jpeg", "compressionargs": {"level": 92}}


@pytest.fixture(autouse=True)
def usual_cache_limit():
    before = SHARED.limit
    yield
    set_cache_limit(before)


@pytest.fixture
def decoded(monkeypatch):
    """Counter of (level, column, row, factor) decoded so far."""
    counter = Counter()
    full, reduced = TiffBackend.read_tile, TiffBackend.read_tile_reduced

    def read_tile(self, level, column, row, scratch=None):
        counter[level, column, row, 1] += 1
        return full(self, level, column, row, scratch)

    def read_tile_reduced(self, level, column, row, factor):
        counter[level, column, row, factor] += 1
        return reduced(self, level, column, row, factor)

    monkeypatch.setattr(TiffBackend, "read_tile", read_tile)
    monkeypatch.setattr(TiffBackend, "read_tile_reduced", read_tile_reduced)
    return counter


def decibels(a, b):
    return 10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b.astype(float)) ** 2)))


def grid(step, start, stop):
    return [(x, y) for y in range(start, stop, step) for x in range(start, stop, step)]


LAYOUTS = {
    "aligned": (grid(256, 0, 1792), 256, 0.25),
    "unaligned": (grid(256, 100, 1500), 256, 0.25),
    "overlapping": (grid(64, 40, 700), 200, 0.25),
    "half": (grid(256, 0, 1500), 128, 0.5),
    "half, unaligned": (grid(300, 31, 1500), 150, 0.5),
    "half, overlapping": (grid(150, 31, 900), 150, 0.5),
    "not whole": (grid(300, 31, 1300), 160, 0.47),
}


@pytest.mark.parametrize("resampling", ["area", "dct"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_tile_is_decoded_once_whatever_the_order(make_slide, images, decoded, layout, resampling):
    corners, size, mpp = LAYOUTS[layout]
    slide = open_slide(make_slide(images[1](2048, 2048), **JPEG))
    corners = np.random.default_rng(0).permutation(np.array(corners))
    patches = slide.read_patches(corners, size, mpp, resampling=resampling)
    assert set(decoded.values()) == {1}
    slide.close()
    with open_slide(slide.path) as fresh:
        for patch, (x, y) in itertools.islice(zip(patches, corners, strict=True), 0, None, 7):
            assert (patch == fresh.read_region(x, y, size, size, mpp=mpp, resampling=resampling)).all()


def test_a_cache_of_a_few_tiles_is_enough_for_one_strip_at_a_time(make_slide, images, decoded, monkeypatch):
    """64 tiles, of which 20 fit; row by row across the slide the inner ones would be decoded twice, 96 in all."""
    slide = open_slide(make_slide(images[1](1024, 4096), **JPEG))
    monkeypatch.setattr(slide._reader.pool, "workers", 2)
    set_cache_limit(4 * 20 * 257 * 256 * 3)
    corners = [(x, y) for y in range(100, 768, 256) for x in range(100, 3840, 256)]
    slide.read_patches(np.random.default_rng(1).permutation(corners), 256, 0.25)
    assert len(decoded) == 64
    assert sum(decoded.values()) <= 64 + 16
    assert cache_info().bytes <= cache_info().limit


def test_no_cache_at_all_gives_the_same_pixels(make_slide, images):
    slide = open_slide(make_slide(images[0](1000, 1000)))
    expected = slide.read_patches(grid(90, -20, 800), 128, 0.4)
    set_cache_limit(0)
    assert (slide.read_patches(grid(90, -20, 800), 128, 0.4) == expected).all()
    assert cache_info().bytes == 0


@pytest.mark.parametrize(("factor", "least"), [(2, 40), (4, 40), (8, 40)])
@pytest.mark.parametrize("tile", [256, 240])
def test_dct_is_close_to_the_area_mean(make_slide, images, decoded, factor, least, tile):
    slide = open_slide(make_slide(images[1](1500, 1333), tile=(tile, tile), **JPEG))
    # to the ragged edge and beyond
    region = 13 * factor, 0, 1400 // factor, 1540 // factor
    mean = slide.read_region(*region, mpp=0.25 * factor)
    decoded.clear()
    got = slide.read_region(*region, mpp=0.25 * factor, resampling="dct")
    inside = np.s_[: 1500 // factor, : (1333 - 13 * factor) // factor]
    assert decibels(got[inside], mean[inside]) > least
    assert (got[-(-1500 // factor) :] == 255).all()
    assert {key[3] for key in decoded} == {factor}
    assert (mean != slide.read_region(*region, mpp=0.25 * factor, resampling="dct")).any()


@pytest.mark.parametrize(("ratio", "factor"), [(1.9, 1), (1.97, 2), (3, 2), (3.2, 2), (6.5, 4), (8, 8), (20, 8)])
def test_dct_shrinks_as_far_as_it_can_and_the_area_mean_does_the_rest(make_slide, images, decoded, ratio, factor):
    slide = open_slide(make_slide(images[1](2048, 2048), **JPEG))
    got = slide.read_region(96, 200, 60, 50, mpp=0.25 * ratio, resampling="dct")
    assert {key[3] for key in decoded} == {factor}
    assert decibels(got, slide.read_region(96, 200, 60, 50, mpp=0.25 * ratio)) > 40


def test_dct_prefers_a_stored_level(make_slide, images, decoded):
    slide = open_slide(make_slide(images[1](2048, 2048), images[1](512, 512), **JPEG))
    for mpp in (0.25, 1.0):
        assert (slide.read_region(0, 0, 90, 90, mpp, resampling="dct") == slide.read_region(0, 0, 90, 90, mpp)).all()
    assert {(key[0], key[3]) for key in decoded} == {(0, 1), (1, 1)}
    slide.read_region(0, 0, 90, 90, 2.0, resampling="dct")
    assert (1, 0, 0, 2) in decoded


@pytest.mark.parametrize("options", [{"compression": "zlib"}, {"compression": "jpeg", "tile": None, "rowsperstrip": 16}])
def test_dct_is_the_area_mean_where_the_file_can_not(make_slide, images, options):
    slide = open_slide(make_slide(images[1](600, 600), **options))
    assert not slide._backend.reduces
    assert (slide.read_region(4, 6, 99, 98, 0.6, resampling="dct") == slide.read_region(4, 6, 99, 98, 0.6)).all()


def test_dct_of_rgb_jpeg_without_a_word_about_it(real_data):
    """Aperio's tiles hold RGB and do not say so; tile size 240."""
    slide = open_slide(real_data("slides/cmu1_small_region.svs"))
    mean = slide.read_region(100, 100, 900, 900, mpp=0.998)
    for factor in (2, 4):
        mean = slide.read_region(0, 0, 2220 // factor, 2967 // factor, mpp=0.499 * factor)
        dct = slide.read_region(0, 0, 2220 // factor, 2967 // factor, mpp=0.499 * factor, resampling="dct")
        assert decibels(dct, mean) > 35
        assert (dct != mean).any()


def test_reduced_and_full_tiles_are_not_mixed_up(make_slide, images):
    slide = open_slide(make_slide(images[1](1024, 1024), **JPEG))
    full = slide.read_region(0, 0, 1024, 1024)
    half = slide.read_region(0, 0, 512, 512, mpp=0.5, resampling="dct")
    again = slide.read_region(0, 0, 1024, 1024)
    mean = slide.read_region(0, 0, 512, 512, mpp=0.5)
    assert (again == full).all()
    assert abs(mean - full.reshape(512, 2, 512, 2, 3).mean((1, 3))).max() <= 0.51
    assert (slide.read_region(0, 0, 512, 512, mpp=0.5, resampling="dct") == half).all()


def test_a_reduced_tile_is_what_libjpeg_gives(make_slide, images):
    slide = open_slide(make_slide(images[1](300, 300), **JPEG))
    image, reader = slide._backend._images[0], slide._backend._reader
    tile = reader.read(image.offsets[0], image.counts[0])
    stream = jpeg_stream(tile, image.tables, image.rgb)
    for factor in (2, 4, 8):
        side = 256 // factor
        expected = simplejpeg.decode_jpeg(stream, "RGB", min_height=side, min_width=side)
        assert (slide._backend.read_tile_reduced(0, 0, 0, factor) == expected).all()


def test_virtual_levels_of_jpeg_are_decoded_at_their_size(make_slide, images, decoded):
    """The coarsest array of a slide with one level, which a viewer reads whole when it opens."""
    slide = open_slide(make_slide(images[1](4304, 808), **JPEG))
    pyramid = slide.pyramid()
    assert [array.shape[:2] for array in pyramid] == [(4304, 808), (2152, 404), (1076, 202), (538, 101)]
    for array, factor in zip(pyramid[1:], (2, 4, 8), strict=True):
        decoded.clear()
        got = array.compute(scheduler="sync")
        assert set(decoded.values()) == {1}
        assert {key[3] for key in decoded} == {factor}
        assert decibels(got, slide.read_downsampled(0, 0, *got.shape[1::-1], (factor, factor))) > 38


def test_out_is_written_and_checked(make_slide, images):
    slide = open_slide(make_slide(images[0](600, 600)))
    out = np.empty((300, 200, 3), np.uint8)
    assert slide.read_region(7, 9, 200, 300, out=out) is out
    assert (out == slide.read_region(7, 9, 200, 300)).all()
    assert slide.read_region(7, 9, 200, 300, mpp=0.3, out=out) is out
    assert (out == slide.read_region(7, 9, 200, 300, mpp=0.3)).all()
    with pytest.raises(SlideError, match="do not fit"):
        slide.read_region(0, 0, 300, 200, out=out)


def test_unknown_words_are_refused(make_slide, images):
    slide = open_slide(make_slide(images[0](300, 300)))
    with pytest.raises(SlideError, match="resampled by 'area' or 'dct', not 'lanczos'"):
        slide.read_region(0, 0, 9, 9, mpp=0.5, resampling="lanczos")
    with pytest.raises(SlideError, match="'raw' or 'srgb', not 'cmyk'"):
        slide.read_region(0, 0, 9, 9, colour="cmyk")


def test_large_windows_are_the_same_pixels_and_leave_the_cache_alone(make_slide, images, decoded):
    pixels = images[0](2600, 2300)
    slide = open_slide(make_slide(pixels, compression="zlib"))
    slide.read_region(0, 0, 256, 256)
    set_cache_limit(16 * 1024 * 1024)
    before = cache_info().bytes
    got = slide.read_region(-30, -40, 2360, 2700)
    assert (got[40:2640, 30:2330] == pixels).all()
    got[40:2640, 30:2330] = 255
    assert (got == 255).all()
    assert cache_info().bytes == before
    assert sum(decoded.values()) == len(decoded) == 99


def test_a_large_read_from_a_thread_of_the_pool_itself_does_not_hang(make_slide, images):
    slide = open_slide(make_slide(images[0](1800, 1800), compression="zlib"))
    whole = slide.read_region(0, 0, 1800, 1800)
    same = []
    slide._reader.pool.run(lambda _: same.append((slide.read_region(0, 0, 1800, 1800) == whole).all()), range(9))
    assert same == [True] * 9


def test_warm_decodes_into_the_cache(make_slide, images, decoded):
    slide = open_slide(make_slide(images[1](2048, 2048), **JPEG))
    slide.warm(0, Box(300, 300, 500, 200))
    assert sorted(decoded) == [(0, 1, 1, 1), (0, 2, 1, 1), (0, 3, 1, 1)]
    slide.pyramid()[0][300:500, 300:800].compute()
    assert sum(decoded.values()) == 3
    slide.warm(slide._reader.pyramid.levels[1], (0, 0, 100, 100))
    assert max(key[3] for key in decoded) == 2


def test_warming_stops_between_tiles(make_slide, images, decoded):
    slide = open_slide(make_slide(images[1](2048, 2048), **JPEG))
    slide.warm(0, Box(0, 0, 2048, 2048), lambda: len(decoded) >= 5)
    assert len(decoded) == 5


def test_two_openings_share_tiles_and_the_last_one_drops_them(make_slide, images, decoded):
    path = make_slide(images[1](512, 512), **JPEG)
    before = cache_info()
    first = open_slide(path)
    first.read_region(0, 0, 512, 512)
    with open_slide(path, mpp=0.3) as second:
        second.read_region(0, 0, 512, 512)
    assert sum(decoded.values()) == 4
    assert cache_info().bytes - before.bytes == pytest.approx(4 * 256 * 256 * 3, rel=0.01)
    assert cache_info().hits - before.hits == 4
    first.close()
    assert cache_info().bytes == before.bytes


def test_a_slide_that_is_forgotten_gives_its_tiles_back(make_slide, images):
    before = cache_info().bytes
    open_slide(make_slide(images[0](512, 512))).read_region(0, 0, 512, 512)
    assert cache_info().bytes == before


def test_another_file_of_the_same_name_is_not_served_from_the_cache(make_slide, images):
    first = open_slide(make_slide(images[0](300, 300)))
    first.read_region(0, 0, 300, 300)
    pixels = images[0](300, 300, seed=1)
    second = open_slide(make_slide(pixels))
    assert (second.read_region(0, 0, 300, 300) == pixels).all()


def test_inference_leaves_the_tiles_of_the_viewer(make_slide, images, decoded):
    slide = open_slide(make_slide(images[1](2048, 2048), **JPEG))
    set_cache_limit(64 * 257 * 256 * 3)
    slide.read_region(0, 0, 512, 512)
    for start in (400, 430):
        slide.read_patches(grid(256, start, 1700), 256, 0.25)
    decoded.clear()
    slide.read_region(0, 0, 512, 512)
    assert not decoded


def test_cache_limit_must_make_sense():
    with pytest.raises(ValueError, match="-1 bytes"):
        set_cache_limit(-1)


def test_cache_counts_tiles_that_are_being_made():
    cache = TileCache(10_000)
    seen = []
    cache.get("a", lambda: seen.append(cache.bytes) or np.zeros(10, np.uint8), expected=5000)
    assert seen == [5000]
    assert cache.bytes < 100
    with pytest.raises(SlideError):
        cache.get("b", lambda: (_ for _ in ()).throw(SlideError("no")), expected=5000)
    assert cache.bytes < 100


def test_a_tile_that_comes_after_closing_is_not_kept():
    cache = TileCache(10_000)
    tiles = SlideTiles(cache, "slide")

    def make():
        tiles.close()
        return np.zeros(10, np.uint8)

    assert tiles.get((0, 0, 0), make).shape == (10,)
    assert (0, 0, 0) not in tiles
    assert cache.bytes == 0


def test_tile_memory_is_used_again_only_when_nobody_looks():
    memory = TileMemory()
    first = memory.take((256, 256, 3))
    first[...] = 7
    view = first[3:5]
    address = first.ctypes.data
    del first
    others = [memory.take((256, 256, 3)) for _ in range(200)]
    for other in others:
        other[...] = 9
    assert (view == 7).all()
    del view, other
    others.append(memory.take((256, 256, 3)))
    assert address in {other.ctypes.data for other in [*others, *(memory.take((256, 256, 3)) for _ in range(90))]}


def test_a_file_that_is_cut_while_open_is_background_and_said_once(make_slide, images, caplog):
    path = make_slide(images[0](1024, 1024), compression="zlib")
    slide = open_slide(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with caplog.at_level(logging.WARNING):
        read = slide.read_region(0, 0, 1024, 1024)
        slide.read_patches([[0, 0], [700, 700]], 256, 0.5)
    assert (read[-256:] == 255).all()
    assert (read[:256] != 255).any()
    assert len(slide.notices) == len(caplog.records) == 1
    assert "slide.tif was changed, cut short or removed while it was open" in slide.notices[0]


def test_a_file_that_vanishes_while_open_goes_on_being_read(make_slide, images):
    pixels = images[0](600, 600)
    slide = open_slide(make_slide(pixels))
    slide.path.unlink()
    assert (slide.read_region(0, 0, 600, 600) == pixels).all()
    assert not slide.notices


def test_a_file_that_is_overwritten_while_open_does_no_harm(make_slide, images):
    slide = open_slide(make_slide(images[1](1024, 1024), **JPEG))
    slide.path.write_bytes(b"\xff\xd8" + bytes(slide.path.stat().st_size))
    assert (slide.read_region(0, 0, 1024, 1024) == 255).all()
    assert len(slide.notices) == 1
