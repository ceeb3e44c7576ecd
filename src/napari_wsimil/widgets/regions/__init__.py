"""The patches that matter most, as pictures."""

from napari_wsimil.widgets.regions.dock import RegionGallery

__all__ = ["RegionGallery"]
