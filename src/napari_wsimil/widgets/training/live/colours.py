"""Colours of curves and of right and wrong answers: told apart by everybody, on dark and on light."""

from __future__ import annotations

from dataclasses import dataclass

from napari.utils.theme import get_theme

# Okabe and Ito's colours (2008), the darker or the lighter of a hue, whichever is seen on the background.
_ON_DARK = ("#56b4e9", "#e69f00", "#2fc39b", "#e08fbd", "#f0e442", "#bdbdbd")
_ON_LIGHT = ("#0072b2", "#c24e00", "#007a57", "#a3447e", "#7a6a00", "#5a5a5a")


@dataclass(frozen=True)
class Look:
    """Colours of a napari theme as CSS writes them.

    Attributes
    ----------
    text, quiet, background
        Of writing, of axes and marks, and of what lies behind.
    lines
        Of curves, in their order; the first means right and the second wrong where answers are counted.
    """

    text: str
    quiet: str
    background: str
    lines: tuple[str, ...]

    def line(self, rank: int) -> str:
        """Colour of one of several curves."""
        return self.lines[rank % len(self.lines)]


def look_of(theme: str) -> Look:
    """The colours that suit a napari theme, whoever made it."""
    found = get_theme(theme)
    dark = sum(found.background.as_rgb_tuple()[:3]) < 384
    quiet = "#9aa0aa" if dark else "#5f6670"
    return Look(found.text.as_hex("long"), quiet, found.background.as_hex("long"), _ON_DARK if dark else _ON_LIGHT)
