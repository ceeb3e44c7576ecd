"""From a prediction and an open slide to a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.errors import ExportError
from napari_wsimil.exports.figures.options import FigureOptions

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.exports.figures.layout import Page
    from napari_wsimil.exports.figures.rasters import Report
    from napari_wsimil.inference.prediction import SlidePrediction
    from napari_wsimil.slides import Slide

MOST_PIXELS = {"png": 1_000_000_000, "tiff": 4_000_000_000, "svg": 100_000_000}
"""What programs can still open; an SVG holds its picture as one JPEG, which may not have more than 65,500 px a side either."""
_LONGEST_SIDE = {"svg": 65_500}

WHOLE = FigureOptions()


def draw_figure(prediction: SlidePrediction, slide: Slide, options: FigureOptions = WHOLE, top: int = 10) -> NDArray[np.uint8]:
    """A figure as pixels (height, width, 3) uint8, all of it in memory.

    Raises
    ------
    ExportError
        The region or the resolution does not fit the slide.
    """
    from napari_wsimil.exports.figures.layout import laid_out
    from napari_wsimil.exports.figures.painting import painted

    return painted(laid_out(prediction, slide, options, top), slide)


def write_figure(
    kind: str, prediction: SlidePrediction, slide: Slide, options: FigureOptions, top: int, path: Path, report: Report
) -> None:
    """Write a figure of the `kind` "png", "tiff" or "svg", strip by strip.

    Raises
    ------
    ExportError
        The region or the resolution does not fit the slide, or the figure would be too large for that kind of file.
    """
    from napari_wsimil.exports.figures import rasters, svg
    from napari_wsimil.exports.figures.layout import laid_out

    page = laid_out(prediction, slide, options, top)
    check_size(kind, page)
    write = {"png": rasters.write_png, "tiff": rasters.write_tiff, "svg": svg.write_svg}[kind]
    write(page, slide, path, report)


def check_size(kind: str, page: Page) -> None:
    """Refuse a figure that few programs could open.

    Raises
    ------
    ExportError
        With the sizes that are allowed.
    """
    pixels, side = page.width * page.height, max(page.width, page.height)
    longest = _LONGEST_SIDE.get(kind, side)
    if pixels <= MOST_PIXELS[kind] and side <= longest:
        return
    limit = f"{MOST_PIXELS[kind] // 1_000_000:,} million pixels" + (f" and {longest:,} px a side" if longest < side else "")
    fits_tiff = kind != "tiff" and pixels <= MOST_PIXELS["tiff"]
    instead = "a coarser resolution, a smaller region or TIFF" if fits_tiff else "a coarser resolution or a smaller region"
    raise ExportError(
        f"The figure would have {page.width:,} x {page.height:,} px, and {kind.upper()} takes at most {limit}: "
        f"choose {instead}."
    )
