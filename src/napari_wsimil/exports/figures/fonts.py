"""The letters of figures: those that come with matplotlib, so that a figure looks the same everywhere."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

FAMILY = "'DejaVu Sans', 'Segoe UI', Arial, sans-serif"
"""For files whose text is drawn by others."""


@lru_cache(64)
def font(size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Letters of a size in pixels."""
    return ImageFont.truetype(str(_folder() / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")), size)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a line in pixels."""
    return float(font(size, bold).getlength(text))


def shortened(text: str, size: float, room: float, bold: bool = False) -> str:
    """The text, with an ellipsis for its end where it is wider than `room` pixels."""
    if text_width(text, size, bold) <= room:
        return text
    while text and text_width(text + "…", size, bold) > room:
        text = text[:-1]
    return text.rstrip() + "…"


@cache
def _folder() -> Path:
    """Where matplotlib keeps its letters; found without importing it where it lies as usual, for that holds the window up."""
    found = find_spec("matplotlib")
    usual = Path(found.origin if found and found.origin else "").parent / "mpl-data"
    if not usual.is_dir():
        from matplotlib import get_data_path

        usual = Path(get_data_path())
    return usual / "fonts" / "ttf"
