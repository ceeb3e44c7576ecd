from __future__ import annotations

import numpy as np
import pytest

import napari_wsimil as ws
from napari_wsimil.slides import thumbnail as module
from napari_wsimil.slides.thumbnail import thumbnail


def test_the_whole_slide_in_a_small_picture(tiny_slide):
    with ws.open_slide(tiny_slide) as slide:
        picture = thumbnail(slide, 96)
    assert picture.shape == (80, 96, 3)
    # glass around tissue, where the slide has them
    assert picture[2, 2].min() > 230
    assert picture[40, 48, 1] < 120
    assert np.abs(picture[18:60, 18:62].mean(axis=(0, 1)) - (170, 90, 160)).max() < 4


def test_never_larger_than_the_slide(tiny_slide):
    with ws.open_slide(tiny_slide) as slide:
        assert thumbnail(slide, 5000).shape == (1280, 1536, 3)


def test_a_large_slide_without_small_levels_is_not_read_whole(tiny_slide, monkeypatch):
    monkeypatch.setattr(module, "MOST_PIXELS", 1000)
    with ws.open_slide(tiny_slide) as slide:
        with pytest.raises(ws.SlideError, match="holds no small picture"):
            thumbnail(slide, 96)
        monkeypatch.setattr(slide, "associated_images", {"thumbnail": np.full((300, 200, 3), 7, np.uint8)})
        assert thumbnail(slide, 96).shape == (96, 64, 3)
