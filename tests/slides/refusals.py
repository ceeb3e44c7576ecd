"""What tests of damaged slides share."""

from __future__ import annotations

import time

import pytest

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide


def refusal(path, **options):
    """The sentence that a path is refused with, soon: in little time of the processor."""
    began = time.thread_time()
    with pytest.raises(SlideError) as caught:
        open_slide(path, **options)
    text = str(caught.value)
    assert time.thread_time() - began < 5
    assert text.endswith(".")
    assert "\n" not in text
    assert text.encode()
    return text


def read_all(slide, level=0):
    about = slide.levels[level]
    return slide.read_region(0, 0, about.width, about.height, level=level)
