"""TIFF slides of all vendors: tifffile parses them once, the pixels we read ourselves.

A file for each vendor says how its pages make a pyramid (`Layout`); `backend.py` reads any of them.
"""

from napari_wsimil.slides.backends.tiff.backend import TiffBackend
from napari_wsimil.slides.backends.tiff.directories import is_tiff

__all__ = ["TiffBackend", "is_tiff"]
