"""Boxes on a picture as lines and labels that do not hide each other."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from napari_wsimil.exports.figures.fonts import text_width
from napari_wsimil.exports.figures.marks import Box, Mark, Outline, Words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_wsimil.exports.figures.options import Frame
    from napari_wsimil.exports.looks import BoxLook

MOST_LABELS = 40
"""Of one kind; labels of more hide each other and the tissue, unless they stand inside their boxes."""

_ROOMY = 2.5
"""Sizes of the text that a side of a box has at least where its label stands inside."""


def box_marks(looks: Sequence[BoxLook], frame: Frame, size: float) -> list[Mark]:
    """Outlines at whole pixels, and over all of them their labels in text of `size` pixels."""
    outlines: list[Outline] = []
    labelled: list[tuple[Outline, str, bool]] = []
    times: Counter[Box] = Counter()
    for look in looks:
        labels = look.labels or ("",) * len(look.boxes)
        for corners, label in zip(look.boxes.tolist(), labels, strict=True):
            outline = _outline(corners, look.colour, frame, size, times)
            outlines.append(outline)
            if label:
                labelled.append((outline, label, len(look.boxes) <= MOST_LABELS))
    return [*outlines, *_labels(labelled, frame, size)]


def _outline(corners: Sequence[float], colour: str, frame: Frame, size: float, times: Counter[Box]) -> Outline:
    left, top = (round(value) for value in frame.to_picture(*corners[:2]))
    right, bottom = (round(value) for value in frame.to_picture(*corners[2:]))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    width = max(1, min(round(size / 7), min(right - left, bottom - top) // 6))
    # A box that another kind outlined already lies inside that outline, so that both are seen.
    inset = times[left, top, right, bottom] * width
    times[left, top, right, bottom] += 1
    inset = min(inset, (min(right - left, bottom - top) - 1) // 2)
    return Outline((left + inset, top + inset, right - inset, bottom - inset), colour, width)


def _labels(labelled: Sequence[tuple[Outline, str, bool]], frame: Frame, size: float) -> Iterator[Words]:
    """Each label inside its box where there is room, else, of few, beside it where it hides least."""
    taken = [outline.box for outline, _, few in labelled if few]
    for outline, label, few in labelled:
        x0, y0, x1, y1 = outline.box
        wide = text_width(label, size, bold=True)
        if min(x1 - x0, y1 - y0) > max(_ROOMY * size, wide + 4 * outline.width):
            place = x0 + 2 * outline.width, y0 + outline.width + 1.1 * size
        elif not few:
            continue
        else:
            place = min(_places(outline.box, wide, size), key=lambda at: _hidden(_around(at, wide, size), taken, frame))
        taken.append(_around(place, wide, size))
        yield Words(*place, label, size, outline.colour, halo=True, bold=True)


def _places(box: Box, wide: float, size: float) -> list[tuple[float, float]]:
    """Where the baseline of a label may begin: right of its box, left of it, above and below; the best place first."""
    x0, y0, x1, y1 = box
    level, middle = y0 + 0.8 * size, (x0 + x1 - wide) / 2
    gap = 0.2 * size
    return [(x1 + gap, level), (x0 - gap - wide, level), (middle, y0 - gap), (middle, y1 + gap + 0.75 * size)]


def _around(at: tuple[float, float], wide: float, size: float) -> Box:
    return at[0], at[1] - 0.75 * size, at[0] + wide, at[1]


def _hidden(words: Box, taken: Sequence[Box], frame: Frame) -> float:
    """Pixels² of boxes and labels under a label, and what of it would lie outside the picture, which counts more."""
    outside = _area(words) - _common(words, (0, 0, frame.width, frame.height))
    return sum(_common(words, other) for other in taken) + 10 * outside


def _common(one: Box, other: Box) -> float:
    return max(0.0, min(one[2], other[2]) - max(one[0], other[0])) * max(0.0, min(one[3], other[3]) - max(one[1], other[1]))


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
