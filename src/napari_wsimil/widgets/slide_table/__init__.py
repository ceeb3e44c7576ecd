"""Many slides."""

from napari_wsimil.widgets.slide_table.dock import SlideTable

__all__ = ["SlideTable"]
