"""The buttons above the table and the line below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize
from qtpy.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QWidget,
)
from superqt import QElidingLabel
from superqt.utils import QFlowLayout

from napari_wsimil.widgets.copying import CopyButton

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.widgets.session import Session
    from napari_wsimil.widgets.slide_table.pace import Pace

STEPS = 1000
"""Of the progress bar."""


class Controls(QWidget):
    """All that the table is steered with, in as many lines as the width asks for.

    `report_button` and `copy_button` are about results, and are laid out beside the line that tells of them.

    Parameters
    ----------
    session
        Remembers what was done, to be copied as Python or as a command.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.open_button = _button("open_folder", "Open folder…", "List all slides of a folder, with all folders in it")
        self.manifest_button = _button(
            "open_manifest", "Open manifest…", "List the slides of a table (CSV) with their labels, or of a list of paths (TXT)"
        )
        self.filter_field = QLineEdit()
        self.filter_field.setObjectName("filter")
        self.filter_field.setPlaceholderText("Filter by name, label, class")
        self.filter_field.setToolTip("Show only slides with these words in name, label, patient, class or status")
        self.filter_field.setAccessibleName("Filter slides")
        self.filter_field.setClearButtonEnabled(True)
        self.filter_field.setMinimumWidth(180)
        self.wrong_box = QCheckBox("Wrong ones")
        self.wrong_box.setObjectName("wrong_only")
        self.wrong_box.setToolTip("Show only slides whose predicted class is not their label")
        self.uncertain_button = _button(
            "most_uncertain", "Most uncertain first", "Begin with the slides that the model is least sure of"
        )
        self.next_button = _button(
            "label_next",
            "Label next",
            "Open the slide whose label would teach the model most, with the patches it is least sure of",
        )
        self.predict_button = _button("predict_all", "Predict all", "")
        bold = self.predict_button.font()
        bold.setBold(True)
        self.predict_button.setFont(bold)
        self.selected_button = _button("predict_selected", "Predict selected", "")
        self.retry_button = _button("retry_failed", "Retry failed", "Try the slides again that failed")
        self.cancel_button = _button("cancel_all", "Cancel", "Stop soon; what is done is kept, and Predict all goes on with it")
        self.report_button = _button("open_report", "Open report", "One page about all slides, in the web browser")
        self.copy_button = CopyButton(session)
        self.more = MoreButton()
        self._lay_out()

    def _lay_out(self) -> None:
        flow = QFlowLayout(self)
        flow.setContentsMargins(0, 0, 0, 0)
        flow.setHorizontalSpacing(6)
        flow.setVerticalSpacing(4)
        for part in (
            *(self.open_button, self.manifest_button, self.predict_button, self.selected_button, self.retry_button),
            *(self.cancel_button, self.filter_field, self.wrong_box, self.uncertain_button, self.next_button),
            self.more,
        ):
            flow.addWidget(part)
        self._flow = flow
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def offer_start(self, counts: Sequence[int], model: str, *, listed: bool, proposals: bool) -> None:
        """Nothing is being done: what can be begun.

        Parameters
        ----------
        counts
            Slides that are not predicted yet, that are selected and not done, and that failed.
        model
            With what they would be predicted, in words.
        listed
            Whether there are slides at all.
        proposals
            Whether there are slides worth a label.
        """
        whats = ("that {is} not predicted yet", "that {is} selected and not done", "that failed")
        buttons = (self.predict_button, self.selected_button, self.retry_button)
        for button, count, what in zip(buttons, counts, whats, strict=True):
            button.setEnabled(count > 0)
            slides = "the slide" if count == 1 else f"the {count:,} slides"
            button.setToolTip(f"Predict {slides} {what.format_map({'is': 'is' if count == 1 else 'are'})}, with {model}")
        for part in (self.open_button, self.manifest_button):
            part.setEnabled(True)
        self.cancel_button.setEnabled(False)
        self._offer_list(listed)
        self.next_button.setEnabled(proposals)
        self.more.results.setEnabled(listed)

    def offer_stop(self, *, stopping: bool = False) -> None:
        """Something is being done: it can be stopped, unless it is stopping already."""
        begin = (self.open_button, self.manifest_button, self.predict_button, self.selected_button, self.retry_button)
        for part in (*begin, self.more.results):
            part.setEnabled(False)
        self.cancel_button.setEnabled(not stopping)

    def _offer_list(self, listed: bool) -> None:
        for part in (self.filter_field, self.wrong_box, self.uncertain_button, self.more.copy, self.more.labels):
            part.setEnabled(listed)

    def sizeHint(self) -> QSize:
        """As high as the lines at this width."""
        return QSize(self.width(), self._flow.heightForWidth(self.width()))

    def fit(self) -> None:
        """Be as high as the lines at this width."""
        self.setFixedHeight(self._flow.heightForWidth(self.width()))


class MoreButton(QPushButton):
    """What is needed less often, in a menu."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("more")
        self.setText("More")
        self.setToolTip("Results folder, copy, labels")
        menu: Any = QMenu(self)
        menu.setToolTipsVisible(True)
        self.results: Any = menu.addAction("Results folder…")
        self.copy: Any = menu.addAction("Copy table")
        self.copy.setToolTip("Copy the slides that are shown, for a spreadsheet")
        self.labels: Any = menu.addAction("Save labels…")
        self.labels.setToolTip("Save slides and labels as a manifest (CSV) to train from")
        menu.addSeparator()
        self.close_before: Any = menu.addAction("Close the slide before")
        self.close_before.setCheckable(True)
        self.close_before.setChecked(True)
        self.close_before.setToolTip(
            "When a slide is opened from the table, close the one opened before, so that memory suffices"
        )
        self.setMenu(menu)


class ProgressLine(QWidget):
    """How far a run is; or one line about the slides."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setObjectName("cohort_progress")
        self.bar.setAccessibleName("Progress of all slides")
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(12)
        self.bar.setFixedWidth(160)
        self.bar.setRange(0, STEPS)
        self.label = QElidingLabel()
        self.label.setObjectName("cohort_state")
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar)
        row.addWidget(self.label, 1)
        self.tell("")

    def show_pace(self, pace: Pace) -> None:
        """Show how far a run is."""
        self.bar.setValue(round(STEPS * pace.done / max(pace.count, 1)))
        self.bar.show()
        self._say(pace.text())

    def tell(self, text: str) -> None:
        """Say something else."""
        self.bar.hide()
        self._say(text)

    def _say(self, text: str) -> None:
        if text != self.label.text():
            self.label.setText(text)
            self.label.setToolTip(text)


def _button(name: str, text: str, tip: str) -> QAbstractButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    return button
