"""What the inspector shows of one place: a row of pictures, each with what was said of it. Nothing here is a widget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_wsimil.patches.patch import Patch
from napari_wsimil.widgets.words import share

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.inference.levels import Family, SeenPatch

    Colour = tuple[float, float, float]
    Coloured = Callable[[SlidePrediction, SeenPatch], Colour | None]

AROUND = 4
"""How much wider than a patch its surroundings are shown, and how much narrower its middle."""


@dataclass(frozen=True)
class Tile:
    """A patch in its place inside a picture, or an outline there.

    Attributes
    ----------
    patch
        Where, in level-0 pixels.
    colour
        Of its frame, red, green and blue from 0 to 1; None: a plain outline.
    filled
        Whether its own picture is drawn, and not an outline only.
    marked
        Whether it is the one over the place that is looked at.
    text
        What is told of it.
    """

    patch: Patch
    colour: Colour | None = None
    filled: bool = False
    marked: bool = False
    text: str = ""


@dataclass(frozen=True)
class CardContent:
    """One picture and what stands under it.

    Attributes
    ----------
    title
        Its magnification, and what it is.
    patch
        What the picture shows; None where there is none.
    lines
        The scores.
    colour
        What the overlay on the slide shows for it, red, green and blue from 0 to 1.
    tiles
        What is drawn into it.
    meant
        Whether it is the patch that the others are parents and children of.
    """

    title: str
    patch: Patch | None
    lines: tuple[str, ...] = ()
    colour: Colour | None = None
    tiles: tuple[Tile, ...] = ()
    meant: bool = False


def cards_of(
    prediction: SlidePrediction, family: Family, place: tuple[float, float], colour: Coloured, meant: float | None = None
) -> list[CardContent]:
    """The row of pictures of one place, coarse to fine, with the children of the family's patch after it.

    Parameters
    ----------
    prediction
        Which gave the scores.
    family
        The patches at the place.
    place
        (x, y) in level-0 pixels.
    colour
        Gives the colour of a patch on the slide.
    meant
        µm per pixel of the patch that was asked for; the family's own where None.
    """
    if family.patch is None:
        return []
    if len(family.seen) == 1:
        return _in_context(prediction, family.patch, place, colour)
    cards, meant = [], meant if family.seen.get(meant or 0.0) is not None else family.focus
    for mpp, seen in family.seen.items():
        finer = [patch for level, patch in family.seen.items() if level < mpp and patch is not None]
        cards.append(_level(prediction, mpp, seen, finer[:1], colour, meant=mpp == meant))
        if mpp == family.focus and family.children:
            cards.append(_children(prediction, seen, family, colour))
    return cards


def score_lines(prediction: SlidePrediction, seen: SeenPatch) -> tuple[str, ...]:
    """What the model said of a patch, a line for each score."""
    lines = []
    if seen.attention is not None and seen.percentile is not None:
        lines += [f"Attention {seen.attention:.3g}", f"Percentile {100 * seen.percentile:.0f}"]
    if seen.probability is not None:
        name = prediction.positive_class
        lines.append(f"{name[:1].upper()}{name[1:]} {share(seen.probability)}")
    if seen.zoom is not None:
        lines.append(f"Zoom score {seen.zoom:.3g}")
    return tuple(lines) or ("No scores",)


def _level(
    prediction: SlidePrediction, mpp: float, seen: SeenPatch | None, finer: list[SeenPatch], colour: Coloured, *, meant: bool
) -> CardContent:
    if seen is None:
        return CardContent(f"{mpp:g} µm/px", None, ("Not looked at here",))
    outlines = tuple(Tile(patch.patch, marked=True) for patch in finer)
    return CardContent(f"{mpp:g} µm/px", seen.patch, score_lines(prediction, seen), colour(prediction, seen), outlines, meant)


def _children(prediction: SlidePrediction, seen: SeenPatch | None, family: Family, colour: Coloured) -> CardContent:
    """All patches of the next finer magnification inside the one that is meant, each in its place and colour."""
    mpp = family.children[0].patch.mpp
    here = family.seen[mpp]
    tiles = tuple(
        Tile(
            child.patch,
            colour(prediction, child),
            filled=True,
            marked=here is not None and child.patch == here.patch,
            text="\n".join(score_lines(prediction, child)),
        )
        for child in family.children
    )
    found = [child.attention for child in family.children if child.attention is not None]
    lines = [f"{len(tiles)} patch{'es' * (len(tiles) != 1)} inside"]
    if found:
        lines.append(f"Attention {min(found):.2g} to {max(found):.2g}")
    return CardContent(f"Inside, {mpp:g} µm/px", seen.patch if seen is not None else None, tuple(lines), None, tiles)


def _in_context(
    prediction: SlidePrediction, seen: SeenPatch, place: tuple[float, float], colour: Coloured
) -> list[CardContent]:
    """A model of one magnification: the same place with more around it, as it was seen, and closer."""
    patch = seen.patch
    around = _about(patch.centre, patch.mpp * AROUND, patch.size_level0 * AROUND)
    side = patch.size_level0 / AROUND
    # as near to the place as the patch allows
    middle = tuple(
        min(max(at, low + side / 2), low + patch.size_level0 - side / 2)
        for at, low in zip(place, (patch.x, patch.y), strict=True)
    )
    closer = _about((middle[0], middle[1]), patch.mpp / AROUND, side)
    return [
        CardContent(f"Around it, {around.mpp:g} µm/px", around, ("Not scored",), None, (Tile(patch, marked=True),)),
        CardContent(
            f"{patch.mpp:g} µm/px", patch, score_lines(prediction, seen), colour(prediction, seen), (Tile(closer),), meant=True
        ),
        CardContent(f"Closer, {closer.mpp:g} µm/px", closer, ("Not scored",)),
    ]


def _about(centre: tuple[float, float], mpp: float, side: float) -> Patch:
    return Patch(mpp, centre[0] - side / 2, centre[1] - side / 2, side)
