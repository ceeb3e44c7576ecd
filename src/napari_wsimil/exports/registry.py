"""Which formats there are, and the one function that writes any of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_wsimil.errors import ExportError
from napari_wsimil.exports.files import write_whole
from napari_wsimil.exports.geojson import geojson_text
from napari_wsimil.exports.spreadsheet import csv_text

if TYPE_CHECKING:
    from napari_wsimil.inference.prediction import SlidePrediction

TextOf = Callable[["SlidePrediction", "float | None", int], str]


class Format(NamedTuple):
    """One way to write a prediction.

    Attributes
    ----------
    text
        ``text(prediction, threshold, top)`` gives the content of the file.
    suffix
        What the file's name ends in, by which the format is recognised.
    label
        Words for a file dialog.
    """

    text: TextOf
    suffix: str
    label: str


FORMATS: dict[str, Format] = {
    "geojson": Format(geojson_text, ".geojson", "QuPath GeoJSON"),
    "csv": Format(lambda prediction, threshold, top: csv_text(prediction), ".csv", "CSV table"),
}


def export(
    prediction: SlidePrediction,
    path: str | Path,
    format: str | None = None,  # noqa: A002 - the public contract's own word
    *,
    threshold: float | None = None,
    top: int = 10,
) -> Path:
    """Write a prediction for another tool, whole or not at all.

    Parameters
    ----------
    prediction
        What `predict` or `load_prediction` gave.
    path
        The file to write; an existing one is replaced. Without a suffix it gets the format's.
    format
        A name in `FORMATS`; None: by the suffix of `path`.
    threshold
        GeoJSON only: the lowest attention percentile, 0 to 1, of a patch that is written as a tile: 0.9 writes the tenth of
        the patches that were attended most, 0 all. None: the patches with more than an even share of the attention (1 / N).
    top
        GeoJSON only: how many of the most attended patches are written as annotations. CSV always lists every patch.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ExportError
        Unknown format or suffix, an option out of range, or a path that can't be written.
    """
    path = Path(path)
    chosen = FORMATS[_format_name(path, format)]
    if threshold is not None and not 0 <= threshold <= 1:
        raise ExportError(
            f"The threshold is an attention percentile from 0 (all patches) to 1 (the best one), not {threshold}."
        )
    if top < 0:
        raise ExportError(f"The number of top patches can't be negative, and {top} is; 0 writes none.")
    if not path.suffix:
        path = path.with_suffix(chosen.suffix)
    return write_whole(path, chosen.text(prediction, threshold, top))


def _format_name(path: Path, name: str | None) -> str:
    """The format that was asked for, or that the suffix says; refuses a name and a suffix that contradict each other."""
    by_suffix = next((known for known, entry in FORMATS.items() if entry.suffix == path.suffix.lower()), None)
    if name is None and by_suffix is None:
        endings = " or ".join(entry.suffix for entry in FORMATS.values())
        raise ExportError(f"Can't tell the format from the name {path.name!r}: end it in {endings}, or name a format.")
    if name is not None and name not in FORMATS:
        raise ExportError(f"There is no export format {name!r}; available: {', '.join(FORMATS)}.")
    if name is not None and by_suffix not in (None, name):
        raise ExportError(f"{path.name!r} ends like a {by_suffix} file but {name} was asked for: change one of the two.")
    return name or str(by_suffix)
