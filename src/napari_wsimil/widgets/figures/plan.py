"""What a figure is to be, as the user chooses it bit by bit; without Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_wsimil.exports import FigureOptions
from napari_wsimil.exports.figures.layout import text_size
from napari_wsimil.exports.figures.options import DEFAULT_WIDTH, NARROWEST, framed
from napari_wsimil.widgets.recipes import Code, following, python_call

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_wsimil.exports.figures.options import Frame, Region
    from napari_wsimil.exports.looks import Look
    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.slides import Slide
    from napari_wsimil.widgets.recipes import Recipe

WIDEST = 60_000
"""Pixels; more than any program opens."""

MM_PER_INCH = 25.4


@dataclass(frozen=True)
class Plan:
    """A figure of a slide.

    Attributes
    ----------
    slide
        The open slide.
    region
        (x0, y0, x1, y1) in level-0 pixels; None: the whole slide.
    width
        Of the picture, in pixels.
    dpi
        Pixels per inch in print.
    overlays
        Whether anything lies over the slide.
    legend, scale_bar, title, side_by_side, colour
        As in `FigureOptions`.
    """

    slide: Slide
    region: Region | None = None
    width: int = DEFAULT_WIDTH
    dpi: float = 300.0
    overlays: bool = True
    legend: bool = True
    scale_bar: bool = True
    title: bool = False
    side_by_side: bool = False
    colour: Any = "raw"

    @property
    def box(self) -> Region:
        """(x0, y0, x1, y1) in level-0 pixels."""
        return self.region or (0.0, 0.0, float(self.slide.width), float(self.slide.height))

    @property
    def mpp(self) -> float:
        """µm per pixel of the picture; level-0 pixels where the slide does not know its own size."""
        return self.across / self.width

    @property
    def across(self) -> float:
        """Width of the region in µm, or in level-0 pixels."""
        x0, _, x1, _ = self.box
        return (x1 - x0) * (self.slide.mpp or (1.0, 1.0))[0]

    def at_mpp(self, mpp: float) -> Plan:
        """The same at the nearest width that gives this resolution."""
        return replace(self, width=int(min(max(round(self.across / mpp), NARROWEST), WIDEST)))

    def options(self, looks: Sequence[Look]) -> FigureOptions:
        """For `export`; `looks` are what the window shows."""
        return FigureOptions(
            self.region,
            width=self.width,
            dpi=self.dpi,
            overlays=tuple(looks) if self.overlays else (),
            legend=self.legend,
            scale_bar=self.scale_bar,
            title=self.title,
            side_by_side=self.side_by_side,
            colour=self.colour,
        )

    def preview(self, looks: Sequence[Look], width: int) -> FigureOptions:
        """The same figure in small, with its text as large beside the picture as it will be."""
        options = self.options(looks)
        width = max(NARROWEST, min(width, self.width))
        small, large = framed(replace(options, width=width), self.slide), framed(options, self.slide)
        text = text_size(large) * small.width / large.width / text_size(small)
        return replace(options, width=width, text=min(max(text, 0.1), 10))

    def frame(self) -> Frame:
        """What the picture shows, exactly; an `ExportError` says why there is none."""
        return framed(self.options(()), self.slide)

    def size_text(self) -> str:
        """For example "Picture of 2,000 x 1,500 px, 169 x 127 mm in print"."""
        frame = self.frame()
        wide, high = (side / self.dpi * MM_PER_INCH for side in (frame.width, frame.height))
        what = "Two pictures" if self.side_by_side else "Picture"
        return f"{what} of {frame.width:,} x {frame.height:,} px, {wide:.0f} x {high:.0f} mm in print"

    def pixels(self) -> int:
        """Of the picture, or of both."""
        frame = self.frame()
        return frame.width * frame.height * (2 if self.side_by_side else 1)

    def recipe(self, prediction: SlidePrediction, path: Path) -> Recipe:
        """The figure again, with the overlays that a prediction has by itself."""
        region = None if self.region is None else tuple(round(value, 1) for value in self.region)
        switches = {
            "legend": None if self.legend else False,
            "scale_bar": None if self.scale_bar else False,
            "title": self.title or None,
            "side_by_side": self.side_by_side or None,
            "overlays": None if self.overlays else (),
            "colour": None if self.colour == "raw" else self.colour,
            "dpi": None if self.dpi == FigureOptions.dpi else self.dpi,
        }
        figure = Code(python_call("FigureOptions", region=region, width=self.width, **switches))
        line = python_call("export", Code("prediction"), path, slide=self.slide.path, figure=figure)
        note = ["# overlays: those that a prediction has by itself; overlays=[...] takes others"] if self.overlays else []
        return following(
            f"Figure {path.name}",
            prediction,
            [*note, line],
            "export",
            out=path,
            slide=self.slide.path,
            region=None if region is None else ",".join(f"{value:g}" if value < 1e5 else f"{value:.0f}" for value in region),
            width=self.width,
            dpi=switches["dpi"],
            no_legend=not self.legend,
            no_scale_bar=not self.scale_bar,
            no_overlays=not self.overlays,
            title=self.title,
            side_by_side=self.side_by_side,
        )
