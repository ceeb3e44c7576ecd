from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wsimil.slides import Level, open_slide
from napari_wsimil.slides._dask import level_array

HEIGHT, WIDTH = 1300, 1100


class FakeSlide:
    """A slide whose pixels are there at once: they tell their place."""

    fingerprint = "fake"

    def read_level_window(self, level, box, colour="raw"):
        rows = np.arange(box.y, box.y + box.height)[:, None, None]
        columns = np.arange(box.x, box.x + box.width)[None, :, None]
        return ((rows * 7 + columns * 13 + np.arange(3) * 50) % 251).astype(np.uint8)


@pytest.fixture(scope="module")
def pair():
    array = level_array(FakeSlide(), Level(0, WIDTH, HEIGHT, 1.0, (256, 256)))
    return array, array.compute()


def parts(length):
    ends = st.integers(-length - 5, length + 5) | st.none()
    steps = st.sampled_from([None, 1, 2, 3, 97])
    # Dask itself errs where a backward slice starts before the front
    backward = st.builds(slice, st.none(), st.none(), st.sampled_from([-1, -4]))
    return st.builds(slice, ends, ends, steps) | backward | st.integers(-length, length - 1)


INDICES = st.one_of(
    st.tuples(parts(HEIGHT), parts(WIDTH)),
    st.tuples(parts(HEIGHT), parts(WIDTH), parts(3)),
    st.tuples(st.just(...), parts(3)),
    st.tuples(parts(HEIGHT), st.just(...)),
    parts(HEIGHT),
)


@settings(max_examples=60, deadline=None)
@given(index=INDICES)
def test_any_slice_equals_numpy(pair, index):
    array, whole = pair
    part = array[index]
    assert isinstance(part, da.Array)
    assert part.shape == whole[index].shape
    assert (part.compute(scheduler="sync") == whole[index]).all()


@settings(max_examples=25, deadline=None)
@given(first=st.tuples(parts(HEIGHT), parts(WIDTH)), rows=st.lists(st.integers(0, 19), min_size=1, max_size=5))
def test_slices_of_slices_and_fancy_ones(pair, first, rows):
    array, whole = pair
    assert (array[40:140, 100:900][rows].compute(scheduler="sync") == whole[40:140, 100:900][rows]).all()
    part, expected = array[first], whole[first]
    if expected.ndim == 3 and expected.shape[0] > 2:
        assert (part[1:-1].compute(scheduler="sync") == expected[1:-1]).all()


def test_reductions_and_new_chunks(pair):
    array, whole = pair
    assert int(array.max().compute()) == whole.max()
    assert (array.rechunk((100, 1100, 1))[5:9].compute() == whole[5:9]).all()
    assert (array.map_blocks(lambda block: block // 2).compute() == whole // 2).all()
    assert (array[::-1, ::-3].compute() == whole[::-1, ::-3]).all()


@pytest.mark.parametrize("place", [(0, 0), (64_000, 49_000), (128_900, 98_300)])
def test_the_graph_of_a_window_has_the_size_of_the_window(place):
    """1600 x 1000 px of 100,000 x 130,000: at most 3 x 5 chunks and what gives them their pixels."""
    array = level_array(FakeSlide(), Level(0, 100_000, 130_000, 1.0, (256, 256)))
    window = array[place[0] : place[0] + 1000, place[1] : place[1] + 1600]
    assert len(dict(window.__dask_graph__())) <= 16
    assert window.numblocks[0] <= 3
    assert window.numblocks[1] <= 5


@pytest.mark.parametrize(
    ("tile", "chunk"),
    [
        ((256, 256), (512, 512)),
        ((240, 240), (720, 720)),
        ((512, 512), (512, 512)),
        ((1000, 600), (600, 1000)),
        ((3840, 8), (512, 512)),
        ((3072, 256), (512, 512)),
        ((4096, 4096), (512, 512)),
        ((1, 1), (512, 512)),
    ],
)
def test_chunks_are_about_512_whatever_the_tiles(tile, chunk):
    array = level_array(FakeSlide(), Level(0, 20_000, 30_000, 1.0, tile))
    assert (array.chunks[0][0], array.chunks[1][0]) == chunk
    assert sum(array.chunks[0]) == 30_000
    assert sum(array.chunks[1]) == 20_000


def test_huge_tiles_are_decoded_once_for_all_their_chunks(make_slide, images, monkeypatch):
    pixels = images[0](1536, 1536)
    slide = open_slide(make_slide(pixels, tile=(1536, 1536)))
    read = []
    original = slide._backend.read_tile
    monkeypatch.setattr(slide._backend, "read_tile", lambda *a, **k: (read.append(a), original(*a, **k))[1])
    assert slide.dask(0).numblocks[:2] == (3, 3)
    assert (slide.dask(0).compute() == pixels).all()
    assert len(read) == 1
