"""Which formats there are, and the one function that writes any of them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_wsimil.errors import CancelledError, ExportError
from napari_wsimil.exports.figures.options import FigureOptions
from napari_wsimil.exports.files import exported, write_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.inference.prediction import SlidePrediction
    from napari_wsimil.inference.progress import Progress
    from napari_wsimil.inference.steps import CancelFlag
    from napari_wsimil.slides import Slide


@dataclass(frozen=True)
class Wish:
    """What is to be written, for the writer of a format.

    Attributes
    ----------
    prediction, threshold, top, figure
        See `export`.
    slide
        The open slide, for formats that need it.
    report
        Called with each `Progress`; raises `CancelledError` where the user stopped it.
    """

    prediction: SlidePrediction
    threshold: float | None = None
    top: int = 10
    figure: FigureOptions = field(default_factory=FigureOptions)
    slide: Slide | None = None
    report: Callable[[Progress], None] = lambda _: None

    @property
    def pixels(self) -> Slide:
        """The slide, which is there for the formats that need it."""
        assert self.slide is not None  # noqa: S101 - `export` opened it
        return self.slide


class Format(NamedTuple):
    """One way to write a prediction.

    Attributes
    ----------
    write
        ``write(wish, path)`` makes the file, which does not exist yet.
    suffix
        What the file's name ends in, by which the format is recognised.
    label
        Words for a file dialog.
    needs_slide
        Whether it shows pixels of the slide.
    is_figure
        Whether `FigureOptions` say what it shows.
    """

    write: Callable[[Wish, Path], None]
    suffix: str
    label: str
    needs_slide: bool = False
    is_figure: bool = False


def _geojson(wish: Wish, path: Path) -> None:
    from napari_wsimil.exports.geojson import geojson_text

    write_text(path, geojson_text(wish.prediction, wish.threshold, wish.top))


def _csv(wish: Wish, path: Path) -> None:
    from napari_wsimil.exports.spreadsheet import csv_text

    write_text(path, csv_text(wish.prediction))


def _asap(wish: Wish, path: Path) -> None:
    from napari_wsimil.exports.asap import asap_text

    write_text(path, asap_text(wish.prediction, wish.threshold, wish.top))


def _ome_tiff(wish: Wish, path: Path) -> None:
    from napari_wsimil.exports.ome_tiff import write_ome_tiff

    write_ome_tiff(wish.prediction, path)


def _html(wish: Wish, path: Path) -> None:
    from napari_wsimil.exports.reports import html_text

    write_text(path, html_text(wish.prediction, wish.pixels, wish.top, wish.report))


def _pdf(wish: Wish, path: Path) -> None:
    from napari_wsimil.exports.reports import write_pdf

    write_pdf(wish.prediction, wish.pixels, wish.top, path, wish.report)


def _figure(kind: str) -> Callable[[Wish, Path], None]:
    def write(wish: Wish, path: Path) -> None:
        from napari_wsimil.exports.figures import write_figure

        write_figure(kind, wish.prediction, wish.pixels, wish.figure, wish.top, path, wish.report)

    return write


FORMATS: dict[str, Format] = {
    "geojson": Format(_geojson, ".geojson", "QuPath GeoJSON"),
    "asap": Format(_asap, ".xml", "ASAP annotations"),
    "csv": Format(_csv, ".csv", "CSV table of all patches"),
    "ome-tiff": Format(_ome_tiff, ".ome.tiff", "Heatmaps as OME-TIFF"),
    "html": Format(_html, ".html", "Report as a web page", needs_slide=True),
    "pdf": Format(_pdf, ".pdf", "Report as PDF", needs_slide=True),
    "png": Format(_figure("png"), ".png", "Figure as PNG", needs_slide=True, is_figure=True),
    "tiff": Format(_figure("tiff"), ".tiff", "Figure as TIFF", needs_slide=True, is_figure=True),
    "svg": Format(_figure("svg"), ".svg", "Figure as SVG", needs_slide=True, is_figure=True),
}


def export(
    prediction: SlidePrediction,
    path: str | Path,
    format: str | None = None,  # noqa: A002 - the public contract's own word
    *,
    slide: Slide | str | Path | None = None,
    threshold: float | None = None,
    top: int = 10,
    figure: FigureOptions | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    cancel: CancelFlag | Callable[[], bool] | None = None,
) -> Path:
    """Write a prediction for other people and programs, whole or not at all.

    Parameters
    ----------
    prediction
        What `predict` or `load_prediction` gave.
    path
        The file to write; an existing one is replaced. Without a suffix it gets the format's.
    format
        A name in `FORMATS`; None: by the suffix of `path`.
    slide
        For reports and figures: the slide, or where it is; None: where it was when it was predicted.
    threshold
        GeoJSON and ASAP only: the lowest attention percentile, 0 to 1, of a patch that is written on its own: 0.9 writes the
        tenth of the patches that were attended most, 0 all. None: the patches with more than an even share of the attention
        (1 / N).
    top
        How many of the most attended patches are written as annotations (GeoJSON, ASAP), shown with pictures (reports) or
        outlined and numbered (figures). CSV always lists every patch.
    figure
        Figures only: region, resolution, and what is drawn.
    on_progress
        Called with a `Progress` now and then, where it takes long.
    cancel
        A `threading.Event` to set, or a function that returns True, to stop.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ExportError
        Unknown format or suffix, an option out of range, a slide that is gone or another one, or a path that can't be written
        or is the slide's own.
    CancelledError
        It was stopped; nothing was written.
    """
    path = Path(path)
    name = _format_name(path, format)
    chosen = FORMATS[name]
    _check(name, threshold, top, figure)
    if not path.suffix:
        path = path.with_name(path.name + chosen.suffix)
    _spare_the_slide(path, prediction, slide)

    def report(progress: Progress) -> None:
        if on_progress is not None:
            on_progress(progress)
        if cancel is not None and (cancel() if callable(cancel) else cancel.is_set()):
            raise CancelledError("The export was stopped; nothing was written.")

    with _slide_for(chosen, prediction, slide) as opened, exported(path) as part:
        chosen.write(Wish(prediction, threshold, top, figure or FigureOptions(), opened, report), part)
    return path


def format_of(name: str) -> str | None:
    """The format whose suffix a file name ends in; the longest one counts."""
    fitting = [known for known, entry in FORMATS.items() if name.lower().endswith(entry.suffix)]
    return max(fitting, key=lambda known: len(FORMATS[known].suffix), default=None)


def _slide_for(chosen: Format, prediction: SlidePrediction, slide: Slide | str | Path | None) -> Any:
    if not chosen.needs_slide:
        return nullcontext()
    from napari_wsimil.exports.pixels import slide_of

    return slide_of(prediction, slide)


def _spare_the_slide(path: Path, prediction: SlidePrediction, slide: Slide | str | Path | None) -> None:
    """Refuse to write over the slide: a figure of a.tiff in the slide's own folder would be called a.tiff."""
    where = slide if isinstance(slide, str | Path | None) else slide.path
    for known in (where, prediction.provenance.get("slide", {}).get("path")):
        if known and path.exists() and Path(known).exists() and path.samefile(known):
            raise ExportError(f"{path} is the slide itself, which is never replaced: choose another folder or name.")


def _check(name: str, threshold: float | None, top: int, figure: FigureOptions | None) -> None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise ExportError(
            f"The threshold is an attention percentile from 0 (all patches) to 1 (the best one), not {threshold}."
        )
    if top < 0:
        raise ExportError(f"The number of top patches can't be negative, and {top} is; 0 writes none.")
    if figure is not None and not FORMATS[name].is_figure:
        figures = ", ".join(known for known, entry in FORMATS.items() if entry.is_figure)
        raise ExportError(f"Region and resolution are for figures ({figures}), not for {name}; leave them out.")


def _format_name(path: Path, name: str | None) -> str:
    """The format that was asked for, or that the suffix says; refuses a name and a suffix that contradict each other."""
    by_suffix = format_of(path.name)
    if name is None and by_suffix is None:
        *endings, last = (entry.suffix for entry in FORMATS.values())
        raise ExportError(
            f"Can't tell the format from the name {path.name!r}: end it in {', '.join(endings)} or {last}, or name a format."
        )
    if name is not None and name not in FORMATS:
        raise ExportError(f"There is no export format {name!r}; available: {', '.join(FORMATS)}.")
    if name is not None and by_suffix not in (None, name):
        raise ExportError(f"{path.name!r} ends like a {by_suffix} file but {name} was asked for: change one of the two.")
    return name or str(by_suffix)
