"""Which slides choose the epoch of a run, as its folder says from its first moment on."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ValidationSlide:
    """A slide that chooses the epoch.

    Attributes
    ----------
    name
        In the run.
    path
        Its file, which is no slide where features were given.
    mpp
        What its level 0 measures in µm per pixel where the manifest says so.
    """

    name: str
    path: Path
    mpp: float | None = None


def validation_slides(folder: str | Path) -> tuple[ValidationSlide, ...]:
    """In the order of the manifest, by what the run wrote; empty where it has written nothing yet.

    Parameters
    ----------
    folder
        Of a run; of a cross-validation the slides of the fold that was begun last count.
    """
    whole = Path(folder)
    written = [path for path in (whole / "manifest.csv", *whole.glob("fold-*/manifest.csv")) if path.is_file()]
    if not written:
        return ()
    with max(written, key=lambda path: path.stat().st_mtime).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("split") == "validation"]
    return tuple(ValidationSlide(row["name"], Path(row["slide"]), _number(row.get("mpp"))) for row in rows)


def _number(text: str | None) -> float | None:
    return float(text) if text else None
