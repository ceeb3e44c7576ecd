"""The report as one web page without scripts and without links."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wsimil.exports.figures.svg import data_address
from napari_wsimil.exports.reports.content import PURPOSE, Content, Shown, report_content

if TYPE_CHECKING:
    from napari_wsimil.exports.figures.rasters import Report
    from napari_wsimil.inference.prediction import SlidePrediction
    from napari_wsimil.slides import Slide

TEMPLATE = Path(__file__).with_name("report.html.jinja")
_QUALITY = 85


def html_text(prediction: SlidePrediction, slide: Slide, top: int, report: Report) -> str:
    """The page."""
    return rendered(report_content(prediction, slide, top, report))


def rendered(content: Content) -> str:
    """What was gathered, as HTML."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(TEMPLATE.read_text(encoding="utf-8"))
    return page.render(
        content=content,
        purpose=PURPOSE,
        overview=_picture(content.overview),
        heatmap=_picture(content.heatmap),
        top=[_picture(shown) for shown in content.top],
    )


def _picture(shown: Shown) -> dict[str, Any]:
    height, width = shown.pixels.shape[:2]
    return {"data": data_address(shown.pixels, quality=_QUALITY), "width": width, "height": height, "lines": shown.lines}
