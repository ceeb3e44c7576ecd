"""A manifest on its way out: what `read_manifest` reads."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING

from napari_wsimil.errors import TrainingError, printable
from napari_wsimil.files import written_whole
from napari_wsimil.training.data.manifest import FILES_BETWEEN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_wsimil.training.data.manifest import Case


def write_manifest(cases: Sequence[Case], path: Path) -> Path:
    """Write a manifest, whole or not at all; columns that no case has a value for are left out.

    Paths below the folder of the manifest are written relative to it, so that both can be moved together.

    Raises
    ------
    TrainingError
        There is no case, the file can't be written, or a file name can't be written in UTF-8.
    """
    if not cases:
        raise TrainingError(f"There are no slides to write to {path}; list some first.")
    rows = [_cells(case, path.absolute().parent) for case in cases]
    columns = [name for name in rows[0] if name in ("slide", "name", "label") or any(row[name] for row in rows)]
    try:
        with written_whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except UnicodeEncodeError as error:
        raise TrainingError(f"{printable(str(error.object))} can't be written in UTF-8; rename that file.") from error
    except OSError as error:
        raise TrainingError(f"{path} can't be written ({error.strerror}); choose another file.") from error
    return path


def _cells(case: Case, folder: Path) -> dict[str, str]:
    return {
        "slide": _written(case.path, folder),
        "name": case.name,
        "label": case.label or "",
        "patient": "" if case.patient == case.name else case.patient,
        "split": case.split or "",
        "fold": "" if case.fold is None else str(case.fold),
        "annotation": "" if case.annotation is None else _written(case.annotation, folder),
        "mpp": "" if case.mpp is None else f"{case.mpp:.10g}",
        "files": FILES_BETWEEN.join(_written(file, folder) for file in case.files),
    }


def _written(path: Path, folder: Path) -> str:
    whole = path.absolute()
    normal = type(whole)(os.path.normpath(whole))
    return str(normal.relative_to(folder)) if normal.is_relative_to(folder) else str(normal)
