"""Figures as SVG: the slide and its rasters as one JPEG, all else as lines and text that can be edited."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from PIL import Image

from napari_wsimil.exports.figures.fonts import FAMILY
from napari_wsimil.exports.figures.marks import PAPER, Filled, Mark, Outline, Ramp, Words
from napari_wsimil.exports.figures.painting import picture, strip_rows
from napari_wsimil.exports.figures.rasters import DRAWING
from napari_wsimil.inference.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.exports.figures.layout import Page, Panel
    from napari_wsimil.exports.figures.rasters import Report
    from napari_wsimil.slides import Slide

_QUALITY = 92
_MM_PER_INCH = 25.4


def write_svg(page: Page, slide: Slide, path: Path, report: Report) -> None:
    """Write an SVG, as large in print as its dpi say."""
    path.write_text("\n".join(_lines(page, slide, report)), encoding="utf-8")


def data_address(pixels: NDArray[np.uint8], kind: str = "JPEG", quality: int = _QUALITY) -> str:
    """A picture as the text that stands for its address in a file that holds it itself."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, quality=quality, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _lines(page: Page, slide: Slide, report: Report) -> Iterable[str]:
    width, height = (f"{size / page.dpi * _MM_PER_INCH:.2f}mm" for size in (page.width, page.height))
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {page.width} {page.height}" font-family={quoteattr(FAMILY)}>'
    )
    yield f"<desc>{escape(_printable(page.about))}</desc>"
    yield f'<rect width="{page.width}" height="{page.height}" fill="{PAPER}"/>'
    for panel in page.panels:
        size = f'width="{page.frame.width}" height="{page.frame.height}"'
        # An inner svg clips what reaches beyond the picture.
        yield f'<svg x="{panel.x}" y="{panel.y}" {size}>'
        yield f'<image {size} preserveAspectRatio="none" href="{data_address(_pixels(page, slide, panel, report))}"/>'
        yield from map(_element, panel.marks)
        yield "</svg>"
    yield from map(_element, page.marks)
    yield "</svg>\n"


def _pixels(page: Page, slide: Slide, panel: Panel, report: Report) -> NDArray[np.uint8]:
    found = np.empty((page.frame.height, page.frame.width, 3), np.uint8)
    for first in range(0, len(found), strip_rows(page)):
        last = min(first + strip_rows(page), len(found))
        found[first:last] = picture(page, slide, panel, first, last)
        report(Progress(DRAWING, last, len(found)))
    return found


def _element(mark: Mark) -> str:
    if isinstance(mark, Words):
        return _text(mark)
    x0, y0, x1, y1 = (round(value) for value in mark.box)
    if isinstance(mark, Outline):
        # SVG draws half of a line to each side of the edge; ours lies inside.
        half = mark.width / 2
        return (
            f'<rect x="{x0 + half:g}" y="{y0 + half:g}" width="{max(x1 - x0 - mark.width, 0)}" '
            f'height="{max(y1 - y0 - mark.width, 0)}" fill="none" stroke="{mark.colour}" stroke-width="{mark.width}"/>'
        )
    box = f'x="{x0}" y="{y0}" width="{x1 - x0}" height="{y1 - y0}"'
    if isinstance(mark, Filled):
        return f'<rect {box} fill="{mark.colour}" fill-opacity="{mark.opacity:g}"/>'
    assert isinstance(mark, Ramp)  # noqa: S101 - there are no others
    return f'<image {box} preserveAspectRatio="none" href="{data_address(mark.colours[None], "PNG")}"/>'


def _text(mark: Words) -> str:
    look = f'font-size="{mark.size:g}" fill="{mark.colour}" text-anchor="{mark.at}"'
    if mark.bold:
        look += ' font-weight="bold"'
    if mark.halo:
        look += f' stroke="{PAPER}" stroke-width="{mark.size / 4:g}" stroke-linejoin="round" paint-order="stroke"'
    return f'<text x="{mark.x:g}" y="{mark.y:g}" {look}>{escape(_printable(mark.text))}</text>'


def _printable(text: str) -> str:
    """The text without what no XML may hold."""
    return "".join(letter for letter in text if letter.isprintable())
