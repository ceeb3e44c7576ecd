"""Regions drawn by hand."""

from napari_wsimil.widgets.annotate.dock import Annotate

__all__ = ["Annotate"]
