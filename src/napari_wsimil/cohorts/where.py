"""Where the slides of a cohort are done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_wsimil.cohorts.crews import InProcess
from napari_wsimil.cohorts.events import CohortEvent
from napari_wsimil.errors import WsimilError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_wsimil.cohorts.crews import Crew
    from napari_wsimil.cohorts.running import CohortRun


class Where:
    """Who works: `workers` processes here (None: as many as suit), none of them, or those of a scheduler."""

    def __init__(self, workers: int | None, scheduler: str | None, device: str) -> None:
        if workers is not None and scheduler is not None:
            raise WsimilError("Give either workers, on this computer, or a scheduler with workers of its own; not both.")
        if workers is not None and workers < 0:
            raise WsimilError(f"There can't be {workers} workers; give 0 for this process, or how many processes to start.")
        self.workers, self.scheduler, self.device = workers, scheduler, device

    @property
    def worker_device(self) -> str:
        """The device as workers see it."""
        from napari_wsimil.cohorts.local import local_device

        return self.device if self.scheduler is not None or self.workers == 0 else local_device(self.device)

    @contextmanager
    def crew(self, run: CohortRun) -> Iterator[Crew]:
        """Workers for a run, closed at the end."""
        crew: Crew
        if self.scheduler is None and self.workers == 0:
            crew = InProcess(run.report, run.stop)
            yield crew
            return
        from napari_wsimil.cohorts.dask_crew import DaskCrew
        from napari_wsimil.cohorts.local import local_client, remote_client, shares

        if self.scheduler is not None:
            client = remote_client(self.scheduler)
        else:
            own, said = shares(self.workers, self.device)
            if said:
                run.tell(CohortEvent("notice", text=said))
            # more workers than slides would only wait
            client = local_client(own[: max(1, run.left)])
        with client as connected:
            crew = DaskCrew(connected, run.report, run.stop)
            try:
                yield crew
            finally:
                crew.close()
