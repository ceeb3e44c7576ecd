"""Where to save a prediction, and in which format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog

from napari_wsimil.exports import FORMATS, export, format_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.inference import SlidePrediction

PREDICTION_SUFFIX = ".prediction.h5"


def save_as(prediction: SlidePrediction, path: str | Path, **options: Any) -> Path:
    """Write a prediction in the format that the file's name says; a `WsimilError` tells what is wrong with it otherwise.

    `options` are those of `exports.export`. What takes long belongs into a worker: see `saving.Saving`.
    """
    if str(path).lower().endswith(PREDICTION_SUFFIX):
        return prediction.save(path)
    return export(prediction, path, **options)


def filters() -> dict[str, str]:
    """File dialog filter -> suffix."""
    offered = {f"{entry.label} (*{entry.suffix})": entry.suffix for entry in FORMATS.values()}
    return {**offered, f"Prediction, opens again in napari (*{PREDICTION_SUFFIX})": PREDICTION_SUFFIX}


def chosen_for(path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options `threshold` and `top` that change what a file of that name holds."""
    name = format_of(path.name)
    used = {"geojson": ("threshold", "top"), "asap": ("threshold", "top"), "csv": (), "ome-tiff": (), None: ()}.get(
        name, ("top",)
    )
    return {option: options[option] for option in used}


def ask_where(parent: QWidget, slide: Path, chosen: Callable[[str], None]) -> QFileDialog:
    """Ask where the prediction of a slide is to go, and in which format, without waiting; `chosen` gets the path."""
    return ask_for_file(parent, "Export the prediction", slide, filters(), chosen)


def ask_for_report(parent: QWidget, slide: Path, chosen: Callable[[str], None]) -> QFileDialog:
    """Ask where the report on a slide is to go, and whether as a web page or as PDF, without waiting."""
    kinds = {label: suffix for label, suffix in filters().items() if suffix in (".html", ".pdf")}
    return ask_for_file(parent, "Save the report", slide, kinds, chosen, f"{slide.stem} report")


def ask_for_file(
    parent: QWidget, title: str, slide: Path, suffixes: Mapping[str, str], chosen: Callable[[str], None], name: str = ""
) -> QFileDialog:
    """Open a save dialog beside a slide, without waiting.

    Parameters
    ----------
    parent
        The widget that asks.
    title
        Of the dialog.
    slide
        Its folder is offered where it may be written to, and its name.
    suffixes
        Filter -> suffix; the first is offered.
    chosen
        Gets the path, with a suffix where none was typed.
    name
        What to offer instead of the slide's name.
    """
    folder = slide.parent if os.access(slide.parent, os.W_OK) else Path.home()
    dialog = QFileDialog(parent, title, str(folder))
    # The same dialog on every system: a native one can't tell apart suffixes of two parts.
    dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setNameFilters(list(suffixes))
    dialog.selectFile((name or slide.stem) + next(iter(suffixes.values())))

    def rename(chosen_filter: str) -> None:
        typed = Path(dialog.selectedFiles()[0]).name if dialog.selectedFiles() else slide.stem
        dialog.selectFile(strip(typed) + suffixes[chosen_filter])

    dialog.filterSelected.connect(rename)
    dialog.fileSelected.connect(lambda path: chosen(with_suffix(path, suffixes[dialog.selectedNameFilter()])))
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()
    return dialog


def strip(name: str) -> str:
    """A file name without the suffix of one of our formats; of suffixes in one another, the longest."""
    for suffix in sorted(filters().values(), key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def with_suffix(path: str, suffix: str) -> str:
    """`path` as it is where it ends in the suffix of one of our formats, else with `suffix` added."""
    return path if strip(Path(path).name) != Path(path).name else path + suffix
