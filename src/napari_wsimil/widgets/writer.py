"""napari's File > Save: the prediction behind the chosen layers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QEventLoop
from qtpy.QtWidgets import QApplication

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.export_dialog import save_as
from napari_wsimil.widgets.job import Failure
from napari_wsimil.widgets.saving import Saving
from napari_wsimil.widgets.slide_layer import KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_wsimil.inference import SlidePrediction


def write_prediction(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write the one prediction that the layers belong to; the suffix of `path` chooses the format.

    Returns
    -------
    list of str
        The file written, or nothing where a notification said why not.
    """
    found = _predictions(layers)
    if len(found) != 1:
        what = "belong to no prediction" if not found else "belong to different predictions"
        show_error(f"Nothing was written to {path}: the chosen layers {what}; choose the layers of one prediction.")
        return []
    outcome = _saved(partial(save_as, found[0], path))
    if isinstance(outcome, Failure):
        show_error(outcome.sentence)
        return []
    return [str(outcome)]


def _saved(write: Callable[..., Path]) -> Path | Failure:
    """Write in a worker: napari waits for the paths, but its window must go on drawing itself."""
    if QApplication.instance() is None:
        try:
            return write()
        except WsimilError as error:
            return Failure(str(error))
    loop = QEventLoop()
    ended: list[Path | Failure] = []
    saving = Saving(write, loop)
    saving.ended.connect(ended.append)
    saving.ended.connect(loop.quit)
    # No clicks meanwhile: the layers that are saved must not go away.
    loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    return ended[0] if ended else Failure("Saving was stopped; nothing was written.")


def _predictions(layers: list[tuple[Any, dict[str, Any], str]]) -> list[SlidePrediction]:
    """The different predictions noted on the layers."""
    found: dict[int, SlidePrediction] = {}
    for _, options, _ in layers:
        tag = options.get("metadata", {}).get(KEY)
        prediction = tag.get("prediction") if isinstance(tag, dict) else None
        if prediction is not None:
            found[id(prediction)] = prediction
    return list(found.values())
