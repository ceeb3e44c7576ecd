"""Figures of what the window shows."""

from napari_wsimil.widgets.figures.dialog import FigureDialog, figure_dialog

__all__ = ["FigureDialog", "figure_dialog"]
