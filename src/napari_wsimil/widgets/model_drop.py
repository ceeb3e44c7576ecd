"""A model package that was dropped on the window: it becomes the chosen model of the dock "Slide analysis"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject

from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.docks import open_dock

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.packages import Model

SPEC = "model.json"
"""In the folder of every package."""


def package_of(path: Path) -> Path | None:
    """The folder of the model package that is meant by a path: itself, or its `model.json`; None where it is none."""
    if path.name == SPEC and path.is_file():
        return path.parent
    return path if (path / SPEC).is_file() else None


def choose_package(viewer: Any, folder: Path) -> None:
    """Choose a model package in the dock, which is opened if need be; what is wrong with it is told in one sentence."""
    dock = open_dock(viewer, "Slide analysis")
    read_in_background(str(folder.absolute()), lambda: _loaded(folder), _Chooser(dock).take)


def _loaded(folder: Path) -> Model:
    """The package as it will be used; this loads torch."""
    from napari_wsimil.packages import load_model

    return load_model(folder.absolute())


class _Chooser(QObject):
    """Gets a package that was read, unless its dock is gone by then.

    Parameters
    ----------
    dock
        A `SlideAnalysis`.
    """

    def __init__(self, dock: Any) -> None:
        super().__init__(dock)
        self._dock = dock

    def take(self, found: tuple[str, Any]) -> None:
        """Choose it, or say why not."""
        folder, model = found
        if isinstance(model, Exception):
            show_error(str(model))
        else:
            self._dock.models.add_folder(folder)
            show_info(f"{model.title} is the chosen model now; press Predict to use it.")
        self.deleteLater()
