"""The run that the dock "Training" shows: its buttons, how it is, and the runs that were started lately."""

from napari_wsimil.widgets.training.runs.bar import RunBar

__all__ = ["RunBar"]
