from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tifffile

from napari_wsimil.errors import SlideError, WsimilError
from napari_wsimil.patches import PatchSpec, TissueMask, patch_grid
from napari_wsimil.slides import open_slide


@pytest.fixture
def make_slide(tmp_path):
    def make(width, height, mpp=0.25):
        path = tmp_path / f"{width}x{height}.tif"
        tifffile.imwrite(
            path, np.full((height, width, 3), 250, np.uint8), tile=(256, 256), photometric="rgb", compression="zlib"
        )
        return open_slide(path, mpp=mpp)

    return make


def test_grid_covers_the_slide_row_by_row(make_slide):
    grid = patch_grid(make_slide(2048, 1024), mpp=0.5, size=128)
    assert (grid.size_level0, grid.stride_level0, grid.mpp, grid.size, grid.stride) == (256, 256, 0.5, 128, 128)
    assert len(grid) == 32
    assert grid.xy.dtype == grid.cells.dtype == np.int64
    assert grid.xy[:9].tolist() == [[256 * i, 0] for i in range(8)] + [[0, 256]]
    assert (grid.cells * 256 == grid.xy).all()
    assert (grid.tissue_fraction == 1).all()
    assert grid.tissue_fraction.dtype == np.float32


@pytest.mark.parametrize(("width", "columns"), [(1024, 4), (1151, 4), (1152, 5), (1279, 5), (100, 1)])
def test_edge_patches_count_when_half_inside(make_slide, width, columns):
    grid = patch_grid(make_slide(width, 256), mpp=0.25, size=256)
    assert grid.cells[:, 0].tolist() == list(range(columns))


def test_steps_that_are_not_whole_do_not_drift(make_slide):
    grid = patch_grid(make_slide(3000, 300, mpp=0.499), mpp=0.5, size=64)
    step = 64 * 0.5 / 0.499
    assert grid.stride_level0 == pytest.approx(step)
    assert grid.xy[:, 0].tolist()[:: len(grid) // 5] == [round(c * step) for c in grid.cells[:: len(grid) // 5, 0]]
    assert abs(grid.xy - grid.cells * step).max() <= 0.5


def test_stride_makes_patches_overlap(make_slide):
    grid = patch_grid(make_slide(1024, 256), mpp=0.25, size=256, stride=128)
    assert grid.xy[grid.cells[:, 1] == 0, 0].tolist() == [0, 128, 256, 384, 512, 640, 768, 896]
    assert (grid.size_level0, grid.stride_level0) == (256, 128)


def half_tissue(slide):
    """Tissue left of the middle."""
    mask = np.zeros((slide.height // 16, slide.width // 16), bool)
    mask[:, : mask.shape[1] // 2] = True
    return TissueMask(mask, (16.0, 16.0), None, "test")


def test_patches_without_tissue_are_left_out(make_slide):
    slide = make_slide(1024, 512)
    grid = patch_grid(slide, mpp=0.75, size=128, tissue=half_tissue(slide), min_tissue=0.25)
    # 384 level-0 px a patch: columns start at 0, 384 and 768; the middle is at 512
    assert grid.cells.tolist() == [[0, 0], [1, 0]]
    assert grid.tissue_fraction.tolist() == pytest.approx([1, 1 / 3])
    few = patch_grid(slide, mpp=0.75, size=128, tissue=half_tissue(slide), min_tissue=0.5)
    assert few.cells.tolist() == [[0, 0]]
    none = patch_grid(slide, mpp=0.75, size=128, tissue=TissueMask(np.zeros((8, 8), bool), (128.0, 64.0), None, "test"))
    assert len(none) == 0
    assert none.children(grid).shape[0] == 0


def test_children_lie_in_their_parent_in_nested_order(make_slide):
    slide = make_slide(2048, 2048)
    coarse, fine = (patch_grid(slide, mpp=mpp, size=128) for mpp in (1.0, 0.5))
    children = coarse.children(fine)
    assert children.shape == (len(coarse), 4)
    assert children.dtype == np.int64
    # i = down + 2 * right
    for i, (right, down) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        assert (fine.xy[children[:, i]] == coarse.xy + np.array([right * 256, down * 256])).all()


def test_children_over_two_steps_are_depth_first(make_slide):
    slide = make_slide(2048, 2048)
    a, b, c = (patch_grid(slide, mpp=mpp, size=128) for mpp in (2.0, 1.0, 0.5))
    direct = a.children(c)
    assert direct.shape == (len(a), 16)
    assert (direct == b.children(c)[a.children(b)].reshape(len(a), 16)).all()


def test_absent_children_are_minus_one(make_slide):
    slide = make_slide(1024, 512)
    tissue = half_tissue(slide)
    coarse = patch_grid(slide, mpp=0.75, size=256, tissue=tissue)
    fine = patch_grid(slide, mpp=0.375, size=256, tissue=tissue, min_tissue=0.6)
    assert coarse.cells.tolist() == [[0, 0]]
    children = coarse.children(fine)[0]
    # finer columns start at 0 and 384, rows at 0 and 384 (of 512, so only a third of the second row is inside)
    assert fine.cells.tolist() == [[0, 0]]
    assert children.tolist() == [0, -1, -1, -1]


def test_ratio_one_and_three(make_slide):
    slide = make_slide(1536, 1536)
    coarse, fine = (patch_grid(slide, mpp=mpp, size=128) for mpp in (0.75, 0.25))
    assert fine.children(fine).tolist() == [[row] for row in range(len(fine))]
    children = coarse.children(fine)
    assert children.shape[1] == 9
    assert (fine.xy[children[:, 5]] == coarse.xy + np.array([128, 256])).all()


def test_grids_that_do_not_nest(make_slide):
    slide = make_slide(1024, 1024)
    grid = patch_grid(slide, mpp=1.0, size=64)
    with pytest.raises(SlideError, match=r"at 1 and 0.4 µm per pixel do not nest"):
        grid.children(patch_grid(slide, mpp=0.4, size=64))
    with pytest.raises(SlideError, match="same stride"):
        grid.children(patch_grid(slide, mpp=0.5, size=64, stride=32))
    with pytest.raises(SlideError, match="do not nest"):
        patch_grid(slide, mpp=0.5, size=64).children(grid)


def test_bad_numbers(make_slide, real_data):
    slide = make_slide(512, 512)
    for arguments in ({"size": 0}, {"stride": 0}, {"mpp": 0}, {"mpp": -1}):
        with pytest.raises(SlideError):
            patch_grid(slide, **arguments)
    with pytest.raises(SlideError, match=r"tcga_cr_7395\.svs does not say how many micrometres"):
        patch_grid(open_slide(real_data("slides/tcga_cr_7395.svs")))


def test_patches_of_a_grid_show_what_lies_there(make_slide, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb")
    slide = open_slide(path, mpp=0.25)
    grid = patch_grid(slide, mpp=0.25, size=200)
    patches = slide.read_patches(grid.xy, grid.size, grid.mpp)
    x, y = grid.xy[7]
    assert (patches[7] == pixels[y : y + 200, x : x + 200]).all()


def test_spec_digest_is_of_the_fields():
    spec = PatchSpec(mpp=0.5)
    assert spec.digest == PatchSpec(0.5, 256, 256, 0.25, "hsv-otsu", "area").digest
    # features stored yesterday must be found tomorrow
    assert spec.digest == "51ab9fd2ead33665"
    assert PatchSpec(mpp=1).digest == PatchSpec(mpp=1.0).digest
    changed = {"mpp": 0.25, "size": 224, "stride": 128, "min_tissue": 0.1, "tissue_method": "otsu", "resampling": "dct"}
    changed["colour"] = "srgb"
    digests = {dataclasses.replace(spec, **{name: value}).digest for name, value in changed.items()}
    assert len(digests | {spec.digest}) == 8
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in digests)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.mpp = 2.0


@pytest.mark.parametrize(("wrong", "says"), [({"resampling": "lanczos"}, "not 'lanczos'"), ({"colour": "grey"}, "not 'grey'")])
def test_spec_with_an_unknown_word_is_refused(wrong, says):
    with pytest.raises(WsimilError, match=says):
        PatchSpec(mpp=0.5, **wrong)
