"""Labels given to the slides of a table, kept as a manifest to train from."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.cohorts.slides import MANIFESTS
from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.manifest import Case, read_manifest
from napari_wsimil.training.data.manifest_writing import write_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.cohorts.overview import SlideRow


def save_labels(rows: Sequence[SlideRow], path: str | Path, *, manifest: str | Path | None = None) -> Path:
    """Write slides with their labels as a CSV that `read_manifest` reads; returns its path.

    Parameters
    ----------
    manifest
        Where the slides are from: its splits, folds and annotations are kept.

    Raises
    ------
    TrainingError
        It can't be written, `path` is no CSV, or the manifest can't be read any more.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in MANIFESTS - {".tsv"}:
        raise TrainingError(f"{path.name} is no name of a manifest; end it with .csv.")
    known = read_manifest(manifest, labelled=False).cases if manifest is not None else ()
    cases = {_place(case.path): case for case in known}
    return write_manifest([replace(cases.get(_place(row.path), _case(row)), label=row.label) for row in rows], path)


def _case(row: SlideRow) -> Case:
    return Case(row.name, row.path, row.label, row.patient or row.name, mpp=row.mpp)


def _place(path: Path) -> str:
    return os.path.normpath(path.absolute())
