"""The slides that a model was trained on, so that a correction does not make it forget them, and those that judged it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wsimil.packages import Model, load_model
from napari_wsimil.packages.model import package_folder
from napari_wsimil.training.data.manifest import COLUMNS
from napari_wsimil.training.data.tables import find_column, read_table
from napari_wsimil.training.fine_tuning.generated import generated_manifest
from napari_wsimil.training.fine_tuning.old_slides import store_of
from napari_wsimil.training.runs.run_folder import MANIFEST, SETTINGS, sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

BUNDLED = "bundled-abmil"
"""Id of the model that comes with this program: it was trained on generated slides, which nobody keeps."""


@dataclass(frozen=True)
class Rehearsal:
    """Old slides of a model.

    Attributes
    ----------
    manifest
        Table of them: those to train on are rehearsed, those for validation judge, those of the test stay out. Generated
        slides are made when a fine-tuning needs them: the file is not there before.
    store
        Folder of their features; None: not known, the fine-tuning's own.
    notice
        What a user should know of them, one sentence, or "".
    """

    manifest: Path
    store: Path | None
    notice: str = ""


def usual_rehearsal(model: str | Path | Model) -> Rehearsal | None:
    """The slides of the run that made a model, or for the bundled one generated slides; None where they are not known.

    A package in the folder `model` of a run is of that run; one that was moved names the run, or the manifest, in its
    provenance.

    Raises
    ------
    ModelError
        There is no such model.
    """
    loaded = model if isinstance(model, Model) else load_model(model)
    if loaded.id == BUNDLED:
        notice = "Generated slides, as the bundled model was trained on, are shown again; others judge before and after."
        return Rehearsal(generated_manifest(loaded), None, notice)
    run = _run_of(loaded)
    if run is not None:
        return Rehearsal(run / MANIFEST, store_of(run / MANIFEST))
    listed = _listed(loaded.spec.training)
    if listed is None:
        return None
    notice = f"The run that made the model is gone; its slides are taken from {listed}."
    return Rehearsal(listed, store_of(listed), notice)


def usual_validation(model: str | Path | Model) -> Path | None:
    """The manifest whose validation slides judged the model, or None where they are not known.

    For a model that was fine-tuned these are those that judged it then, which may be of the run before it.
    """
    known = usual_rehearsal(model)
    if known is None:
        return None
    judges = _settings(known.manifest.parent).get("judges")
    if judges and Path(judges).is_file():
        return Path(judges)
    return known.manifest if known.manifest.name == MANIFEST and _judges(known.manifest) else None


def _judges(manifest: Path) -> bool:
    """Whether a manifest names validation slides, or will: one that is not there yet is of generated slides."""
    if not manifest.is_file():
        return True
    columns, rows = read_table(manifest)
    column = find_column(columns, COLUMNS["split"])
    return column is not None and any(row.cells.get(column, "").lower().startswith("val") for row in rows)


def _run_of(model: Model) -> Path | None:
    """The folder of the run: the one that the package lies in, or that its provenance names."""
    named = model.spec.training.get("run")
    beside = [] if model.source.startswith("hf:") else [package_folder(model.source).resolve().parent]
    for folder in [*beside, *([Path(named)] if isinstance(named, str) else [])]:
        if (folder / MANIFEST).is_file() and (folder / SETTINGS).is_file():
            return folder
    return None


def _listed(training: Mapping[str, Any]) -> Path | None:
    """The manifest that the provenance names, if it still is the same."""
    about = training.get("manifest")
    if not isinstance(about, dict) or not isinstance(about.get("path"), str):
        return None
    path = Path(about["path"])
    try:
        same = sha256(path.read_text("utf-8", "replace")) == about.get("sha256")
    except OSError:
        return None
    return path if same else None


def _settings(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
