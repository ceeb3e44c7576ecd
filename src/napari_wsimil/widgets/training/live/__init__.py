"""What a run does: curves, figures of the validation slides, and what it sees on the open slide."""

from napari_wsimil.widgets.training.live.panel import LiveView

__all__ = ["LiveView"]
