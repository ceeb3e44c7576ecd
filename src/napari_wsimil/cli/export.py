"""The command `export`: a saved prediction for other people and programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.cli.console import check_formats, file_path
from napari_wsimil.cli.values import Region

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.exports import FigureOptions
    from napari_wsimil.inference import Progress

NAMES = "geojson, asap, csv, ome-tiff, html, pdf, png, tiff or svg"


@click.command()
@click.argument("prediction", type=file_path)
@click.option("--format", "format_name", help=f"{NAMES}; by default what the name of the file says.")
@click.option("--out", type=file_path, required=True, help="File to write.")
@click.option("--slide", type=file_path, help="Reports and figures: the slide, where it is no longer where it was.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="GeoJSON and ASAP: only patches at or above this attention percentile (0.9: the most attended tenth).  "
    "[default: those above an even share of the attention]",
)
@click.option(
    "--top", type=click.IntRange(0), default=10, show_default=True, help="Top regions: numbered boxes, or pictures in a report."
)
@click.option("--region", type=Region(), help="Figures: level-0 pixels.  [default: the whole slide]")
@click.option("--mpp", type=click.FloatRange(0, min_open=True), help="Figures: µm per pixel of the picture.")
@click.option("--width", type=click.IntRange(1), help="Figures: width in pixels, instead of --mpp.  [default: 2000]")
@click.option("--dpi", type=float, help="Figures: pixels per inch in print.  [default: 300]")
@click.option("--no-overlays", is_flag=True, help="Figures: the slide alone.")
@click.option("--no-legend", is_flag=True, help="Figures: without the legend below.")
@click.option("--no-scale-bar", is_flag=True, help="Figures: without the scale bar.")
@click.option("--title", is_flag=True, help="Figures: slide, answer and model above the picture.")
@click.option("--side-by-side", is_flag=True, help="Figures: the slide alone beside the slide with its heatmap.")
def export(
    prediction: Path, format_name: str | None, out: Path, slide: Path | None, threshold: float | None, top: int, **figure: Any
) -> None:
    """Write a saved PREDICTION for QuPath or ASAP, as a table, heatmap, report or figure."""
    from tqdm import tqdm

    from napari_wsimil.exports import export as write
    from napari_wsimil.inference import load_prediction

    if format_name is not None:
        check_formats([format_name])
    wanted = _figure(**figure)
    loaded = load_prediction(prediction)
    with tqdm(desc=out.name, file=sys.stderr, leave=False, delay=0.5) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total or None
            bar.set_postfix_str(progress.stage, refresh=False)
            bar.update(progress.done - bar.n)

        written = write(loaded, out, format_name, slide=slide, threshold=threshold, top=top, figure=wanted, on_progress=show)
    click.echo(f"wrote {written}")


def _figure(*, no_overlays: bool, no_legend: bool, no_scale_bar: bool, dpi: float | None, **wish: Any) -> FigureOptions | None:
    """What is asked of a figure; None where nothing is, so that other formats need not refuse it."""
    from napari_wsimil.exports import FigureOptions

    asked = {name: value for name, value in wish.items() if value}
    asked |= {"legend": False} if no_legend else {}
    asked |= {"scale_bar": False} if no_scale_bar else {}
    asked |= {"overlays": ()} if no_overlays else {}
    asked |= {"dpi": dpi} if dpi is not None else {}
    return FigureOptions(**asked) if asked else None
