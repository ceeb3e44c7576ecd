"""What is wrong with the slides, and buttons that put it right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication, QHBoxLayout, QLabel, QSizePolicy, QStyle, QVBoxLayout, QWidget
from superqt.utils import QFlowLayout

from napari_wsimil.widgets.parts import NarrowButton, say, text_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.training.data.drafting import Problem

    Words = tuple[str, ...]

MOST = 6
"""Problems that are shown; the others come when these are solved."""
ICON = 16


class ProblemList(QWidget):
    """Problems below each other, the serious ones first.

    Signals
    -------
    wanted
        A `Remedy` that was pressed.
    pointed_out
        Keys of the rows that a problem is about.
    """

    wanted = Signal(object)
    pointed_out = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("problems")
        self._boxes: dict[Words, ProblemBox] = {}
        self._column = QVBoxLayout()
        self._column.setSpacing(8)
        self.more = text_label()
        self.more.setObjectName("more_problems")
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addLayout(self._column)
        whole.addWidget(self.more)
        say(self.more, "")

    def show_problems(self, problems: Sequence[Problem]) -> None:
        """Show these in place of those before; those that are told in the same words stay where they are."""
        shown = {_words(problem): problem for problem in problems[:MOST]}
        for words in [words for words in self._boxes if words not in shown]:
            box = self._boxes.pop(words)
            self._column.removeWidget(box)
            box.hide()
            box.deleteLater()
        for at, (words, problem) in enumerate(shown.items()):
            if words not in self._boxes:
                self._boxes[words] = box = ProblemBox(problem)
                box.wanted.connect(self.wanted)
                box.pointed_out.connect(self.pointed_out)
            self._boxes[words].problem = problem
            self._column.insertWidget(at, self._boxes[words])
        left = len(problems) - MOST
        say(self.more, f"and {left:,} more" if left > 0 else "")
        self.setVisible(bool(problems))


class ProblemBox(QWidget):
    """One problem.

    Attributes
    ----------
    problem
        Where a later check tells of it in the same words, that one: its ways on know the rows of then.

    Signals
    -------
    wanted, pointed_out
        As of the list.
    """

    wanted = Signal(object)
    pointed_out = Signal(object)

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem
        self.setObjectName(f"problem_{problem.kind.replace(' ', '_')}")
        text = text_label(problem.sentence)
        text.setTextFormat(Qt.TextFormat.PlainText)
        line = QHBoxLayout()
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(_sign(problem.serious), 0, Qt.AlignmentFlag.AlignTop)
        line.addWidget(text, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(line)
        buttons = self._buttons()
        if buttons.count:
            column.addWidget(buttons)

    def _buttons(self) -> Buttons:
        buttons = Buttons()
        for number, remedy in enumerate(self.problem.remedies):
            button = buttons.add(remedy.title, remedy.title)
            button.clicked.connect(lambda _=False, number=number: self.wanted.emit(self.problem.remedies[number]))
        if self.problem.rows:
            what = "Select it" if len(self.problem.rows) == 1 else f"Select the {len(self.problem.rows):,}"
            select = buttons.add(what, "Select these slides in the table")
            select.clicked.connect(lambda: self.pointed_out.emit(self.problem.rows))
        return buttons


class Buttons(QWidget):
    """Buttons beside each other, in as many lines as the width asks for."""

    def __init__(self, indent: int = ICON + 6) -> None:
        super().__init__()
        self._flow = QFlowLayout(self)
        self._flow.setContentsMargins(indent, 0, 0, 0)
        self._flow.setHorizontalSpacing(6)
        self._flow.setVerticalSpacing(4)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.count = 0

    def add(self, title: str, tip: str) -> NarrowButton:
        """One more."""
        button = NarrowButton(title)
        button.setToolTip(tip)
        self._flow.addWidget(button)
        self.count += 1
        return button

    def hasHeightForWidth(self) -> bool:
        """The narrower, the more lines."""
        return True

    def heightForWidth(self, width: int) -> int:
        """As high as the lines at a width."""
        return int(self._flow.heightForWidth(width))

    def sizeHint(self) -> QSize:
        """As high as the lines at this width."""
        return QSize(240, self.heightForWidth(max(self.width(), 240)))


def _words(problem: Problem) -> Words:
    return (problem.sentence, f"{len(problem.rows)}", *(way.title for way in problem.remedies))


def _sign(serious: bool) -> QLabel:
    kind = QStyle.StandardPixmap.SP_MessageBoxWarning if serious else QStyle.StandardPixmap.SP_MessageBoxInformation
    style: Any = QApplication.style()
    sign = QLabel()
    sign.setPixmap(style.standardIcon(kind).pixmap(ICON, ICON))
    sign.setAccessibleName("Problem" if serious else "Note")
    sign.setFixedWidth(ICON)
    return sign
