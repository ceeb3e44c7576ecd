"""Where to save a prediction, and in which format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from napari_wsimil.exports import FORMATS, export
from napari_wsimil.widgets.layers import TOP_REGIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.inference import SlidePrediction

PREDICTION_SUFFIX = ".prediction.h5"


def save_as(prediction: SlidePrediction, path: str | Path, *, threshold: float | None = None, top: int = TOP_REGIONS) -> Path:
    """Write a prediction in the format that the file's name says; a `WsimilError` tells what is wrong with it otherwise.

    `threshold` and `top` choose the patches and boxes of a GeoJSON, see `exports.export`.
    """
    if str(path).lower().endswith(PREDICTION_SUFFIX):
        return prediction.save(path)
    return export(prediction, path, threshold=threshold, top=top)


def filters() -> dict[str, str]:
    """File dialog filter -> suffix."""
    offered = {f"{entry.label} (*{entry.suffix})": entry.suffix for entry in FORMATS.values()}
    return {**offered, f"Prediction, opens again in napari (*{PREDICTION_SUFFIX})": PREDICTION_SUFFIX}


def ask_where(parent: QWidget, slide: Path, chosen: Callable[[str], None]) -> QFileDialog:
    """Open the save dialog at a slide, without waiting; `chosen` gets the path, with a suffix where none was typed."""
    folder = slide.parent if os.access(slide.parent, os.W_OK) else Path.home()
    dialog = QFileDialog(parent, "Export the prediction", str(folder))
    # The same dialog on every system: a native one can't tell apart suffixes of two parts.
    dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    suffixes = filters()
    dialog.setNameFilters(list(suffixes))
    dialog.selectFile(f"{slide.stem}.geojson")

    def rename(chosen_filter: str) -> None:
        typed = Path(dialog.selectedFiles()[0]).name if dialog.selectedFiles() else slide.stem
        dialog.selectFile(strip(typed) + suffixes[chosen_filter])

    dialog.filterSelected.connect(rename)
    dialog.fileSelected.connect(lambda path: chosen(with_suffix(path, suffixes[dialog.selectedNameFilter()])))
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()
    return dialog


def strip(name: str) -> str:
    """A file name without the suffix of one of our formats."""
    for suffix in filters().values():
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def with_suffix(path: str, suffix: str) -> str:
    """`path` as it is where it ends in the suffix of one of our formats, else with `suffix` added."""
    return path if strip(Path(path).name) != Path(path).name else path + suffix
