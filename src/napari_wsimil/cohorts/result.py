"""How a cohort ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_wsimil.cohorts.folder import REPORT, RESULTS

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.cohorts.records import Record


@dataclass(frozen=True)
class CohortResult:
    """How a cohort ended.

    Attributes
    ----------
    folder
        Where everything is.
    records
        Of all slides that were asked for, in that order.
    new
        Names of those that this run worked at; the others were done already.
    """

    folder: Path
    records: tuple[Record, ...]
    new: frozenset[str] = frozenset()

    @property
    def done(self) -> tuple[Record, ...]:
        """Records of the slides that are done."""
        return tuple(record for record in self.records if record.status == "done")

    @property
    def failed(self) -> tuple[Record, ...]:
        """Records of the slides that failed."""
        return tuple(record for record in self.records if record.status == "failed")

    @property
    def table(self) -> Path:
        """The results as CSV; beside it as Parquet, where pyarrow is installed."""
        return self.folder / RESULTS

    @property
    def report(self) -> Path:
        """The report, one HTML page."""
        return self.folder / REPORT
