"""The many hyper-parameters that few people change; made when somebody looks, a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QSpinBox, QVBoxLayout, QWidget

from napari_wsimil.widgets.parts import empty, form, heading
from napari_wsimil.widgets.training.settings.field_row import FieldRow
from napari_wsimil.widgets.training.settings.number_box import leave_wheel

if TYPE_CHECKING:
    from napari_wsimil.training.runs.forms import FormField
    from napari_wsimil.widgets.training.settings.chosen import Chosen

AT_ONCE = 3
"""Rows made between two looks at what the user does: one takes some milliseconds."""
WIDEST = "Learning rate falls.."
SMALLEST, LARGEST, PATCH_STEP = 32, 4096, 32


class MoreSettings(QWidget):
    """Patch size, the method's own hyper-parameters, and the settings of its training.

    Signals
    -------
    changed
        Something was changed.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.patch_size = QSpinBox()
        self.patch_size.setObjectName("patch_size")
        self.patch_size.setRange(SMALLEST - PATCH_STEP, LARGEST)
        self.patch_size.setSingleStep(PATCH_STEP)
        self.patch_size.setSuffix(" px")
        self.patch_size.setSpecialValueText("Automatic")
        self.patch_size.setValue(self.patch_size.minimum())
        self.patch_size.setToolTip("Side of the patches; automatic: what the encoder takes, or what the feature files hold")
        self.patch_size.valueChanged.connect(lambda _: self.changed.emit())
        leave_wheel(self.patch_size)
        self.rows: list[FieldRow] = []
        self._chosen: Chosen | None = None
        self._shown = ""
        self._waiting: list[FormField] = []
        self._titles = {"method": heading("Method"), "training": heading("Training")}
        self._forms = {group: _form() for group in self._titles}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(form([("Patch size", self.patch_size)], WIDEST))
        for group, title in self._titles.items():
            column.addWidget(title)
            column.addLayout(self._forms[group])
        self._making = QTimer(self)
        self._making.setInterval(0)
        self._making.timeout.connect(self._make_some)

    @property
    def patch_side(self) -> int | None:
        """Side of the patches in px; None: automatic."""
        value = self.patch_size.value()
        return value if value >= SMALLEST else None

    @property
    def ready(self) -> bool:
        """Whether all rows of the method are there."""
        return self._chosen is not None and self._shown == self._chosen.form.name and not self._waiting

    def take(self, chosen: Chosen) -> None:
        """Turn to the method that is chosen."""
        self._chosen = chosen
        if self.isVisible():
            self._begin()

    def showEvent(self, event: object) -> None:
        """Somebody looks."""
        super().showEvent(event)  # type: ignore[arg-type]
        self._begin()

    def _begin(self) -> None:
        chosen = self._chosen
        if chosen is None or self._shown == chosen.form.name:
            return
        self._shown = chosen.form.name
        self.rows = []
        for layout in self._forms.values():
            empty(layout)
        self._waiting = [*chosen.form.of_group("method"), *chosen.form.of_group("training")]
        self._titles["method"].setVisible(bool(chosen.form.of_group("method")))
        self._making.start()

    def _make_some(self) -> None:
        chosen = self._chosen
        for field in self._waiting[:AT_ONCE] if chosen is not None else ():
            row = FieldRow(field, chosen)  # type: ignore[arg-type]
            row.changed.connect(self.changed)
            row.label.setMinimumWidth(self.fontMetrics().horizontalAdvance(WIDEST))
            self._forms[field.group].addRow(row.label, row)
            self.rows.append(row)
        del self._waiting[:AT_ONCE]
        if not self._waiting:
            self._making.stop()
            self.setTabOrder(self.patch_size, self.rows[0].editor) if self.rows else None


def _form() -> QFormLayout:
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    return layout
