"""The results of a cohort as one table, CSV and Parquet: one row for each slide."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from napari_wsimil.cohorts.folder import PARQUET, RESULTS
from napari_wsimil.errors import printable
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_wsimil.cohorts.records import Record
    from napari_wsimil.cohorts.request import Request
    from napari_wsimil.cohorts.slides import CohortSlide

WAITING = "waiting"
"""Status of a slide that has not ended yet."""

_TEXT, _NUMBER, _COUNT = "text", "number", "count"
_BEFORE = {"name": _TEXT, "slide": _TEXT, "status": _TEXT, "error": _TEXT, "predicted": _TEXT}
_SURE = {"confidence": _NUMBER, "uncertainty": _NUMBER}
"""Probability of the predicted class; entropy of all, 0 (sure) to 1."""
_AFTER = {
    "patches": _COUNT,
    "seconds": _NUMBER,
    "patches_per_second": _NUMBER,
    "mpp_x": _NUMBER,
    "mpp_y": _NUMBER,
    "model": _TEXT,
    "model_digest": _TEXT,
    "encoder": _TEXT,
    "encoder_digest": _TEXT,
    "precision": _TEXT,
    "device": _TEXT,
    "host": _TEXT,
    "attempts": _COUNT,
    "fingerprint": _TEXT,
    "notices": _TEXT,
    "files": _TEXT,
    "ended": _TEXT,
}


def columns(request: Request) -> dict[str, str]:
    """Name -> kind of the columns; those of the model are left out where there is none."""
    if request.task == "extract":
        left_out = {"predicted", "model", "model_digest"}
        return {name: kind for name, kind in (_BEFORE | _AFTER).items() if name not in left_out}
    return {**_BEFORE, **{f"prob_{name}": _NUMBER for name in request.classes}, **_SURE, **_AFTER}


def rows(slides: Sequence[CohortSlide], records: Mapping[str, Record], request: Request) -> list[dict[str, Any]]:
    """One row for each slide, in their order; None is what is not known."""
    model = {"model": request.model.id, "model_digest": request.model.digest} if request.model else {}
    fixed = {**model, "encoder": request.encoder.id, "encoder_digest": request.encoder.digest}
    return [
        {
            "name": slide.name,
            "slide": printable(str(slide.path)),
            "status": WAITING,
            **fixed,
            **(_row(records[slide.name]) if slide.name in records else {}),
        }
        for slide in slides
    ]


def _row(record: Record) -> dict[str, Any]:
    done = record.status == "done"
    rate = rate_of(record)
    return {
        "status": record.status,
        "error": record.error or None,
        "predicted": record.predicted_class,
        **{f"prob_{name}": value for name, value in record.probabilities.items()},
        "confidence": record.confidence,
        "uncertainty": record.uncertainty,
        "patches": record.patch_count if done else None,
        "seconds": record.seconds,
        "patches_per_second": round(rate, 2) if rate is not None else None,
        "mpp_x": record.mpp_level0[0] if record.mpp_level0 else None,
        "mpp_y": record.mpp_level0[1] if record.mpp_level0 else None,
        "precision": record.precision or None,
        "device": record.device or None,
        "host": record.host or None,
        "attempts": record.attempts,
        "fingerprint": record.fingerprint or None,
        "notices": " ".join(record.notices) or None,
        "files": ";".join(record.files) or None,
        "ended": record.ended,
    }


def rate_of(record: Record) -> float | None:
    """Patches per second of the whole attempt; None where it encoded none, or not all."""
    whole = record.encoded is None or record.encoded >= record.patch_count > 0
    return record.patch_count / record.seconds if record.status == "done" and whole and record.seconds > 0 else None


def write_tables(folder: Path, slides: Sequence[CohortSlide], records: Mapping[str, Record], request: Request) -> bool:
    """Write `results.csv` and `results.parquet`; returns False where pyarrow is missing, and with it the second."""
    kinds, found = columns(request), rows(slides, records, request)
    with written_whole(folder / RESULTS) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(kinds), restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows([{name: "" if value is None else value for name, value in row.items()} for row in found])
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        return False
    types = {_TEXT: pa.string(), _NUMBER: pa.float64(), _COUNT: pa.int64()}
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
    table = pa.Table.from_pylist([{name: row.get(name) for name in kinds} for row in found], schema=schema)
    with written_whole(folder / PARQUET) as part:
        parquet.write_table(table, part)
    return True
