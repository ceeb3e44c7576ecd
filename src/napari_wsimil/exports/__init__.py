"""A prediction as a file that other tools read: QuPath GeoJSON and CSV.

This package knows `SlidePrediction` only: never a method, a model or a window.
"""

from napari_wsimil.exports.registry import FORMATS, Format, export

__all__ = ["FORMATS", "Format", "export"]
