"""The dock "Training": a model from labelled slides, or a finished one corrected by what is marked on the open slide."""

from napari_wsimil.widgets.training.dock import Training

__all__ = ["Training"]
