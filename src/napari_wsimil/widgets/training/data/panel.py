"""The page of the dock "Training" that says which slides teach."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QStackedWidget

from napari_wsimil.errors import WsimilError
from napari_wsimil.training.data.drafting import Draft, Examination, Problem
from napari_wsimil.training.data.drafting.words import checking_text, counts_text
from napari_wsimil.widgets.parts import Column, colour_as_error, follow, say, text_label
from napari_wsimil.widgets.property_table import copy_text
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_table.asking import FileTarget
from napari_wsimil.widgets.training.data.adding import SlideAdder
from napari_wsimil.widgets.training.data.asking import ask_folder, ask_manifest, ask_where_to_save
from napari_wsimil.widgets.training.data.checker import DraftChecker
from napari_wsimil.widgets.training.data.controls import AddButtons, ForSelected, ListTools, undone
from napari_wsimil.widgets.training.data.larger import LargerTable
from napari_wsimil.widgets.training.data.model import LABEL, SPLIT, DraftModel
from napari_wsimil.widgets.training.data.problem_list import ProblemList
from napari_wsimil.widgets.training.data.remedies import RemedyDoer
from napari_wsimil.widgets.training.data.split_view import SplitView
from napari_wsimil.widgets.training.data.view import DraftView

if TYPE_CHECKING:
    from napari_wsimil.training.data.drafting import DraftRow

HINT = (
    "Which slides teach the model?\n\nDrop a folder or a manifest (CSV) here, or press one of the buttons above.\n\n"
    "Slides in folders that are called by their class are labelled so; else label them here."
)
FILTERED = "No slide has these words."
"""What stands in place of the table."""


class DataPanel(FileTarget, Column):
    """Slides, labels, patients and their split.

    Attributes
    ----------
    draft
        What is shown; `draft.write(path)` makes the manifest of a run.
    problems
        What the last check found, the serious ones first.
    ready
        Whether a training would take the slides: all is checked, and nothing serious was found.

    Signals
    -------
    changed
        The slides, or what is known of them, are not what they were; also while they are being checked, and at the end of it.
    """

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.draft = _draft_of(viewer)
        self.problems: tuple[Problem, ...] = ()
        self.ready = False
        self.model = DraftModel(self.draft, self)
        self.view = DraftView(self.draft, self.model)
        self.adder = SlideAdder(viewer, self.draft, self)
        self.checker = DraftChecker(self.draft, self)
        self.remedies = RemedyDoer(self.draft, self)
        self.add_buttons, self.tools = AddButtons(), ListTools()
        self.for_selected = ForSelected(lambda: self.draft.labels)
        self.list = ProblemList()
        self.split = SplitView()
        self.state = text_label()
        self.notice = text_label()
        self.message = text_label()
        self.hint = QLabel(HINT)
        self._larger: LargerTable | None = None
        self._lay_out()
        self._connect()
        self._follow_draft()

    @property
    def folder_hint(self) -> Path | None:
        """Folder beside which a run would go: that of the manifest, or the one that holds all slides; None without slides."""
        if self.draft.manifest is not None:
            return self.draft.manifest.parent
        folders = {row.path.parent for row in self.draft.rows}
        if not folders:
            return None
        first = self.draft.rows[0].path.parent
        shared = next(
            (folder for folder in (first, *first.parents) if all(one.is_relative_to(folder) for one in folders)), first
        )
        return first if shared == Path(shared.anchor) else shared

    @property
    def checking(self) -> bool:
        """Whether slides are being looked for or looked at."""
        return self.adder.busy or self.checker.running

    def add(self, *paths: Path) -> None:
        """Add folders, manifests and slides."""
        self._complain("")
        self.adder.add(paths)

    def save_manifest(self, path: str) -> None:
        """Save the slides that take part as a manifest."""
        try:
            self.draft.saved(self.draft.write(path))
        except WsimilError as error:
            self._complain(str(error))
            return
        self._complain("")
        say(self.notice, f"Saved {Path(path).name}.")
        self.changed.emit()

    def show_larger(self) -> None:
        """Show the table in a window of its own, or bring that to the front."""
        if self._larger is None:
            self._larger = LargerTable(self, self.draft, self.model)
            self._larger.view.refused.connect(self._complain)
            self._larger.view.open_asked.connect(self._open_slide)
            self._larger.destroyed.connect(self._forget_larger)
        self._larger.show()
        self._larger.raise_()
        self._larger.activateWindow()

    def keyPressEvent(self, event: Any) -> None:
        """Ctrl+Z and Ctrl+Shift+Z, wherever the keyboard is on the page but in a field, which has its own."""
        if not undone(event, self.draft):
            super().keyPressEvent(event)

    def _lay_out(self) -> None:
        self.setObjectName("data")
        self.hint.setObjectName("data_hint")
        self.hint.setWordWrap(True)
        self.hint.setMargin(12)
        for label, name in ((self.state, "data_state"), (self.notice, "data_notice"), (self.message, "data_message")):
            label.setObjectName(name)
        self._middle = QStackedWidget()
        self._middle.addWidget(self.hint)
        self._middle.addWidget(self.view)
        column = self.column
        column.setContentsMargins(0, 0, 0, 0)
        for part in (
            *(self.add_buttons, self.tools, self._middle, self.for_selected, self.state, self.message, self.notice),
            *(self.list, self.split),
        ):
            column.addWidget(part)
        self._complain("")
        say(self.notice, "")
        follow(self._viewer.events.theme, lambda _=None: colour_as_error(self.message, self._viewer.theme), self)
        colour_as_error(self.message, self._viewer.theme)

    def _connect(self) -> None:
        add, tools = self.add_buttons, self.tools
        # the draft outlives the panel, and must not keep it
        self.draft.on_change = partial(_follow, ref(self))
        add.folder.clicked.connect(lambda: ask_folder(self, "Add the slides of a folder", self._add_path))
        add.manifest.clicked.connect(lambda: ask_manifest(self, self._add_path))
        add.listed.clicked.connect(self.adder.add_listed)
        add.open_slide.clicked.connect(self.adder.add_open_slide)
        self.dropped.connect(lambda given: self.add(*(given if isinstance(given, tuple) else (given,))))
        self.adder.begun.connect(self._begin_adding)
        self.adder.added.connect(self._tell_added)
        self.adder.refused.connect(self._refuse)
        tools.search.textChanged.connect(self._search)
        tools.undo.clicked.connect(self.draft.undo)
        tools.redo.clicked.connect(self.draft.redo)
        tools.larger.clicked.connect(self.show_larger)
        tools.save.triggered.connect(lambda: ask_where_to_save(self, self.draft, self.save_manifest))
        tools.copy.triggered.connect(lambda: copy_text(self.view.as_text()))
        tools.clear.triggered.connect(self.draft.clear)
        self.view.refused.connect(self._complain)
        self.model.refused.connect(self._complain)
        self.view.open_asked.connect(self._open_slide)
        self._selection().selectionChanged.connect(self._follow_selection)
        self.for_selected.labelled.connect(lambda text: self.view.change_selected(LABEL, text))
        self.for_selected.put.connect(lambda side: self.view.change_selected(SPLIT, side))
        self.list.wanted.connect(lambda remedy: self.remedies.do(remedy))
        self.list.pointed_out.connect(self._point_out)
        self.remedies.refused.connect(self._complain)
        self.split.dealt.connect(lambda shares: self.draft.deal(shares.validation, shares.test, shares.seed))
        self.checker.told.connect(self._take_check)
        self.checker.failed.connect(self._complain)

    def _follow_draft(self) -> None:
        """The draft was changed."""
        self.ready = False
        self.model.follow()
        self.view.fit_columns()
        self._follow_selection()
        listed = bool(self.draft.rows)
        self.tools.follow(self.draft)
        for part in (self.tools, self.for_selected):
            part.setVisible(listed or (part is self.tools and (self.draft.can_undo or self.draft.can_redo)))
        self._show_middle()
        self.checker.start()
        self._tell_state(None)
        self.changed.emit()

    def _take_check(self, found: Examination) -> None:
        self.problems, self.ready = found.problems, found.ready
        if found.finished:
            self.model.follow()  # sides were dealt out
        marks: dict[int, str] = {}
        for problem in found.problems:
            for key in problem.rows if problem.serious else ():
                marks[key] = f"{marks[key]}\n{problem.sentence}" if key in marks else problem.sentence
        self.model.mark(marks)
        listed = bool(found.rows)
        self.list.show_problems([problem for problem in found.problems if listed or problem.remedies])
        if found.finished or not self.draft.dealt:
            self.split.show_sides(found.sides, self.draft.classes, self.draft.shares, dealt=self.draft.dealt)
        self.split.setVisible(bool(self.draft.classes) and self.split.filled)
        self._tell_state(found)
        self.changed.emit()

    def _tell_state(self, found: Examination | None) -> None:
        if self.adder.busy:
            return
        text = counts_text(self.draft) if found is not None and found.finished else checking_text(self.draft, found)
        say(self.state, text)

    def _begin_adding(self, text: str) -> None:
        self._complain("")
        say(self.notice, "")
        say(self.state, text)
        self._enable_adding(False)

    def _tell_added(self, notices: tuple[str, ...]) -> None:
        say(self.notice, "\n".join(notices))
        self._enable_adding(True)
        self._tell_state(None if self.checker.running else self.draft.examine())

    def _refuse(self, sentence: str) -> None:
        self._enable_adding(True)
        self._complain(sentence)
        self._tell_state(None if self.checker.running else self.draft.examine())

    def _enable_adding(self, enabled: bool) -> None:
        self.add_buttons.setEnabled(enabled)

    def _search(self, text: str) -> None:
        self.model.search(text)
        self._show_middle()

    def _show_middle(self) -> None:
        self.hint.setText(FILTERED if self.draft.rows else HINT)
        self._middle.setCurrentIndex(int(bool(self.model.shown)))

    def _point_out(self, keys: tuple[int, ...]) -> None:
        """Select rows, all of which are shown."""
        if any(key not in self.model.shown for key in keys):
            self.tools.search.clear()
        self.view.select(keys)
        self.view.setFocus()

    def _follow_selection(self, *_: Any) -> None:
        self.for_selected.offer(len(self.view.selected()))

    def _open_slide(self, row: DraftRow) -> None:
        self._complain("")
        self._viewer.open(str(row.path), plugin="napari-wsimil")

    def _add_path(self, path: str) -> None:
        self.add(Path(path))

    def _complain(self, sentence: str) -> None:
        say(self.message, sentence)

    def _selection(self) -> Any:
        return self.view.selectionModel()

    def _forget_larger(self, *_: Any) -> None:
        self._larger = None


def _draft_of(viewer: Any) -> Draft:
    """The one that was begun in this window: what was typed in a dock that was closed is not lost."""
    session = session_of(viewer)
    if session.draft is None:
        session.draft = Draft()
    found: Draft = session.draft
    return found


def _follow(panel: ref[DataPanel]) -> None:
    found = panel()
    if found is not None:
        found._follow_draft()
