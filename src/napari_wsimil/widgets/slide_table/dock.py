"""The dock "Slides": many slides of a folder or a manifest, predicted in the background, opened by a click."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QUrl, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDesktopServices

from napari_wsimil.cohorts.folder import REPORT
from napari_wsimil.cohorts.labels import save_labels
from napari_wsimil.cohorts.overview import as_text, label_next
from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.asking import ask_folder
from napari_wsimil.widgets.docks import settle
from napari_wsimil.widgets.job import Failure
from napari_wsimil.widgets.property_table import copy_text
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_table.asking import ask_manifest, ask_where_labels, sure_to_lose_labels
from napari_wsimil.widgets.slide_table.frame import DockFrame
from napari_wsimil.widgets.slide_table.label_next import NONE_LEFT, LabelNext, reason
from napari_wsimil.widgets.slide_table.listing import SlideList
from napari_wsimil.widgets.slide_table.model import SlideTableModel
from napari_wsimil.widgets.slide_table.opening import SlideOpener
from napari_wsimil.widgets.slide_table.pictures import SlidePictures
from napari_wsimil.widgets.slide_table.predicting import SlideRuns
from napari_wsimil.widgets.slide_table.search import Found, SlideSearch
from napari_wsimil.widgets.slide_table.settings import model_title, run_settings
from napari_wsimil.widgets.slide_table.table import SlideView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.cohorts.overview import SlideRow
    from napari_wsimil.widgets.slide_table.search import Source

NOTHING = "Drop a folder of slides, or a manifest (CSV), here; or press Open folder… or Open manifest…"
FILTERED = "No slide passes the filter."


class SlideTable(DockFrame):
    """A table of many slides.

    Signals
    -------
    listed
        Slides were found and are shown.
    ended
        A run came to its end; carries the `CohortResult`, a `Failure`, or None after Cancel.
    """

    listed = Signal()
    ended = Signal(object)

    # napari hands over its viewer by this name; it can't read an annotation that is a string.
    def __init__(self, napari_viewer: Any) -> None:
        self._session = session_of(napari_viewer)
        super().__init__(napari_viewer, self._session)
        self._viewer = napari_viewer
        self._found: Found | None = None
        self.slides = SlideList()
        self.pictures = SlidePictures(self)
        self.model = SlideTableModel(self.slides, self.pictures)
        self.view = SlideView(self.slides, self.model)
        self.opener = SlideOpener(napari_viewer, self._session, self)
        self.search = SlideSearch(self)
        self.next = LabelNext(napari_viewer)
        self.runs = SlideRuns(self.slides, self.model, self.progress, self._session, self)
        self.show_in_middle(self.view)
        self._connect()
        self._follow_state()
        settle(self, "Slides")

    @property
    def running(self) -> bool:
        """Whether slides are being predicted."""
        return self.runs.running

    @property
    def results(self) -> Path | None:
        """Folder of the predictions; None while no slides are shown."""
        return None if self._found is None else self._found.results

    def open(self, source: Source, results: Path | None = None) -> None:
        """List the slides of a folder, a manifest or a list, or these slides; what is done of them is found in `results`.

        Without `results` that is the folder "predictions" beside the slides.
        """
        if self.running:
            self.complain("Slides are being predicted; cancel that first, or wait for its end.")
            return
        if self.slides.relabelled and self._found is not None and source != self._found.source:
            sure_to_lose_labels(self, lambda: self._look_for(source, results))
        else:
            self._look_for(source, results)

    def predict_all(self) -> None:
        """Predict all slides that are not done and did not fail."""
        self._predict(self.slides.of_status("not predicted"))

    def predict_selected(self) -> None:
        """Predict the selected slides; those that are done with these settings stay as they are."""
        self._predict(self._selected_to_do())

    def _selected_to_do(self) -> list[SlideRow]:
        return [row for row in self.view.selected_rows() if row.status in ("not predicted", "failed")]

    def retry_failed(self) -> None:
        """Try again what failed."""
        self._predict(self.slides.of_status("failed"))

    def propose_next(self) -> None:
        """Open the slide whose label would teach most, and say why."""
        row = self.next.propose(self.slides.rows)
        if row is None:
            self.progress.tell(NONE_LEFT)
            return
        self.progress.tell(reason(row))
        self.view.select(row.name)
        self._open_row(row)

    def cancel(self) -> None:
        """Stop soon; nothing is lost."""
        if self.search.running:
            self.search.stop()
            self._tell_counts("Stopped. ")
        self.runs.cancel()
        self._follow_state()

    def choose_results(self, folder: str | Path) -> None:
        """Keep predictions in another folder; what it holds of these slides is shown."""
        if self._found is not None and not self.running:
            self._look_for(self._found.source, Path(folder).absolute())

    def save_labels(self, path: str) -> None:
        """Save slides and labels as a manifest."""
        if self._found is None:
            return
        try:
            written = save_labels(self.slides.rows, path, manifest=self._found.manifest)
        except WsimilError as error:
            self.complain(str(error))
            return
        self.slides.relabelled = False
        self.complain("")
        self.progress.tell(f"Saved {written.name}")
        self._follow_state()

    def enterEvent(self, event: Any) -> None:
        """Another model may have been chosen elsewhere."""
        super().enterEvent(event)
        self._follow_state()

    def _look_for(self, source: Source, results: Path | None) -> None:
        self.complain("")
        self.progress.tell("Looking for slides")
        self.search.start(source, results)
        self._follow_state()

    def _take_found(self, found: Found) -> None:
        again = self._found is not None and self._found.source == found.source
        self._found = found
        self.model.refilled(lambda: self.slides.fill(found.rows, keep_labels=again))
        self.view.fit_columns()
        self._tell_counts()
        self._follow_state()
        self.listed.emit()

    def _not_found(self, sentence: str) -> None:
        self._tell_counts()
        self.complain(sentence)
        self._follow_state()

    def _predict(self, rows: Sequence[SlideRow]) -> None:
        found = self._found
        if found is None or self.running or not rows:
            return
        if not found.writable:
            ask_folder(self, f"{found.results} can't be written; choose a folder for the predictions", self.choose_results)
            return
        try:
            settings = run_settings(self._viewer)
        except WsimilError as error:
            self.complain(str(error))
            return
        self.complain("")
        self.runs.start(found, rows, settings)
        self._follow_state()

    def _end(self, outcome: Any) -> None:
        """A run has ended."""
        self._tell_counts("Stopped. " if outcome is None else "")
        if isinstance(outcome, Failure):
            self.complain(outcome.sentence.replace("choose another folder", "choose another folder (More, Results folder…)"))
        self._follow_state()
        self.ended.emit(outcome)

    def _tell_counts(self, before: str = "") -> None:
        if self._found is None:
            self.progress.tell("")
            return
        counts = [(len(self.slides.of_status(status)), status) for status in ("done", "failed")]
        parts = [f"{len(self.slides.rows):,} slides", *(f"{count:,} {status}" for count, status in counts if count)]
        self.progress.tell(f"{before}{' · '.join(parts)} · predictions in {self._found.results}")

    def _open_row(self, row: SlideRow) -> None:
        self.complain("")
        self.opener.close_before = self.controls.more.close_before.isChecked()
        self.opener.open(row)

    def _filter(self, _: Any = None) -> None:
        text, wrong = self.controls.filter_field.text(), self.controls.wrong_box.isChecked()
        self.model.rearranged(lambda: self.slides.filter(text, wrong=wrong))
        self._follow_state()

    def _open_report(self) -> None:
        if self._found is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._found.results / REPORT)))

    def _copy(self, rows: Sequence[SlideRow]) -> None:
        if rows:
            copy_text(as_text(rows))

    def _connect(self) -> None:
        controls, more = self.controls, self.controls.more
        controls.open_button.clicked.connect(lambda: ask_folder(self, "Open a folder of slides", self._open_path))
        controls.manifest_button.clicked.connect(lambda: ask_manifest(self, self._open_path))
        controls.predict_button.clicked.connect(self.predict_all)
        controls.selected_button.clicked.connect(self.predict_selected)
        controls.retry_button.clicked.connect(self.retry_failed)
        controls.cancel_button.clicked.connect(self.cancel)
        controls.report_button.clicked.connect(self._open_report)
        controls.uncertain_button.clicked.connect(self.view.most_uncertain_first)
        controls.next_button.clicked.connect(self.propose_next)
        controls.filter_field.textChanged.connect(self._filter)
        controls.wrong_box.toggled.connect(self._filter)
        more.results.triggered.connect(lambda: ask_folder(self, "Folder of the predictions", self.choose_results))
        more.copy.triggered.connect(lambda: self._copy([self.slides.rows[at] for at in self.slides.shown]))
        more.labels.triggered.connect(self._ask_where_labels)
        self.view.open_asked.connect(self._open_row)
        self.view.predict_asked.connect(self.predict_selected)
        chosen: Any = self.view.selectionModel()
        chosen.selectionChanged.connect(self._follow_state)
        self.view.copy_asked.connect(lambda: self._copy(self.view.selected_rows()))
        self.model.labelled.connect(self._relabelled)
        self.dropped.connect(self.open)
        self.taken_out.connect(self.cancel)
        self.search.told.connect(lambda count: self.progress.tell(f"Looking for slides: {count:,} found"))
        self.search.found.connect(self._take_found)
        self.search.refused.connect(self._not_found)
        self.opener.opened.connect(self.next.show_patches)
        self.opener.refused.connect(self.complain)
        self.runs.moved.connect(self._follow_state)
        self.runs.ended.connect(self._end)

    def _open_path(self, path: str) -> None:
        self.open(Path(path))

    def _ask_where_labels(self) -> None:
        if self._found is not None:
            beside = self._found.manifest or self.slides.rows[0].path
            ask_where_labels(self, str(beside.parent), self.save_labels)

    def _relabelled(self) -> None:
        self.view.fit_columns()
        self._follow_state()

    def _follow_state(self, *_: Any) -> None:
        """What can be pressed now."""
        listed = bool(self.slides.rows)
        counts = [
            len(self.slides.of_status("not predicted")),
            len(self._selected_to_do()),
            len(self.slides.of_status("failed")),
        ]
        if self.running:
            self.controls.offer_stop(stopping=self.runs.stopping)
        elif self.search.running:
            self.controls.offer_stop()
        else:
            self.controls.offer_start(
                counts, model_title(self._viewer), listed=listed, proposals=bool(label_next(self.slides.rows))
            )
        self.controls.report_button.setEnabled(self._found is not None and (self._found.results / REPORT).is_file())
        self.hint.setText(FILTERED if listed else NOTHING)
        self.show_table(bool(self.slides.shown))
