"""The page of the dock "Training" that says which slides teach."""

from napari_wsimil.widgets.training.data.panel import DataPanel

__all__ = ["DataPanel"]
