"""One hyper-parameter in the form: the widget that fits it, its default one click away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QLineEdit, QSpinBox, QToolButton, QVBoxLayout, QWidget

from napari_wsimil.errors import TrainingError
from napari_wsimil.widgets.parts import narrow_combo, say, text_label
from napari_wsimil.widgets.training.settings.number_box import NumberBox, leave_wheel, slim

if TYPE_CHECKING:
    from napari_wsimil.training.runs.forms import FormField
    from napari_wsimil.widgets.training.settings.chosen import Chosen

MOST = 2**31 - 1


class FieldRow(QWidget):
    """The editor of one field, and a button that is there while it differs from its default.

    Signals
    -------
    changed
        Somebody chose another value, or typed what is none.

    Parameters
    ----------
    field
        What is edited.
    chosen
        Where values are kept.
    """

    changed = Signal()

    def __init__(self, field: FormField, chosen: Chosen) -> None:
        super().__init__()
        self._field, self._chosen = field, chosen
        self.label = QLabel(field.title)
        self.label.setWordWrap(True)
        self.editor: Any = _editor(field)
        self.editor.setObjectName(field.name)
        self.editor.setAccessibleName(field.title)
        self.label.setBuddy(self.editor)
        self.reset_button = QToolButton()
        self.reset_button.setObjectName(f"reset_{field.name}")
        self.reset_button.setText("↺")
        self.reset_button.setAutoRaise(True)
        policy = self.reset_button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.reset_button.setSizePolicy(policy)
        self.problem = text_label()
        say(self.problem, "")
        across = QHBoxLayout()
        across.setSpacing(2)
        across.addWidget(self.editor, 1)
        across.addWidget(self.reset_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(across)
        column.addWidget(self.problem)
        self.take(field)
        self._connect()

    def take(self, field: FormField) -> None:
        """Edit the field of another method that has the same name and kind; shows what is chosen there."""
        self._field = field
        for part in (self.label, self.editor):
            part.setToolTip(field.about())
        self.reset_button.setToolTip(f"Back to the default, {field.shown(field.default) or 'none'}")
        self.reset_button.setAccessibleName(f"Default of {field.title}")
        self._show(self._chosen.value(field))
        say(self.problem, "")
        self._mark()

    def reset(self) -> None:
        """Back to the default."""
        self._show(self._field.default)
        self._choose(self._field.default)

    def _connect(self) -> None:
        self.reset_button.clicked.connect(self.reset)
        kind = self._field.kind
        if kind == "switch":
            self.editor.toggled.connect(self._choose)
        elif kind == "choice":
            self.editor.currentIndexChanged.connect(lambda _: self._choose(self.editor.currentData()))
        elif kind == "text":
            self.editor.textChanged.connect(self._typed)
        else:
            self.editor.valueChanged.connect(self._choose)

    def _typed(self, text: str) -> None:
        try:
            self._choose(self._field.read(text))
        except TrainingError as error:
            self._chosen.refuse(self._field, str(error))
            self._after(str(error))

    def _choose(self, value: Any) -> None:
        self._after(self._chosen.set(self._field, value))

    def _after(self, problem: str) -> None:
        say(self.problem, problem)
        self._mark()
        self.changed.emit()

    def _show(self, value: Any) -> None:
        field, editor = self._field, self.editor
        with QSignalBlocker(editor):
            if field.kind == "switch":
                editor.setChecked(value)
            elif field.kind == "choice":
                editor.setCurrentIndex(editor.findData(value))
            elif field.kind == "text":
                editor.setText(field.shown(value))
                editor.setPlaceholderText(field.shown(field.default) or ("automatic" if field.default is None else "none"))
            else:
                _limit(editor, field)
                editor.setValue(value)

    def _mark(self) -> None:
        differs = self._chosen.differs(self._field)
        self.reset_button.setVisible(differs)
        font = self.label.font()
        font.setBold(differs)
        self.label.setFont(font)


def _editor(field: FormField) -> QWidget:
    """The widget that fits a field."""
    if field.kind == "switch":
        return QCheckBox()
    if field.kind == "choice":
        combo = narrow_combo("")
        combo.currentTextChanged.disconnect(combo.setToolTip)
        for choice, words in zip(field.choices, field.words, strict=True):
            combo.addItem(words, choice)
        slim(combo)
        return combo
    if field.kind == "text":
        return QLineEdit()
    box = QSpinBox() if field.kind == "whole" else NumberBox()
    leave_wheel(box)
    return box


def _limit(editor: Any, field: FormField) -> None:
    if isinstance(editor, NumberBox):
        editor.set_limits(field.least, field.most, above=field.above, below=field.below)
    else:
        least = -MOST if field.least is None else int(field.least) + field.above
        most = MOST if field.most is None else int(field.most) - field.below
        editor.setRange(least, most)
