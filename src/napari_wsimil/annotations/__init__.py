"""Polygons drawn on slides, as QuPath and ASAP write them, and what they say of patches. Knows no window."""

from napari_wsimil.annotations.coverage import patch_classes, patch_labels
from napari_wsimil.annotations.files import looks_like_annotations, read_annotations
from napari_wsimil.annotations.inside import Area, grid_inside, inside, read_outlines
from napari_wsimil.annotations.regions import Annotations, Region
from napari_wsimil.annotations.writing import write_annotations

__all__ = [
    "Annotations",
    "Area",
    "Region",
    "grid_inside",
    "inside",
    "looks_like_annotations",
    "patch_classes",
    "patch_labels",
    "read_annotations",
    "read_outlines",
    "write_annotations",
]
