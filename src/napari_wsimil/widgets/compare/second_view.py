"""A second view of the slide beside the first, by napari's grid.

napari gives the layers of its grid to the cells in order, so many for each cell. All layers that there are go into the first,
which stays as it was; a twin of the slide's layer and what is to be seen on it come after them and so into the second. Both
cells have one camera. Whatever the user adds meanwhile comes into the first cell, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_wsimil.widgets.locked_level import protect
from napari_wsimil.widgets.slide_layer import KEY, facts

if TYPE_CHECKING:
    from collections.abc import Callable

SPACING = 4
"""Screen pixels between the cells."""

TWIN = "twin"
"""Kind of the second layer of a slide: nothing that looks for slides takes it for one."""

_SETTINGS = ("enabled", "stride", "shape", "spacing")


class SecondView:
    """Opens and closes it.

    Parameters
    ----------
    viewer
        The napari viewer.
    on_left
        Called when the user left the grid, or took a layer of the second cell away.
    """

    def __init__(self, viewer: Any, on_left: Callable[[], None]) -> None:
        self._viewer = viewer
        self._on_left = on_left
        self._twin: Any = None
        self._slide_layer: Any = None
        self._right: list[Any] = []
        self._before: dict[str, Any] = {}
        self._busy = False

    def open(self, slide_layer: Any, layer: Any) -> None:
        """Show a layer, which is among the viewer's, on a twin of the slide."""
        if self._right:
            return
        grid, layers = self._viewer.canvas.grid, self._viewer.layers
        self._before = {name: getattr(grid, name) for name in _SETTINGS}
        if self._twin is None:
            self._twin, self._slide_layer = twin_of(slide_layer), slide_layer
            slide_layer.events.data.connect(self._follow)
            layers.append(self._twin)
        self._twin.visible = True
        self._right = [self._twin, layer]
        self._arrange()
        grid.shape, grid.spacing = (1, 2), SPACING
        grid.enabled = True
        for event in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            event.connect(self._arrange)
        grid.events.enabled.connect(self._switched)

    def close(self) -> None:
        """Hide the twin, and put napari's grid back to what it was."""
        if not self._right:
            return
        grid, layers = self._viewer.canvas.grid, self._viewer.layers
        for event in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            event.disconnect(self._arrange)
        grid.events.enabled.disconnect(self._switched)
        self._right = []
        self._twin.visible = False
        for name, value in self._before.items():
            setattr(grid, name, value)

    def end(self) -> None:
        """Close it and take the twin away."""
        self.close()
        if self._twin is not None:
            self._slide_layer.events.data.disconnect(self._follow)
            if self._twin in self._viewer.layers:
                self._viewer.layers.remove(self._twin)
            self._twin = self._slide_layer = None

    def _arrange(self, _: Any = None) -> None:
        """Keep the layers of the second cell together at the end of the list."""
        layers = self._viewer.layers
        if self._busy:
            return
        if any(layer not in layers for layer in [self._slide_layer, *self._right]):
            self._on_left()
            return
        first = len(layers) - len(self._right)
        if list(layers)[first:] != self._right:
            self._busy = True
            layers.move_multiple([layers.index(layer) for layer in self._right], len(layers))
            self._busy = False
        self._viewer.canvas.grid.stride = first

    def _switched(self, _: Any = None) -> None:
        if not self._viewer.canvas.grid.enabled:
            self._before["enabled"] = False
            self._on_left()

    def _follow(self, _: Any = None) -> None:
        """Other colours were chosen for the slide."""
        self._twin.data = self._slide_layer.data


def twin_of(slide_layer: Any) -> Any:
    """A second layer of the pixels of a slide: the same arrays, and so the same tiles in memory."""
    data, options, _ = slide_layer.as_layer_data_tuple()
    found = facts(slide_layer)
    about = {"kind": TWIN, "fingerprint": found["fingerprint"], "path": found["path"]}
    options |= {"name": f"{slide_layer.name} (second view)", "metadata": {KEY: about}, "visible": True}
    twin = Image(list(data), cache=False, **options)
    protect(twin)
    return twin
