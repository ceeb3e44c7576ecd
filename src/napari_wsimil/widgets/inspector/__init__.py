"""One place at all magnifications, side by side."""

from napari_wsimil.widgets.inspector.dock import ZoomInspector

__all__ = ["ZoomInspector"]
