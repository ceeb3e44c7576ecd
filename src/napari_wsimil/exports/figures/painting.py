"""A figure as pixels, a few rows at a time: a figure of any size needs the memory of a strip of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from napari_wsimil.exports.figures.fonts import font
from napari_wsimil.exports.figures.marks import PAPER, Filled, Mark, Outline, Ramp, Words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.exports.figures.layout import Page, Panel
    from napari_wsimil.exports.figures.options import Frame
    from napari_wsimil.exports.looks import RasterLook
    from napari_wsimil.slides import Slide

    Pixels = NDArray[np.uint8]
    Indices = NDArray[np.int64]
    Values = NDArray[np.float32]
    Places = NDArray[np.floating]

STRIP_PIXELS = 2_000_000
_FEWEST_ROWS, _MOST_ROWS = 16, 512


def strip_rows(page: Page) -> int:
    """How many rows a strip has; the last one perhaps fewer."""
    return int(np.clip(STRIP_PIXELS // page.width, _FEWEST_ROWS, _MOST_ROWS))


def strips(page: Page, slide: Slide) -> Iterator[Pixels]:
    """The page from top to bottom, (rows, width, 3) uint8 each."""
    for top in range(0, page.height, strip_rows(page)):
        yield _strip(page, slide, top, min(top + strip_rows(page), page.height))


def painted(page: Page, slide: Slide) -> Pixels:
    """The whole page (height, width, 3) uint8, for small ones."""
    return np.concatenate(list(strips(page, slide)))


def picture(page: Page, slide: Slide, panel: Panel, first: int, last: int) -> Pixels:
    """Rows `first` to `last` of one picture with its rasters, without marks."""
    return _covered(_slide_rows(page, slide, first, last), panel, page.frame, first)


def _strip(page: Page, slide: Slide, top: int, bottom: int) -> Pixels:
    strip = np.full((bottom - top, page.width, 3), 255, np.uint8)
    frame, above = page.frame, page.panels[0].y
    first, last = max(top - above, 0), min(bottom - above, frame.height)
    if first < last:
        plain = _slide_rows(page, slide, first, last)
        for panel in page.panels:
            rows = _covered(plain, panel, frame, first)
            at = slice(first + above - top, last + above - top), slice(panel.x, panel.x + frame.width)
            strip[at] = _marked(rows, panel.marks, first)
    return _marked(strip, page.marks, top)


def _slide_rows(page: Page, slide: Slide, first: int, last: int) -> Pixels:
    frame = page.frame
    x, y = frame.region[0], frame.region[1] + first * frame.ratio[1]
    return slide.read_downsampled(x, y, frame.width, last - first, frame.ratio, keep=False, colour=page.colour)


def _covered(plain: Pixels, panel: Panel, frame: Frame, first: int) -> Pixels:
    """The rasters of a panel over rows of the slide."""
    if not panel.rasters:
        return plain
    seen = plain.astype(np.float32)
    for look in panel.rasters:
        _blend(seen, look, frame, first)
    return np.rint(seen).astype(np.uint8)


def _blend(seen: Values, look: RasterLook, frame: Frame, first: int) -> None:
    """Draw a raster over rows from `first` on, in place."""
    x0, y0 = frame.region[:2]
    rows = (y0 + (first + np.arange(seen.shape[0]) + 0.5) * frame.ratio[1] - look.origin[1]) / look.step[1]
    columns = (x0 + (np.arange(seen.shape[1]) + 0.5) * frame.ratio[0] - look.origin[0]) / look.step[0]
    height, width = look.values.shape
    down, across = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    if not down.any() or not across.any():
        return
    # Both are runs without gaps: a slice is a view, into which is drawn.
    where = _run(down), _run(across)
    values: Values = (_smooth if look.smooth else _nearest)(look.values, rows[where[0]], columns[where[1]])
    low, high = look.limits
    table = np.ascontiguousarray(look.colours, np.float32)
    with np.errstate(invalid="ignore"):
        places = np.clip((values - low) / (high - low if high > low else 1.0), 0, 1) * (len(table) - 1)
    known = np.isfinite(places)
    rgba = table[np.rint(np.where(known, places, 0)).astype(np.int64)]
    alpha = (rgba[..., 3] * np.float32(look.opacity) * known)[..., None]
    part = seen[where]
    part += (255 * rgba[..., :3] - part) * alpha


def _run(flags: NDArray[np.bool_]) -> slice:
    found = np.flatnonzero(flags)
    return slice(int(found[0]), int(found[-1]) + 1)


def _nearest(values: Values, rows: Places, columns: Places) -> Values:
    """The value of the raster pixel in which each place lies."""
    chosen: Values = values[np.floor(rows).astype(np.int64)][:, np.floor(columns).astype(np.int64)]
    return chosen


def _smooth(values: Values, rows: Places, columns: Places) -> Values:
    """Bilinear between the centres of raster pixels that have a value; nothing where the pixel itself has none."""
    known = np.isfinite(values)
    total = _bilinear(np.where(known, values, 0).astype(np.float32), rows, columns)
    weight = _bilinear(known.astype(np.float32), rows, columns)
    here = _nearest(values, rows, columns)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(here), total / weight, np.float32(np.nan))


def _bilinear(values: Values, rows: Places, columns: Places) -> Values:
    (i, i_next, down), (j, j_next, across) = (
        _between(at, count) for at, count in zip((rows, columns), values.shape, strict=True)
    )
    lines = values[i] * (1 - down)[:, None] + values[i_next] * down[:, None]
    mixed = lines[:, j] * (1 - across) + lines[:, j_next] * across
    return np.asarray(mixed, np.float32)


def _between(at: Places, count: int) -> tuple[Indices, Indices, Values]:
    """The two pixels whose centres a place lies between, and how far it is on its way to the second."""
    place = np.clip(at - 0.5, 0, count - 1)
    lower: Indices = np.floor(place).astype(np.int64)
    return lower, np.minimum(lower + 1, count - 1), (place - lower).astype(np.float32)


def _marked(rows: Pixels, marks: Sequence[Mark], top: int) -> Pixels:
    """Marks over rows that begin `top` pixels below where the marks count from."""
    near = [mark for mark in marks if _reaches(mark, top, top + len(rows))]
    if not near:
        return rows
    image = Image.fromarray(rows)
    draw = ImageDraw.Draw(image, "RGBA")
    for mark in near:
        _draw(image, draw, mark, top)
    return np.asarray(image)


def _reaches(mark: Mark, top: int, bottom: int) -> bool:
    if isinstance(mark, Words):
        return mark.y + mark.size >= top and mark.y - 1.5 * mark.size <= bottom
    return mark.box[3] >= top and mark.box[1] <= bottom


def _draw(image: Image.Image, draw: ImageDraw.ImageDraw, mark: Mark, top: int) -> None:
    if isinstance(mark, Words):
        halo: dict[str, Any] = {"stroke_width": max(1, round(mark.size / 8)), "stroke_fill": PAPER} if mark.halo else {}
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[mark.at]
        draw.text((mark.x, mark.y - top), mark.text, mark.colour, font(mark.size, mark.bold), anchor, **halo)
        return
    # Pillow's boxes include their last pixel.
    x0, y0, x1, y1 = (round(value) for value in mark.box)
    box = (x0, y0 - top, x1 - 1, y1 - top - 1)
    if isinstance(mark, Outline):
        draw.rectangle(box, outline=mark.colour, width=mark.width)
    elif isinstance(mark, Filled):
        alpha = f"{round(255 * mark.opacity):02x}"
        draw.rectangle(box, fill=mark.colour + alpha)
    elif isinstance(mark, Ramp):
        ramp = Image.fromarray(mark.colours[None]).resize((x1 - x0, y1 - y0), Image.Resampling.NEAREST)
        image.paste(ramp, (x0, y0 - top))
