"""Pixels in: open a whole-slide image and read any part of it at any magnification."""

from napari_wsimil.slides.backends.base import Level
from napari_wsimil.slides.slide import Slide, open_slide

__all__ = ["Level", "Slide", "open_slide"]
