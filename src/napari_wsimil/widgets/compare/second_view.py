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
        Called when the user left the grid.
    """

    def __init__(self, viewer: Any, on_left: Callable[[], None]) -> None:
        self._viewer = viewer
        self._on_left = on_left
        self._right: list[Any] = []
        self._slide_layer: Any = None
        self._before: dict[str, Any] = {}
        self._busy = False

    @property
    def twin(self) -> Any | None:
        """The second layer of the slide."""
        return self._right[0] if self._right else None

    def open(self, slide_layer: Any, layer: Any) -> None:
        """Show a new layer on a twin of the slide."""
        grid, layers = self._viewer.canvas.grid, self._viewer.layers
        self._before = {name: getattr(grid, name) for name in _SETTINGS}
        self._slide_layer = slide_layer
        self._right = [twin_of(slide_layer), layer]
        self._busy = True
        layers.extend(self._right)
        self._busy = False
        self._arrange()
        grid.shape, grid.spacing = (1, 2), SPACING
        grid.enabled = True
        for event in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            event.connect(self._arrange)
        grid.events.enabled.connect(self._switched)
        slide_layer.events.data.connect(self._follow)

    def close(self) -> None:
        """Take the twin away, and put napari's grid back to what it was."""
        if not self._right:
            return
        grid, layers = self._viewer.canvas.grid, self._viewer.layers
        for event in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            event.disconnect(self._arrange)
        grid.events.enabled.disconnect(self._switched)
        self._slide_layer.events.data.disconnect(self._follow)
        self._busy = True
        for layer in self._right:
            if layer in layers:
                layers.remove(layer)
        self._busy = False
        self._right, self._slide_layer = [], None
        for name, value in self._before.items():
            setattr(grid, name, value)

    def _arrange(self, _: Any = None) -> None:
        """Keep the layers of the second cell together at the end of the list."""
        layers = self._viewer.layers
        if self._busy or not self._right:
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
        if not self._viewer.canvas.grid.enabled and self._right:
            self._before["enabled"] = False
            self._on_left()

    def _follow(self, _: Any = None) -> None:
        """Other colours were chosen for the slide."""
        self._right[0].data = self._slide_layer.data


def twin_of(slide_layer: Any) -> Any:
    """A second layer of the pixels of a slide: the same arrays, and so the same tiles in memory."""
    data, options, _ = slide_layer.as_layer_data_tuple()
    found = facts(slide_layer)
    about = {"kind": TWIN, "fingerprint": found["fingerprint"], "path": found["path"]}
    options |= {"name": f"{slide_layer.name} (second view)", "metadata": {KEY: about}, "visible": True}
    twin = Image(list(data), cache=False, **options)
    protect(twin)
    return twin
