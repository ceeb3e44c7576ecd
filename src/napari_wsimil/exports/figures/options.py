"""What a figure shows, how large, and what stands around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_wsimil.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.exports.looks import Look
    from napari_wsimil.slides import Slide

DEFAULT_WIDTH = 2000
"""Width in px of a picture where nobody says how large."""

NARROWEST = 16
"""Fewest pixels across a picture in which anything can be seen."""

WIDEST = 2_000_000
"""Most pixels across a picture, whatever the kind of file; that of a kind is told when the page is laid out."""

FURTHEST = 10
"""How many times as large as the slide a region may be."""

Region = tuple[float, float, float, float]


@dataclass(frozen=True)
class FigureOptions:
    """How a figure is made; for `export` with the format png, tiff or svg.

    Parameters
    ----------
    region
        (x0, y0, x1, y1) in level-0 pixels; None: the whole slide. What lies outside the slide is white.
    mpp
        µm per pixel of the picture.
    width
        Width of the picture of the slide in pixels, instead of `mpp`. Neither: 2,000 px.
    dpi
        Pixels per inch in print, noted in the file.
    overlays
        What lies over the slide, bottom first; None: what `default_looks` finds; empty: the slide alone.
    legend, scale_bar, title
        Whether there are a legend below the picture, a scale bar in its corner, a line above it.
    side_by_side
        Whether the slide alone stands left of the slide with what lies over it.
    text
        Size of the text, as a multiple of the usual one.
    colour
        "raw" as scanned, or "srgb" by the slide's ICC profile.

    Raises
    ------
    ExportError
        Both `mpp` and `width`, or a number out of range.
    """

    region: Region | None = None
    mpp: float | None = None
    width: int | None = None
    dpi: float = 300.0
    overlays: Sequence[Look] | None = None
    legend: bool = True
    scale_bar: bool = True
    title: bool = False
    side_by_side: bool = False
    text: float = 1.0
    colour: Literal["raw", "srgb"] = "raw"

    def __post_init__(self) -> None:
        if self.mpp is not None and self.width is not None:
            raise ExportError("Give either mpp or the width of a figure, not both.")
        if self.mpp is not None and not 0 < self.mpp < float("inf"):
            raise ExportError(f"mpp must be a positive number of micrometres per pixel, not {self.mpp}.")
        if self.width is not None and self.width < NARROWEST:
            raise ExportError(f"A figure must be at least {NARROWEST} px wide, not {self.width}.")
        if not 0.1 <= self.text <= 10:
            raise ExportError(f"The text of a figure can be 0.1 to 10 times the usual size, not {self.text:g}.")
        if not 1 <= self.dpi <= 10_000:
            raise ExportError(f"The pixels per inch of a figure are 1 to 10,000, not {self.dpi:g}.")


@dataclass(frozen=True)
class Frame:
    """Which pixels of the slide a picture shows: its pixel (column i, row j) covers x0 + i ratio to x0 + (i + 1) ratio.

    Attributes
    ----------
    region
        (x0, y0, x1, y1) in level-0 pixels.
    ratio
        (x, y) level-0 pixels per pixel of the picture.
    width, height
        Size of the picture in pixels.
    mpp
        µm per pixel of the picture in x and y, or None where the slide does not know its own.
    """

    region: Region
    ratio: tuple[float, float]
    width: int
    height: int
    mpp: float | None

    def to_picture(self, x: float, y: float) -> tuple[float, float]:
        """Where a level-0 position lies in the picture, in pixels from its top-left corner."""
        return (x - self.region[0]) / self.ratio[0], (y - self.region[1]) / self.ratio[1]


def framed(options: FigureOptions, slide: Slide) -> Frame:
    """The picture that `options` ask for of a slide.

    Raises
    ------
    ExportError
        The region is empty or beside the slide, `mpp` is given for a slide that does not know its own, or the picture would be
        less than a few pixels wide.
    """
    x0, y0, x1, y1 = region = _region(options.region, slide)
    mx, my = slide.mpp or (1.0, 1.0)
    if options.mpp is not None:
        if slide.mpp is None:
            raise ExportError(f"{slide.path.name} does not say how many micrometres a pixel measures; give the width in px.")
        pixel = options.mpp
    else:
        pixel = (x1 - x0) * mx / (options.width or DEFAULT_WIDTH)
    ratio = pixel / mx, pixel / my
    across, down = (x1 - x0) / ratio[0], (y1 - y0) / ratio[1]
    if max(across, down) > WIDEST:
        raise ExportError(
            f"At {pixel:g} µm per pixel the figure would have more than {WIDEST:,} px a side: "
            "choose a coarser resolution or a smaller region."
        )
    width, height = round(across), round(down)
    if min(width, height) < 1 or width < NARROWEST:
        raise ExportError(
            f"At {pixel:g} µm per pixel the figure would be {width} x {height} px: "
            "choose a finer resolution or a larger region."
        )
    return Frame(region, ratio, width, height, pixel if slide.mpp is not None else None)


def _region(region: Region | None, slide: Slide) -> Region:
    if region is None:
        return 0.0, 0.0, float(slide.width), float(slide.height)
    x0, y0, x1, y1 = (float(value) for value in region)
    if not (x0 < x1 and y0 < y1):
        raise ExportError(f"The region {x0:g}, {y0:g}, {x1:g}, {y1:g} is empty: give X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1.")
    if not (x0 < slide.width and y0 < slide.height and x1 > 0 and y1 > 0):
        raise ExportError(
            f"The region {x0:g}, {y0:g}, {x1:g}, {y1:g} lies beside the slide, which has {slide.width} x {slide.height} px."
        )
    if x1 - x0 > FURTHEST * slide.width or y1 - y0 > FURTHEST * slide.height:
        raise ExportError(
            f"The region {x0:g}, {y0:g}, {x1:g}, {y1:g} is far larger than the slide, which has {slide.width} x {slide.height} "
            "px; give a smaller one."
        )
    return x0, y0, x1, y1
