"""Units as types, so that a coordinate can't be misread.

Stored coordinates are level-0 pixels in the order (x, y). Rows and columns appear only inside arrays and napari layers.
"""

from __future__ import annotations

from typing import NewType

Mpp = NewType("Mpp", float)
"""Micrometres per pixel."""

Level0Pixels = NewType("Level0Pixels", float)
"""A length or position in pixels of the finest stored level."""

PatchPixels = NewType("PatchPixels", int)
"""A length in pixels at the magnification of a patch grid."""
