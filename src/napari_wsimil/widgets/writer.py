"""napari's File > Save: the prediction behind the chosen layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.export_dialog import save_as
from napari_wsimil.widgets.slide_layer import KEY

if TYPE_CHECKING:
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
    try:
        return [str(save_as(found[0], path))]
    except WsimilError as error:
        show_error(str(error))
        return []


def _predictions(layers: list[tuple[Any, dict[str, Any], str]]) -> list[SlidePrediction]:
    """The different predictions noted on the layers."""
    found: dict[int, SlidePrediction] = {}
    for _, options, _ in layers:
        tag = options.get("metadata", {}).get(KEY)
        prediction = tag.get("prediction") if isinstance(tag, dict) else None
        if prediction is not None:
            found[id(prediction)] = prediction
    return list(found.values())
