"""Polygons drawn on slides, as QuPath and ASAP write them, and what they say of patches. Knows no window."""

from napari_wsimil.annotations.coverage import patch_classes, patch_labels
from napari_wsimil.annotations.files import read_annotations
from napari_wsimil.annotations.inside import Area, grid_inside, inside, read_outlines
from napari_wsimil.annotations.regions import Annotations, Region

__all__ = [
    "Annotations",
    "Area",
    "Region",
    "grid_inside",
    "inside",
    "patch_classes",
    "patch_labels",
    "read_annotations",
    "read_outlines",
]
