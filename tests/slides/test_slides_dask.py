from __future__ import annotations

import pickle

import dask
import dask.array as da
import numpy as np
import pytest

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide


@pytest.fixture
def slide(make_slide, images):
    noise, _ = images
    return open_slide(make_slide(noise(2100, 2600), noise(525, 650), mpp=0.25))


INDICES = [
    np.s_[100:400, 700:1000],
    np.s_[500:600, 0:300, 1],
    np.s_[5],
    np.s_[-3, 10:20],
    np.s_[..., 0],
    np.s_[2000:, 2500:, :2],
    np.s_[7, 9, 2],
    np.s_[0:1024, 0:1024, ...],
    np.s_[::2, ::3],
    np.s_[[1, 5, 9]],
    np.s_[10:10, 5:9],
    np.s_[:, :, :],
    np.s_[None, 3:5, 4:6],
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_slices_equal_numpy(slide, index):
    whole = slide.read_region(0, 0, slide.width, slide.height)
    part = slide.dask(0)[index]
    assert isinstance(part, da.Array)
    assert part.shape == whole[index].shape
    assert (part.compute() == whole[index]).all()


def test_is_a_dask_array_in_every_way(slide):
    array = slide.dask(0)
    whole = slide.read_region(0, 0, slide.width, slide.height)
    assert isinstance(array, da.Array)
    assert (array.shape, array.dtype, array.ndim, array.size) == (whole.shape, np.uint8, 3, whole.size)
    assert array.chunks[0][:2] == (512, 512)
    assert array.mean(axis=(0, 1)).compute() == pytest.approx(whole.mean((0, 1)))
    assert (array.rechunk((1000, 1000, 3)).compute() == whole).all()
    assert (array.map_blocks(lambda block: 255 - block).compute() == 255 - whole).all()
    assert ((array[:600, :600] // 2).compute() == whole[:600, :600] // 2).all()
    assert (np.asarray(array) == whole).all()
    assert (pickle.loads(pickle.dumps(array)).compute() == whole).all()


def test_chunks_are_whole_tiles(make_slide, images):
    slide = open_slide(make_slide(images[0](1500, 1500), tile=(240, 240)))
    assert slide.dask(0).chunks == ((720, 720, 60), (720, 720, 60), (3,))


def test_names_are_deterministic(slide):
    again = open_slide(slide.path)
    assert slide.dask(0).name == again.dask(0).name
    assert slide.dask(0)[0:9, 0:9].name == again.dask(0)[0:9, 0:9].name
    names = {array.name for array in (*slide.pyramid(), slide.dask(0)[0:9, 0:9], slide.dask(0)[0:9, 1:10])}
    assert len(names) == len(slide.pyramid()) + 2


def test_a_window_costs_the_window(slide):
    window = slide.dask(0)[100:700, 900:1500]
    assert len(window.__dask_graph__()) <= 4
    with dask.config.set(scheduler="sync"):
        assert (window.compute() == slide.read_region(900, 100, 600, 600)).all()


def test_slicing_a_huge_level_builds_a_small_graph(slide):
    """A level of 200,000 chunks: a plain Dask array walks all of them, more than 100 ms, for each slice."""
    from napari_wsimil.slides._dask import level_array
    from napari_wsimil.slides.backends.base import Level

    huge = Level(0, 230_000, 230_000, 1.0, (256, 256))
    array = level_array(slide, huge)
    assert array.npartitions > 200_000
    for start in (0, 100_000, 229_000):
        assert len(array[start : start + 1000, 4096:5696].__dask_graph__()) < 64


def test_pyramid_is_completed_to_steps_of_two(slide):
    shapes = [array.shape[:2] for array in slide.pyramid()]
    assert shapes == [(2100, 2600), (1050, 1300), (525, 650)]
    assert slide.pyramid_downsamples == [1, 2, 4]
    assert [level.index for level in slide.levels] == [0, 1]


def test_virtual_levels_are_the_area_mean_of_the_next_finer(slide):
    fine, middle, coarse = (np.asarray(array) for array in slide.pyramid())
    mean = fine.reshape(1050, 2, 1300, 2, 3).mean((1, 3))
    assert abs(middle - mean).max() <= 0.51
    assert (coarse == slide.read_region(0, 0, 650, 525, level=1)).all()


def test_single_level_goes_down_to_1024(make_slide, images):
    slide = open_slide(make_slide(images[1](3001, 2003), mpp=0.25))
    pyramid = slide.pyramid()
    assert [array.shape[:2] for array in pyramid] == [(3001, 2003), (1500, 1002), (750, 501)]
    assert slide.pyramid_downsamples == [1, 2003 / 1002, 2003 / 501]
    # odd sizes: the far corner of the coarsest level shows the far corner of the slide
    fine, coarse = np.asarray(pyramid[0]).astype(float), np.asarray(pyramid[2]).astype(float)
    assert abs(coarse[-1, -1] - fine[-4:, -4:].mean((0, 1))).max() < 2
    assert abs(coarse[0, 0] - fine[:4, :4].mean((0, 1))).max() < 2


def test_small_slide_has_one_array(make_slide, images):
    assert len(open_slide(make_slide(images[0](300, 300))).pyramid()) == 1


def test_the_smallest_array_reads_no_finer_level(slide, monkeypatch):
    read = []
    original = slide._backend.read_tile
    monkeypatch.setattr(slide._backend, "read_tile", lambda *a, **k: (read.append(a), original(*a, **k))[1])
    np.asarray(slide.pyramid()[-1])
    assert {level for level, _, _ in (call[:3] for call in read)} == {1}


def test_unknown_level(slide):
    with pytest.raises(SlideError, match="levels 0 to 1"):
        slide.dask(2)
