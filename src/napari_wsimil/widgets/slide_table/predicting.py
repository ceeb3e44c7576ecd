"""Runs over the slides of the table: started, shown while they go on, and noted when they have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import Notification, notification_manager
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_wsimil.widgets.job import Failure
from napari_wsimil.widgets.slide_table.pace import Pace
from napari_wsimil.widgets.slide_table.recipe import predicting_slides
from napari_wsimil.widgets.slide_table.run import CohortJob, CohortWish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.cohorts import CohortEvent
    from napari_wsimil.cohorts.overview import SlideRow
    from napari_wsimil.widgets.session import Session
    from napari_wsimil.widgets.slide_table.controls import ProgressLine
    from napari_wsimil.widgets.slide_table.listing import SlideList
    from napari_wsimil.widgets.slide_table.model import SlideTableModel
    from napari_wsimil.widgets.slide_table.search import Found, Source
    from napari_wsimil.widgets.slide_table.settings import RunSettings

MOST_NAMED = 50
"""Slides that a recipe names one by one."""


class SlideRuns(QObject):
    """One run at a time over the slides of a list.

    Signals
    -------
    moved
        A slide ended: what can be pressed may have changed.
    ended
        The run came to its end; carries the `CohortResult`, a `Failure`, or None after a cancel.
    """

    moved = Signal()
    ended = Signal(object)

    def __init__(
        self, slides: SlideList, model: SlideTableModel, progress: ProgressLine, session: Session, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._slides, self._model, self._progress, self._session = slides, model, progress, session
        self._dock = parent
        self._job: CohortJob | None = None
        self._wish: CohortWish | None = None
        self._source: Source | None = None
        self._pace = Pace(0)
        self._stopping = False

    @property
    def running(self) -> bool:
        """Whether slides are being predicted."""
        return self._job is not None

    @property
    def stopping(self) -> bool:
        """Whether the run was told to end, and has not yet."""
        return self._stopping

    def start(self, found: Found, rows: Sequence[SlideRow], settings: RunSettings) -> None:
        """Predict some of the slides that were found; those that are done stay as they are."""
        names = [row.name for row in rows]
        self._slides.expect(names)
        self._model.changed(range(len(self._slides.rows)))
        self._source, self._stopping = found.source, False
        self._wish = CohortWish([row.slide for row in self._slides.rows], names, found.results, settings)
        self._pace = Pace(len(names))
        self._progress.show_pace(self._pace)
        self._job = CohortJob(self._wish, self._take, self._end, self._dock)

    def cancel(self) -> None:
        """Stop within the slide in hand; nothing is lost."""
        if self._job is not None:
            self._job.cancel()
            self._stopping = True
            self._progress.tell("Stopping")

    def _take(self, events: Sequence[CohortEvent]) -> None:
        """Show what happened; many events are one change of the window."""
        if self._wish is None or not events:
            return
        changed = {self._slides.take(event, self._wish.results) for event in events}
        for event in events:
            self._pace.take(event)
        some_ended = any(event.kind in ("done", "failed") for event in events)
        if some_ended and self._slides.arranged:
            self._model.rearranged(self._slides.arrange)
        self._model.changed(at for at in changed if at is not None)
        if not self._stopping:
            self._progress.show_pace(self._pace)
        if some_ended:
            self.moved.emit()

    def _end(self, outcome: Any) -> None:
        self._job, self._stopping = None, False
        self._model.rearranged(self._slides.settle)
        self._model.changed(range(len(self._slides.rows)))
        if isinstance(outcome, Failure):
            if outcome.error is not None:
                notification_manager.dispatch(Notification.from_exception(outcome.error))
        elif outcome is not None:
            self._note()
        self.ended.emit(outcome)

    def _note(self) -> None:
        """Remember how it was done, as Python and as a command."""
        wish = self._wish
        if wish is None or self._source is None:
            return
        some = len(wish.only) <= MOST_NAMED and len(wish.only) < len(wish.slides)
        only = list(wish.only) if some else None
        store = wish.settings.store
        self._session.did(predicting_slides(self._source, wish.results, wish.settings, len(wish.only), only=only, store=store))
