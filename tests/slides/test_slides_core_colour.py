from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide


def by_pillow(pixels, profile):
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(pixels),
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent(ImageCms.getDefaultIntent(source)),
        )
    )


def odd_profile():
    """That of a device whose red and green primaries are exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"????", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"????", b"gXYZ", 1)


@pytest.fixture
def slide(make_slide, images):
    with open_slide(make_slide(images[1](600, 700), mpp=0.5, iccprofile=odd_profile())) as slide:
        yield slide


def test_pixels_become_what_pillow_gives(slide):
    assert slide.icc_profile == odd_profile()
    raw = slide.read_region(150, 120, 300, 200)
    expected = by_pillow(raw, slide.icc_profile)
    assert (expected != raw).mean() > 0.5
    assert (slide.read_region(150, 120, 300, 200, colour="srgb") == expected).all()
    assert (slide.read_region(150, 120, 300, 200) == raw).all()
    window = np.s_[120:320, 150:450]
    assert (slide.dask(0, colour="srgb")[window].compute() == expected).all()
    assert (slide.pyramid(colour="srgb")[0][window].compute() == expected).all()
    assert (slide.dask(0)[window].compute() == raw).all()
    assert slide.dask(0).name != slide.dask(0, colour="srgb").name


def test_real_profile(real_data):
    with open_slide(real_data("slides/tcga_cr_7395.svs")) as slide:
        raw = slide.read_region(1500, 1200, 300, 200)
        assert len(slide.icc_profile) > 100
        assert (slide.read_region(1500, 1200, 300, 200, colour="srgb") == by_pillow(raw, slide.icc_profile)).all()
        with open_slide(slide.path, backend="openslide") as other:
            assert other.icc_profile == slide.icc_profile


def test_patches_are_converted_after_resampling(slide):
    corners = [(150, 120), (170, 90), (90, 90)]
    raw = slide.read_patches(corners, 64, 0.8)
    converted = slide.read_patches(corners, 64, 0.8, colour="srgb")
    for before, after in zip(raw, converted, strict=True):
        assert (after == by_pillow(before, slide.icc_profile)).all()


def test_threads_convert_alike(slide):
    expected = slide.read_region(150, 120, 128, 128, colour="srgb")
    with ThreadPoolExecutor(8) as pool:
        got = pool.map(lambda _: slide.read_region(150, 120, 128, 128, colour="srgb"), range(40))
    assert all((pixels == expected).all() for pixels in got)


def test_no_profile_leaves_the_colours(make_slide, images):
    slide = open_slide(make_slide(images[0](300, 300)))
    assert slide.icc_profile is None
    assert (slide.read_region(0, 0, 300, 300, colour="srgb") == slide.read_region(0, 0, 300, 300)).all()


def test_unusable_profile_is_said_when_asked_for(make_slide, images):
    slide = open_slide(make_slide(images[0](300, 300), iccprofile=b"no profile at all"))
    assert slide.icc_profile == b"no profile at all"
    slide.read_region(0, 0, 9, 9)
    with pytest.raises(SlideError, match=r"slide.tif carries a colour profile that can't be used .*colour='raw'"):
        slide.read_region(0, 0, 9, 9, colour="srgb")
