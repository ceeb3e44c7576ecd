"""Keys of the viewer that step through the regions while the gallery is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NEXT, BEFORE = "N", "Shift+N"
"""napari uses neither, whichever layer is active; P, for "previous", draws polygons in Shapes layers."""


class StepKeys:
    """`NEXT` and `BEFORE` in the viewer, from `hold` to `let_go`; napari also gets the keys that a dock does not use itself.

    Parameters
    ----------
    viewer
        The napari viewer.
    step
        Called with 1 or -1.
    """

    def __init__(self, viewer: Any, step: Callable[[int], None]) -> None:
        self._viewer, self._step = viewer, step
        self._held = False

    def hold(self) -> None:
        """Make the viewer listen to the keys."""
        if not self._held:
            self._held = True
            self._viewer.bind_key(NEXT, lambda _: self._step(1), overwrite=True)
            self._viewer.bind_key(BEFORE, lambda _: self._step(-1), overwrite=True)

    def let_go(self) -> None:
        """Give the keys back."""
        if self._held:
            self._held = False
            for key in (NEXT, BEFORE):
                self._viewer.bind_key(key, None)
