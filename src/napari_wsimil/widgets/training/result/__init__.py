"""What a run ended in: the package, its card, its figures; sharing it."""

from napari_wsimil.widgets.training.result.panel import ResultPanel

__all__ = ["ResultPanel"]
