from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_wsimil.errors import SlideError
from napari_wsimil.patches import TISSUE_METHODS, TissueMask, find_tissue, tissue_from_image
from napari_wsimil.slides import open_slide

GLASS, TISSUE, NUCLEI = (244, 243, 245), (200, 130, 175), (120, 80, 150)
PENS = {"green": (30, 120, 90), "blue": (40, 80, 190), "red": (200, 25, 40), "black": (40, 36, 40)}
GREY = (150, 150, 150)


def painted(size=600, tissue=True):
    """Glass with a disk of tissue in the middle, a little noise on both."""
    rng = np.random.default_rng(0)
    image = np.full((size, size, 3), GLASS, np.float64)
    y, x = np.mgrid[:size, :size]
    disk = np.hypot(x - size / 2, y - size / 2) < size * 0.3
    if tissue:
        image[disk] = TISSUE
        image[disk & (rng.random(disk.shape) < 0.2)] = NUCLEI
    image += rng.normal(0, 2, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), disk & tissue


@pytest.mark.parametrize("mpp", [None, 8.0])
@pytest.mark.parametrize("method", TISSUE_METHODS)
def test_tissue_on_glass(method, mpp):
    image, truth = painted()
    mask = TISSUE_METHODS[method](image, mpp)
    assert mask.dtype == bool
    assert mask.shape == truth.shape
    assert (mask & truth).sum() > 0.99 * truth.sum()
    assert (mask & ~truth).sum() < 0.02 * truth.sum()


@pytest.mark.parametrize("mpp", [None, 8.0])
@pytest.mark.parametrize("colour", PENS)
def test_pen_is_no_tissue_on_glass_nor_on_tissue(colour, mpp):
    image, truth = painted()
    stroke = np.zeros(truth.shape, bool)
    stroke[60:540, 280:310] = True
    image[stroke] = PENS[colour]
    mask = tissue_from_image(image, mpp)
    assert (mask & stroke).sum() < 0.01 * stroke.sum()
    # what is further than 100 µm from the stroke is found as before
    far = truth.copy()
    far[:, 265:325] = False
    assert (mask & far).sum() > 0.99 * far.sum()
    assert (mask & ~truth & ~stroke).sum() < 0.02 * truth.sum()


def test_grey_dirt_is_no_tissue():
    image, truth = painted()
    image[20:80, 20:400] = GREY
    mask = tissue_from_image(image, 8.0)
    assert not mask[20:80, 20:400].any()
    assert (mask & truth).sum() > 0.99 * truth.sum()


@pytest.mark.parametrize("method", TISSUE_METHODS)
def test_glass_alone_has_no_tissue(method):
    image, _ = painted(tissue=False)
    assert not TISSUE_METHODS[method](image, 8.0).any()
    assert not TISSUE_METHODS[method](np.full((50, 60, 3), 255, np.uint8), None).any()


@pytest.mark.parametrize("method", TISSUE_METHODS)
def test_a_field_full_of_tissue_is_not_halved(method):
    rng = np.random.default_rng(0)
    image = np.where(rng.random((300, 300, 1)) < 0.3, NUCLEI, TISSUE).astype(np.uint8)
    assert TISSUE_METHODS[method](image, 8.0).mean() > 0.99
    assert TISSUE_METHODS[method](image, None).mean() > 0.99


def test_small_holes_are_filled_and_small_pieces_dropped_by_area():
    image, _ = painted()
    image[290:310, 290:310] = GLASS
    image[30:40, 30:40] = TISSUE
    # at 8 µm per pixel the hole is 0.026 mm², the piece 0.0064 mm²; at 40 the hole is 0.64 mm² and the piece 0.16 mm²
    small, large = tissue_from_image(image, 8.0), tissue_from_image(image, 40.0)
    assert small[300, 300]
    assert not small[35, 35]
    assert not large[300, 300]
    assert large[35, 35]


REAL_PEN = {
    # name: points (x, y) on pen, points on tissue, (least, most) fraction of tissue
    "diagnostic-slide-thumb-rgb.png": (
        [
            (212, 262),
            (75, 335),
            (168, 310),
            (60, 410),
            (130, 45),
            (225, 105),
            (457, 345),
            (60, 470),
            (330, 200),
            (200, 462),
            (395, 213),
        ],
        [(130, 200), (300, 400), (170, 165), (380, 130), (190, 300), (420, 260), (100, 470), (245, 60), (98, 140), (60, 75)],
        (0.33, 0.42),
    ),
    "tcga-green-pen.png": (
        [(385, 60), (250, 500), (290, 220), (185, 410), (420, 10), (200, 600)],
        [(540, 250), (290, 60), (90, 245), (535, 370), (400, 400), (700, 600), (30, 150)],
        (0.72, 0.85),
    ),
    "tcga-red-pen.png": (
        [(100, 250), (190, 140), (20, 330), (150, 210), (60, 5), (190, 297), (130, 400)],
        [(400, 150), (420, 250), (200, 220), (350, 420), (460, 100)],
        (0.5, 0.62),
    ),
}


@pytest.mark.parametrize("name", REAL_PEN)
def test_real_pen_marks_are_no_tissue(real_data, name):
    pen, tissue, (least, most) = REAL_PEN[name]
    image = np.asarray(Image.open(real_data(f"slides/pen_marks/{name}")).convert("RGB"))
    mask = tissue_from_image(image, None)
    assert [point for point in pen if mask[point[1], point[0]]] == []
    assert [point for point in tissue if not mask[point[1], point[0]]] == []
    assert least < mask.mean() < most


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("cmu1_small_region.svs", 0.33, 0.45), ("colon_part.tif", 0.45, 0.55), ("tcga_cr_7395.svs", 0.58, 0.67)],
)
def test_real_slides(real_data, name, least, most):
    slide = open_slide(real_data(f"slides/{name}"))
    tissue = find_tissue(slide)
    assert least < tissue.mask.mean() < most
    assert tissue.method == "hsv-otsu"
    rows, columns = tissue.mask.shape
    assert (columns * tissue.downsample[0], rows * tissue.downsample[1]) == pytest.approx((slide.width, slide.height))
    if slide.mpp is None:
        assert tissue.mpp is None
        assert max(rows, columns) == 1500
    else:
        assert tissue.mpp == pytest.approx(8, rel=0.05)


def test_mask_is_where_the_tissue_is_in_level_0(tmp_path):
    pixels = np.full((4096, 3072, 3), GLASS, np.uint8)
    pixels[1024:2048, 512:1536] = TISSUE
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", resolution=(20000, 20000), resolutionunit="CENTIMETER")
    tissue = find_tissue(open_slide(path))
    assert tissue.downsample == (16, 16)
    inside, outside = tissue.fraction([[768, 1280], [1800, 1280]], 256)
    assert (inside, outside) == (1, 0)
    # the smoothing blurs the edge by a pixel or two of the mask
    assert tissue.fraction([[384, 1280]], 256)[0] == pytest.approx(0.5, abs=0.13)


def test_unknown_method(real_data):
    with pytest.raises(SlideError, match=r"no tissue method 'magic'; choose one of hsv-otsu, otsu"):
        find_tissue(open_slide(real_data("slides/colon_part.tif")), method="magic")


def test_fraction_is_the_area():
    rng = np.random.default_rng(0)
    mask = rng.random((40, 30)) < 0.4
    tissue = TissueMask(mask, (4.0, 5.0), None, "test")
    fine = np.zeros((40 * 5 + 400, 30 * 4 + 400))
    fine[200:-200, 200:-200] = mask.repeat(5, 0).repeat(4, 1)
    xy = rng.integers(-60, 220, (200, 2))
    expected = [fine[y + 200 : y + 237, x + 200 : x + 237].mean() for x, y in xy]
    got = tissue.fraction(xy, 37)
    assert got.dtype == np.float32
    assert got == pytest.approx(np.array(expected), abs=1e-5)
    assert tissue.fraction([[0.5, 0.5]], 1)[0] == mask[0, 0]


def test_fraction_of_a_hundred_thousand_patches():
    tissue = TissueMask(np.ones((1500, 1500), bool), (50.0, 50.0), None, "test")
    xy = np.random.default_rng(0).integers(0, 74_000, (100_000, 2))
    assert (tissue.fraction(xy, 512) == 1).all()
