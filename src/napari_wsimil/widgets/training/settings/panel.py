"""How a new model is trained: method, hyper-parameters, encoder, magnifications, device."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QSignalBlocker, Qt, QUrl, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLineEdit, QToolButton, QVBoxLayout, QWidget

from napari_wsimil.widgets.parts import Fold, colour_as_error, combo_item, form, narrow_combo, say, text_label
from napari_wsimil.widgets.training.settings.chosen import Chosen
from napari_wsimil.widgets.training.settings.device_combo import DeviceCombo
from napari_wsimil.widgets.training.settings.encoder_chooser import EncoderChooser
from napari_wsimil.widgets.training.settings.field_row import FieldRow
from napari_wsimil.widgets.training.settings.magnifications import Magnifications
from napari_wsimil.widgets.training.settings.more_settings import MoreSettings
from napari_wsimil.widgets.training.settings.number_box import slim
from napari_wsimil.widgets.training.settings.places import FEATURES
from napari_wsimil.widgets.training.settings.run_place import RunPlace
from napari_wsimil.widgets.training.settings.survey import Surroundings, survey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_wsimil.training.runs.forms import MethodForm
    from napari_wsimil.training.runs.plan import TrainingPlan

FIRST = "abmil"
"""The method that is chosen at first: quick, small, and the yardstick for all others."""
LOOKING = "Looking for methods and encoders…"
WIDEST = "Balance classes"


class SettingsPanel(QWidget):
    """A form made of the registry; it is complete as soon as a worker has looked around.

    Signals
    -------
    changed
        Something was changed, or the form is complete now.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.method_combo = narrow_combo("method")
        self.method_combo.currentTextChanged.disconnect(self.method_combo.setToolTip)
        self.paper_button = QToolButton()
        self.summary = text_label(LOOKING)
        self.summary.setObjectName("method_summary")
        self.encoders = EncoderChooser()
        self.magnifications = Magnifications()
        self.device_combo = DeviceCombo()
        self.positive_combo = narrow_combo("positive_class")
        self.title_field = QLineEdit()
        self.place = RunPlace()
        self.more = MoreSettings()
        self.problem = text_label()
        self.rows: list[FieldRow] = []
        self._around: Surroundings | None = None
        self._chosen: Chosen | None = None
        self._classes: tuple[str, ...] = ()
        self._theme = "dark"
        self._name_parts()
        self._lay_out()
        self._connect()
        self.set_classes(())
        worker = create_worker(survey, _ignore_errors=True)
        worker.returned.connect(self.take)
        worker.errored.connect(lambda error: self._refuse(f"The methods can't be listed: {error or type(error).__name__}."))
        worker.start()

    @property
    def ready(self) -> bool:
        """Whether the form is complete."""
        return self._chosen is not None

    @property
    def chosen(self) -> Chosen:
        """What was chosen; only when the form is ready."""
        assert self._chosen is not None, LOOKING  # noqa: S101 - whoever asks has asked for `ready`
        return self._chosen

    @property
    def complaint(self) -> str:
        """What must be put right before a run can start, in one sentence; empty where nothing must."""
        return LOOKING if self._chosen is None else self._chosen.problem

    def plan(self, manifest: Path) -> TrainingPlan:
        """What is to be trained on the slides of a manifest.

        Raises
        ------
        WsimilError
            A value can't be used; one sentence says why.
        """
        from napari_wsimil.training.runs.plan import TrainingPlan  # loads PyTorch, which the survey has loaded before

        parameters, settings = self.chosen.given()
        return TrainingPlan(
            manifest=manifest,
            method=self.chosen.form.name,
            out=self.place.folder,
            encoder=self.encoders.name,
            mpps=self.chosen.mpps,
            patch_size=self.more.patch_side,
            store=self.place.base / FEATURES,
            parameters=parameters,
            settings=settings,
            positive_class=self.positive_combo.currentData(),
            device=self.device_combo.device,
            title=self.title_field.text().strip(),
        )

    def choose_method(self, name: str) -> None:
        """Choose a method by its name."""
        self.method_combo.setCurrentIndex(self.method_combo.findData(name))

    def set_classes(self, classes: Sequence[str]) -> None:
        """Say which classes the slides have, in the order of the model's outputs."""
        if tuple(classes) == self._classes and self.positive_combo.count():
            return
        self._classes, before = tuple(classes), self.positive_combo.currentData()
        usual = f"Automatic ({classes[1]})" if len(classes) == 2 else "Automatic (none)" if classes else "Automatic"
        with QSignalBlocker(self.positive_combo):
            self.positive_combo.clear()
            self.positive_combo.addItem(usual, None)
            for name in classes:
                self.positive_combo.addItem(name, name)
            self.positive_combo.setCurrentIndex(max(self.positive_combo.findData(before), 0))
        self.positive_combo.setEnabled(bool(classes))
        self._tell_title()

    def colour(self, theme: str) -> None:
        """Show what is wrong in a colour that can be read in a napari theme."""
        self._theme = theme
        for label in (self.problem, *(row.problem for row in (*self.rows, *self.more.rows))):
            colour_as_error(label, theme)

    def take(self, around: Surroundings) -> None:
        """Complete the form with what there is."""
        self._around = around
        with QSignalBlocker(self.method_combo):
            for entry in around.forms:
                self.method_combo.addItem(entry.title, entry.name)
                combo_item(self.method_combo, self.method_combo.count() - 1).setToolTip(entry.summary)
            self.method_combo.setCurrentIndex(self.method_combo.findData(FIRST))
        self.method_combo.setEnabled(True)
        self.device_combo.offer(around.device)
        self._chosen = Chosen(self._form_of(FIRST))
        self.encoders.take(around.encoders)
        for field in self.chosen.form.of_group("main"):
            row = FieldRow(field, self.chosen)
            row.changed.connect(self._changed)
            self.rows.append(row)
            self._main.insertRow(self._main.rowCount() - 3, row.label, row)
        self._order_tabs()
        self._turn_to(FIRST)

    def _form_of(self, name: str) -> MethodForm:
        assert self._around is not None  # noqa: S101 - there are no methods to choose from before
        return next(entry for entry in self._around.forms if entry.name == name)

    def _picked(self, row: int) -> None:
        if self._chosen is not None and row >= 0:
            self._turn_to(self.method_combo.itemData(row))

    def _turn_to(self, name: str) -> None:
        chosen = self.chosen
        chosen.form = self._form_of(name)
        self.summary.setText(chosen.form.summary)
        self.method_combo.setToolTip(chosen.form.summary)
        self.paper_button.setEnabled(chosen.form.source.startswith("https:"))
        self.paper_button.setToolTip(f"Where the method was published: {chosen.form.source}")
        for row in self.rows:
            row.take(chosen.form.field(row.editor.objectName()))
        self.more.take(chosen)
        self._tell_mpps()
        self.place.set_method(name)
        self._tell_title()
        self._changed()

    def _tell_mpps(self) -> None:
        """What is usual depends on method and encoder."""
        if self._chosen is not None and (encoder := self.encoders.choice) is not None:
            chosen = self._chosen
            self.magnifications.take(chosen.form.usual_mpps(encoder.mpp), chosen.form.magnifications, chosen.mpps)

    def _tell_title(self) -> None:
        if self._chosen is not None:
            self.title_field.setPlaceholderText(": ".join([self._chosen.form.title, *filter(None, [", ".join(self._classes)])]))

    def _mpps_chosen(self) -> None:
        self.chosen.mpps = self.magnifications.mpps
        self._changed()

    def _encoder_chosen(self) -> None:
        self._refuse("")
        self._tell_mpps()
        self._changed()

    def _refuse(self, sentence: str) -> None:
        colour_as_error(self.problem, self._theme)
        say(self.problem, sentence)

    def _changed(self) -> None:
        self.colour(self._theme)
        self.changed.emit()

    def _name_parts(self) -> None:
        for field, name, tip in (
            (self.method_combo, "Method", LOOKING),
            (self.positive_combo, "Positive class", "The class that sensitivity, F1 and the heatmap are about"),
            (self.title_field, "Title", "What the model is called in lists; by default method and classes"),
        ):
            field.setAccessibleName(name)
            field.setToolTip(tip)
        self.positive_combo.currentTextChanged.disconnect(self.positive_combo.setToolTip)
        self.method_combo.setEnabled(False)
        self.title_field.setObjectName("title")
        self.paper_button.setObjectName("paper")
        self.paper_button.setText("Paper")
        self.paper_button.setEnabled(False)
        self.problem.setObjectName("settings_problem")
        say(self.problem, "")
        for combo in (self.method_combo, self.positive_combo):
            slim(combo)

    def _lay_out(self) -> None:
        about = QHBoxLayout()
        about.addWidget(self.summary, 1)
        about.addWidget(self.paper_button, 0, Qt.AlignmentFlag.AlignTop)
        rows: Sequence[tuple[str, Any]] = [
            ("Method", self.method_combo),
            ("Encoder", self.encoders),
            ("Magnification", self.magnifications),
            ("Device", self.device_combo),
            ("Positive class", self.positive_combo),
            ("Title", self.title_field),
            ("Run folder", self.place),
        ]
        self._main: QFormLayout = form(rows, WIDEST)
        self._main.insertRow(1, about)
        self.fold = Fold("More settings", self.more)
        self.fold.button.setObjectName("more_settings")
        self.fold.button.setToolTip(
            "All hyper-parameters of the method and of its training; each says where its default is from"
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self._main)
        column.addWidget(self.problem)
        column.addWidget(self.fold)

    def _order_tabs(self) -> None:
        magnifications: list[QWidget] = [self.magnifications.automatic, self.magnifications.add_button]
        places: list[QWidget] = [self.place.field, self.place.button]
        first: list[QWidget] = [self.method_combo, self.paper_button, self.encoders.combo, *magnifications, self.device_combo]
        rows = [part for row in self.rows for part in (row.editor, row.reset_button)]
        for one, other in pairwise([*first, *rows, self.positive_combo, self.title_field, *places, self.fold.button]):
            self.setTabOrder(one, other)

    def _connect(self) -> None:
        self.method_combo.currentIndexChanged.connect(self._picked)
        self.paper_button.clicked.connect(lambda: QDesktopServices.openUrl(QUrl(self.chosen.form.source)))
        self.encoders.changed.connect(self._encoder_chosen)
        self.encoders.refused.connect(self._refuse)
        self.magnifications.changed.connect(self._mpps_chosen)
        self.more.changed.connect(self._changed)
        for signal in (self.positive_combo.currentIndexChanged, self.device_combo.currentIndexChanged):
            signal.connect(lambda _: self._changed())
        self.title_field.textEdited.connect(lambda _: self._changed())
        self.place.changed.connect(self.changed)
