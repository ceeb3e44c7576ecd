"""Correct and fine-tune: marks on the open slide, a short run, before and after, Keep or Discard."""

from napari_wsimil.widgets.training.correct.panel import CorrectPanel

__all__ = ["CorrectPanel"]
