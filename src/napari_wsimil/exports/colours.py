"""The colour of a class, the same in every export."""

from __future__ import annotations

# QuPath's own colour for "Tumor", for both spellings, and a calm green for what needs no look.
_TUMOUR = (200, 0, 0)
_CALM = (150, 200, 150)
_NAMED = {
    "tumor": _TUMOUR,
    "tumour": _TUMOUR,
    "normal": _CALM,
    "no tumor": _CALM,
    "no tumour": _CALM,
}
# Okabe and Ito's palette, told apart by colour-blind people; without its black and the red-orange that looks like tumour.
_PALETTE = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (240, 228, 66))


def class_colour(name: str, index: int) -> tuple[int, int, int]:
    """RGB, 0 to 255, of the class `name`, which stands at `index` among the model's classes."""
    return _NAMED.get(name.strip().lower(), _PALETTE[index % len(_PALETTE)])
