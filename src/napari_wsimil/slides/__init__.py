"""Pixels in: open a whole-slide image and read any part of it at any magnification."""

from napari_wsimil.slides._cache import CacheInfo, cache_info, set_cache_limit
from napari_wsimil.slides._colour import COLOURS, Colour, check_colour
from napari_wsimil.slides._open import slide_kind, whole_slide
from napari_wsimil.slides._reader import RESAMPLINGS, Resampling, check_resampling
from napari_wsimil.slides._window import Box
from napari_wsimil.slides.backends.base import Level
from napari_wsimil.slides.opening import open_slide
from napari_wsimil.slides.slide import Slide

__all__ = [
    "COLOURS",
    "RESAMPLINGS",
    "Box",
    "CacheInfo",
    "Colour",
    "Level",
    "Resampling",
    "Slide",
    "cache_info",
    "check_colour",
    "check_resampling",
    "open_slide",
    "set_cache_limit",
    "slide_kind",
    "whole_slide",
]
