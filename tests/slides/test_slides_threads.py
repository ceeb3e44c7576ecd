from __future__ import annotations

import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide
from napari_wsimil.slides._cache import TileCache
from napari_wsimil.slides.backends.tiff import TiffBackend


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.6, 1.0])
def test_patches_equal_regions(make_slide, images, mpp):
    slide = open_slide(make_slide(images[0](1000, 1000), images[0](250, 250), mpp=0.25))
    xy = np.random.default_rng(0).integers(-50, 950, (37, 2))
    out = np.empty((37, 64, 64, 3), np.uint8)
    patches = slide.read_patches(xy, 64, mpp, out=out)
    assert patches is out
    fresh = open_slide(slide.path)
    for patch, (x, y) in zip(patches, xy, strict=True):
        assert (patch == fresh.read_region(x, y, 64, 64, mpp=mpp)).all()
    assert slide.read_patches(np.empty((0, 2)), 64, mpp).shape == (0, 64, 64, 3)


@pytest.mark.parametrize("aligned", [True, False])
def test_neighbouring_patches_decode_each_tile_once(make_slide, images, monkeypatch, aligned):
    slide = open_slide(make_slide(images[0](2048, 2048), mpp=0.25))
    read = []
    original = TiffBackend.read_tile
    monkeypatch.setattr(TiffBackend, "read_tile", lambda self, *a, **k: (read.append(a[:3]), original(self, *a, **k))[1])
    start = 0 if aligned else 100
    xy = [(x, y) for y in range(start, 1792, 256) for x in range(start, 1792, 256)]
    slide.read_patches(xy, 256, 0.25)
    assert len(read) == len(set(read)) == (49 if aligned else 64)


def test_eight_threads_read_the_same_bytes(make_slide, images):
    slide = open_slide(make_slide(images[1](2000, 2000), images[1](500, 500), mpp=0.25, compression="jpeg"))
    rng = np.random.default_rng(0)
    jobs = [
        (*rng.integers(-100, 1900, 2), *rng.integers(1, 300, 2), float(rng.choice([0.25, 0.5, 0.7, 1.0]))) for _ in range(120)
    ]
    with open_slide(slide.path) as fresh:
        expected = [fresh.read_region(x, y, w, h, mpp=mpp) for x, y, w, h, mpp in jobs]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda job: slide.read_region(*job[:4], mpp=job[4]), jobs))
    assert all((a == b).all() for a, b in zip(got, expected, strict=True))


def test_closed_slide_says_so(make_slide, images):
    with open_slide(make_slide(images[0](300, 300))) as slide:
        slide.read_patches([[0, 0]], 64, 0.25)
    slide.close()
    with pytest.raises(SlideError, match="was closed"):
        slide.read_region(0, 0, 10, 10)
    with pytest.raises(SlideError, match="was closed"):
        slide.read_patches([[0, 0]], 64, 0.25)


def test_closing_while_others_read(make_slide, images):
    slide = open_slide(make_slide(images[0](2000, 2000)))
    started = threading.Event()
    outcome = []

    def read():
        try:
            for x in range(0, 100000, 7):
                slide.read_region(x % 1900, x % 1500, 100, 100)
                slide._cache.clear()
                started.set()
        except SlideError as error:
            outcome.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    started.wait()
    slide.close()
    for thread in threads:
        thread.join()
    assert len(outcome) == 3
    assert all("was closed" in text for text in outcome)


def test_file_is_closed_with_its_last_user(make_slide, images):
    path = make_slide(images[0](300, 300))
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    slides = [open_slide(path) for _ in range(5)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before + 5
    slides[0].close()
    del slides
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_without_pread_a_memory_map_reads_the_same(make_slide, images, monkeypatch):
    pixels = images[0](600, 600)
    monkeypatch.delattr(os, "pread")
    with open_slide(make_slide(pixels, compression="zlib")) as slide:
        assert (slide.read_region(0, 0, 600, 600) == pixels).all()


def test_cache_stays_below_its_limit():
    cache = TileCache(limit=10_000)
    for key in range(50):
        cache.get(key, lambda: np.zeros(1000, np.uint8))
        assert cache.bytes <= 10_000
    assert 49 in cache
    assert 0 not in cache


def test_cache_forgets_a_failed_tile():
    cache = TileCache()

    def fail():
        raise SlideError("no")

    with pytest.raises(SlideError):
        cache.get("a", fail)
    assert cache.get("a", lambda: None) is None
    assert "a" in cache


def test_cache_makes_a_tile_once_for_many_threads():
    cache, made, gate = TileCache(), [], threading.Barrier(8)

    def make():
        made.append(1)
        return np.ones(10, np.uint8)

    def want(_):
        gate.wait()
        return cache.get("tile", make)

    with ThreadPoolExecutor(8) as pool:
        tiles = list(pool.map(want, range(8)))
    assert len(made) == 1
    assert all(tile is tiles[0] for tile in tiles)
