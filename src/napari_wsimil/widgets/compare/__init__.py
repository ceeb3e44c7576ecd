"""Two predictions of a slide."""

from napari_wsimil.widgets.compare.dock import ComparePredictions

__all__ = ["ComparePredictions"]
