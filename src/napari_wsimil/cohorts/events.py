"""What a cohort tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_wsimil.cohorts.records import Record


@dataclass(frozen=True)
class CohortEvent:
    """One report.

    Attributes
    ----------
    kind
        "begin": slides are known; "started": a slide is in hand; "progress": how far it is; "done", "failed": a slide ended
        (`record`); "again": a slide will be tried again (`text` says why); "notice": `text` is for the user; "end".
    done, failed, total
        Slides of the cohort, those of earlier runs included.
    name
        Of the slide, empty where the event is about none.
    record
        Of a slide that ended.
    text
        One sentence for people, or empty.
    stage, patches, of, rate
        Of "progress": what is being done, patches done and in all, patches per second.
    worker
        Where: an address, or empty for this process.
    """

    kind: Literal["begin", "started", "progress", "done", "failed", "again", "notice", "end"]
    done: int = 0
    failed: int = 0
    total: int = 0
    name: str = ""
    record: Record | None = None
    text: str = ""
    stage: str = ""
    patches: int = 0
    of: int = 0
    rate: float = 0.0
    worker: str = ""
