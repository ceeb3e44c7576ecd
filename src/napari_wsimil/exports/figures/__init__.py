"""A slide, or a part of it, with what lies over it, a legend and a scale bar, as PNG, TIFF or SVG."""

from napari_wsimil.exports.figures.drawing import draw_figure, write_figure
from napari_wsimil.exports.figures.options import FigureOptions, Frame, framed

__all__ = ["FigureOptions", "Frame", "draw_figure", "framed", "write_figure"]
