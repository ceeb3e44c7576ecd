"""Which model packages are on this computer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_wsimil.errors import ModelError
from napari_wsimil.packages.model import BUNDLED, SPEC, read_model_spec
from napari_wsimil.packages.places import NAME, library_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_wsimil.packages.spec import ModelSpec

Origin = Literal["bundled", "library", "folder"]
"""The model that comes with the program, one of the user's own, or one in a laboratory's folder."""

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
    origin
        Whose it is.
    """

    name: str
    folder: Path
    spec: ModelSpec | None
    problem: str | None = None
    origin: Origin = "folder"

    @property
    def title(self) -> str:
        """What people call it."""
        return self.folder.name if self.spec is None else self.spec.title or self.spec.id


def installed_models() -> tuple[InstalledModel, ...]:
    """Find the bundled package, the user's own (`library_folder`), then those below the folders in `NAPARI_WSIMIL_MODELS`.

    Broken ones say why.
    """
    return tuple(describe(name, folder, origin) for name, folder, origin in _folders())


def _folders() -> Iterator[tuple[str, Path, Origin]]:
    if BUNDLED.is_dir():
        yield "bundled", BUNDLED, "bundled"
    for spec in sorted(library_folder().glob(f"*/{SPEC}")):
        if NAME.fullmatch(spec.parent.name):
            yield spec.parent.name, spec.parent, "library"
    for parent in filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)):
        for spec in sorted(Path(parent).expanduser().glob(f"*/{SPEC}")):
            yield str(spec.parent), spec.parent, "folder"


def describe(name: str, folder: Path, origin: Origin = "folder") -> InstalledModel:
    """What the package in a folder says of itself, or why it can't be read."""
    try:
        return InstalledModel(name, folder, read_model_spec(folder), None, origin)
    except ModelError as error:
        return InstalledModel(name, folder, None, str(error), origin)
