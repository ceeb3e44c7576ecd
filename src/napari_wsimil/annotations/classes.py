"""The classes that are offered for regions, and the colour of a class, the same on the slide and in every file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Colour: TypeAlias = tuple[int, int, int]
"""RGB, 0 to 255."""

UNCLASSED: Colour = (64, 64, 64)
"""QuPath's own, of what has no class."""

# QuPath's own colour for "Tumor", for both spellings, and a calm green for what needs no look.
_TUMOUR = (200, 0, 0)
_CALM = (150, 200, 150)
_GREY = (128, 128, 128)
# Okabe and Ito's palette, told apart by colour-blind people; without its black and the red-orange that looks like tumour.
_PALETTE = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (240, 228, 66))
_NAMED: dict[str, Colour] = {
    "tumor": _TUMOUR,
    "tumour": _TUMOUR,
    "normal": _CALM,
    "no tumor": _CALM,
    "no tumour": _CALM,
    "stroma": _PALETTE[0],
    "necrosis": _PALETTE[1],
    "artefact": _PALETTE[3],
    "artifact": _PALETTE[3],
    "ignore": _GREY,
    "exclusion": _GREY,
}


@dataclass(frozen=True)
class DrawnClass:
    """A class that a region can be given.

    Attributes
    ----------
    name
        As it is written to files.
    colour
        RGB, 0 to 255.
    """

    name: str
    colour: Colour


def class_colour(name: str, index: int) -> Colour:
    """RGB, 0 to 255, of the class `name`, which stands at `index` among the others."""
    return _NAMED.get(plain_name(name), _PALETTE[index % len(_PALETTE)])


def colours_of(names: Sequence[str], known: Sequence[DrawnClass] = ()) -> dict[str, Colour]:
    """A colour for each name: as known, else its own, else the next one of the palette that no other has."""
    found = {one.name: one.colour for one in known}
    for name in sorted(set(names) - set(found)):
        free = [colour for colour in _PALETTE if colour not in found.values()] or _PALETTE
        found[name] = _NAMED.get(plain_name(name), free[len(found) % len(free)])
    return found


def offered_classes(of_model: Sequence[str] = ()) -> tuple[DrawnClass, ...]:
    """The classes of a model, in its order, and others that slides are often marked with."""
    names = list(of_model)
    told = {same_name(name) for name in names}
    names += [name for name in ("Tumour", "Stroma", "Necrosis", "Artefact", "Ignore*") if same_name(name) not in told]
    colours = colours_of(names)
    return tuple(DrawnClass(name, colours[name]) for name in names)


def plain_name(name: str) -> str:
    """Without case and spaces around, and without the star of QuPath's classes that are none, "Ignore*"."""
    return name.strip().removesuffix("*").casefold()


def same_name(name: str) -> str:
    """What names that mean the same have in common: case and star do not count, and "Tumor" is "tumour"."""
    return plain_name(name).replace("tumour", "tumor")
