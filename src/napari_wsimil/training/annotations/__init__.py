"""Polygons drawn on slides, as QuPath and ASAP write them, and what they say of patches. Knows no window."""

from napari_wsimil.training.annotations.bags import AnnotatedBags
from napari_wsimil.training.annotations.coverage import patch_classes, patch_labels
from napari_wsimil.training.annotations.files import read_annotations
from napari_wsimil.training.annotations.regions import Annotations, Region

__all__ = ["AnnotatedBags", "Annotations", "Region", "patch_classes", "patch_labels", "read_annotations"]
