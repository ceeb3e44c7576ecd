"""A prediction for other people and programs: QuPath and ASAP, tables, heatmaps, figures and a report.

This package knows `SlidePrediction` only: never a method, a model or a window.
"""

from napari_wsimil.exports.figures.options import FigureOptions
from napari_wsimil.exports.registry import FORMATS, Format, export, format_of

__all__ = ["FORMATS", "FigureOptions", "Format", "export", "format_of"]
