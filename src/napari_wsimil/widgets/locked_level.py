"""The Resolution list of napari's layer controls loads a level whole: levels that are too large for that are refused."""

from __future__ import annotations

import weakref
from typing import Any

from napari.utils.notifications import show_warning

MOST_BYTES = 256 << 20
"""Pixels that napari may load at once; about 9,400 x 9,400 px."""


_protected: weakref.WeakSet[Any] = weakref.WeakSet()
_released: set[int] = set()
"""The `id` of arrays that were refused just now: a request for all their pixels may be under way in napari's thread."""


def protect(layer: Any) -> None:
    """From now on a level of this slide layer can be locked only if it is small enough; else it stays automatic."""
    _protected.add(layer)
    layer.events.locked_data_level.connect(_check)
    layer.events.set_data.connect(_forget)
    layer.events.data.connect(_protect_arrays)
    _protect_arrays(layer=layer)


def _protect_arrays(event: Any = None, layer: Any = None) -> None:
    for array in (layer or event.source).data:
        array.withholds_whole = _is_refused


def _check(event: Any) -> None:
    sentence = release(event.source)
    if sentence:
        show_warning(sentence)


def _forget(event: Any) -> None:
    """Pixels have arrived, so no older request is under way."""
    for array in event.source.data:
        _released.discard(id(array))


def _is_refused(array: Any) -> bool:
    """Whether this array is asked for because it is locked and must not be; napari asks before it tells, in any thread."""
    if id(array) in _released:
        return True
    for layer in list(_protected):
        locked = layer.locked_data_level
        if locked is not None and layer.data[locked] is array:
            return bool(array.nbytes > MOST_BYTES)
    return False


def release(layer: Any) -> str:
    """Make the level automatic again if the locked one is too large to load whole.

    Returns
    -------
    str
        Why, or "" where there was nothing to do.
    """
    locked = layer.locked_data_level
    if locked is None or layer.data[locked].nbytes <= MOST_BYTES:
        return ""
    array, last = layer.data[locked], next(i for i, level in enumerate(layer.data) if level.nbytes <= MOST_BYTES)
    _released.add(id(array))
    layer.locked_data_level = None
    size = f"{array.shape[1]:,} x {array.shape[0]:,} px"
    room = f"{array.nbytes / 1e9:.1f} GB" if array.nbytes >= 1e9 else f"{array.nbytes / 1e6:.0f} MB"
    small = f"{layer.data[last].shape[1]:,} x {layer.data[last].shape[0]:,} px"
    return (
        f"Level {locked} of {layer.name} ({size}, {room}) is too large for napari to load whole, so the resolution is "
        f"automatic again: zoom in to see it, or lock level {last} ({small}) or a coarser one."
    )
