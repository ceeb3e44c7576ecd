"""Many slides: found in folders, lists and manifests, predicted or extracted on Dask, resumable, each done exactly once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_wsimil.cohorts.events import CohortEvent
    from napari_wsimil.cohorts.jobs import extract_cohort, predict_cohort
    from napari_wsimil.cohorts.labels import save_labels
    from napari_wsimil.cohorts.overview import SlideRow, label_next, slide_table
    from napari_wsimil.cohorts.records import Record
    from napari_wsimil.cohorts.result import CohortResult
    from napari_wsimil.cohorts.slides import CohortSlide, find_slides

_HOMES = {
    "CohortEvent": "events",
    "CohortResult": "result",
    "CohortSlide": "slides",
    "Record": "records",
    "SlideRow": "overview",
    "extract_cohort": "jobs",
    "find_slides": "slides",
    "label_next": "overview",
    "predict_cohort": "jobs",
    "save_labels": "labels",
    "slide_table": "overview",
}

__all__ = [
    "CohortEvent",
    "CohortResult",
    "CohortSlide",
    "Record",
    "SlideRow",
    "extract_cohort",
    "find_slides",
    "label_next",
    "predict_cohort",
    "save_labels",
    "slide_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
