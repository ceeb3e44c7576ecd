"""A model package that was dropped on the window: it becomes the chosen model of the dock "Slide analysis"."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject

from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.docks import open_dock
from napari_wsimil.widgets.model_list import models_changed

if TYPE_CHECKING:
    from napari_wsimil.packages import Model

SPEC = "model.json"
"""In the folder of every package."""


def package_of(path: Path) -> Path | None:
    """The model package that is meant by a path: its folder, a .zip with one, or its `model.json`; None where it is none."""
    if path.name == SPEC and path.is_file():
        return path.parent
    if _is_zip(path):
        return path if _holds_spec(path) else None
    return path if (path / SPEC).is_file() else None


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()


def _holds_spec(path: Path) -> bool:
    """Whether a .zip names a `model.json`, in it or in its only folder; what it is worth is found out in the worker."""
    try:
        with zipfile.ZipFile(path) as packed:
            return any(name.rpartition("/")[2] == SPEC and name.count("/") <= 1 for name in packed.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def choose_package(viewer: Any, package: Path) -> None:
    """Choose a model package in the dock, which is opened if need be; what is wrong with it is told in one sentence.

    A folder is used where it lies; a .zip, which somebody sent, is kept in the user's own library.
    """
    dock = open_dock(viewer, "Slide analysis")
    read_in_background(None, lambda: _loaded(package.absolute()), _Chooser(dock).take)


def _loaded(package: Path) -> tuple[str, Model]:
    """The name of a package and the package as it will be used; this loads torch."""
    from napari_wsimil.packages import add_to_library, load_model
    from napari_wsimil.packages.library import find_in_library

    if not _is_zip(package):
        return str(package), load_model(package)
    name = find_in_library(package) or add_to_library(package).name
    return name, load_model(name)


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
        _, result = found
        if isinstance(result, Exception):
            show_error(str(result))
        else:
            name, model = result
            kept = not Path(name).is_absolute()
            if kept:
                models_changed.emit()
            self._dock.models.choose(name)
            where = ", and in the list of models" if kept else ""
            show_info(f"{model.title} is the chosen model now{where}; press Predict to use it.")
        self.deleteLater()
