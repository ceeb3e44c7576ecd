"""Which model packages are on this computer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.errors import ModelError
from napari_wsimil.packages.model import BUNDLED, SPEC, read_model_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_wsimil.packages.spec import ModelSpec

FOLDERS_VARIABLE = "NAPARI_WSIMIL_MODELS"
"""Environment variable: folders, separated like PATH, whose subfolders are packages (a laboratory's shared models)."""


@dataclass(frozen=True)
class InstalledModel:
    """A package that was found.

    Attributes
    ----------
    name
        What `load_model` takes.
    folder
        Where it lies.
    spec
        What it says of itself; None where it can't be read.
    problem
        Why it can't be read, one sentence, else None.
    """

    name: str
    folder: Path
    spec: ModelSpec | None
    problem: str | None = None


def installed_models() -> tuple[InstalledModel, ...]:
    """Find the bundled package, then those below the folders in `NAPARI_WSIMIL_MODELS`; broken ones say why."""
    return tuple(_describe(name, folder) for name, folder in _folders())


def _folders() -> Iterator[tuple[str, Path]]:
    if BUNDLED.is_dir():
        yield "bundled", BUNDLED
    for parent in filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)):
        for spec in sorted(Path(parent).expanduser().glob(f"*/{SPEC}")):
            yield str(spec.parent), spec.parent


def _describe(name: str, folder: Path) -> InstalledModel:
    try:
        return InstalledModel(name, folder, read_model_spec(folder))
    except ModelError as error:
        return InstalledModel(name, folder, None, str(error))
