"""The overlays of the prediction that is meant: what is shown, and how."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_wsimil.widgets.overlays.aside import bring_back, put_aside
from napari_wsimil.widgets.overlays.eye import EyeButton
from napari_wsimil.widgets.overlays.legend import legend_of
from napari_wsimil.widgets.overlays.row import OverlayRow
from napari_wsimil.widgets.overlays.tags import overlays_of, same_as
from napari_wsimil.widgets.parts import empty, follow, heading
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_layer import facts

if TYPE_CHECKING:
    from napari_wsimil.widgets.overlays.tags import Same

SHOWN_AGAIN = ("attention", "top")
"""Kinds of layers that the eye of all shows where none was shown before."""


class OverlayPanel(QWidget):
    """A row for each layer of the prediction that is meant, topmost first; hidden where there is none.

    It shows what the layers are like, whoever changed them, and keeps no state but the switch of the legend.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session_of(viewer)
        self._legend = legend_of(viewer)
        self.setObjectName("overlays")
        self.eye = EyeButton("overlays_eye")
        self.legend = QCheckBox("Legend")
        self.remove = QPushButton("Remove")
        self._rows = QVBoxLayout()
        # layers come one by one: the rows are made once, when all are there
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.refresh)
        self._name_parts()
        self._lay_out()
        self._connect()
        self.refresh()

    @property
    def rows(self) -> list[OverlayRow]:
        """The rows, topmost layer first."""
        items: list[Any] = [self._rows.itemAt(place) for place in range(self._rows.count())]
        return [item.widget() for item in items]

    def row(self, kind: str, mpp: float | None = None, class_name: str | None = None) -> OverlayRow:
        """The first row of a kind (and magnification, and class).

        Raises
        ------
        LookupError
            There is none.
        """
        for row in self.rows:
            about = facts(row.layer)
            if about["kind"] == kind and mpp in (None, about["mpp"]) and class_name in (None, about["class"]):
                return row
        raise LookupError(f"no {kind} among the overlays")

    def refresh(self) -> None:
        """Make the rows anew where the layers are others now."""
        layers = overlays_of(self._viewer, self._session.prediction)
        if [row.layer for row in self.rows] != layers:
            self._fill(layers)
        self.setVisible(bool(layers))
        self._show_state()

    def show_all(self, on: bool) -> None:
        """Hide all overlays, or show those again that were shown before."""
        layers = overlays_of(self._viewer, self._session.prediction)
        if not on:
            for layer in layers:
                facts(layer).pop("aside", None)
            put_aside(layers)
        elif not bring_back(layers):
            for layer in layers:
                layer.visible = facts(layer)["kind"] in SHOWN_AGAIN

    def remove_all(self) -> None:
        """Take all layers of the prediction off the slide."""
        for layer in overlays_of(self._viewer, self._session.prediction):
            self._viewer.layers.remove(layer)

    def _name_parts(self) -> None:
        self.eye.tell("all overlays of this result")
        self.legend.setObjectName("overlays_legend")
        self.legend.setChecked(self._legend.on)
        self.legend.setToolTip("Show on the slide what the colours mean")
        self.remove.setObjectName("overlays_remove")
        self.remove.setToolTip("Take this result off the slide; what was exported or saved stays")

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        head = QHBoxLayout()
        head.setSpacing(4)
        head.addWidget(self.eye)
        head.addWidget(heading("Overlays"), 1)
        head.addWidget(self.legend)
        head.addWidget(self.remove)
        column.addLayout(head)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(2)
        column.addLayout(self._rows)

    def _connect(self) -> None:
        self.eye.toggled.connect(self.show_all)
        self.legend.toggled.connect(self._legend.turn)
        self.remove.clicked.connect(self.remove_all)
        follow(self._session.prediction_changed, self._refresh_soon, self)
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.reordered):
            follow(event, self._refresh_soon, self)
        follow(self._viewer.layers.events.removed, self._refresh_soon, self)
        follow(self._viewer.events.theme, self._colour, self)
        self._colour()

    def _refresh_soon(self, _: Any = None) -> None:
        self._soon.start(0)

    def _fill(self, layers: list[Any]) -> None:
        unfolded: set[Same] = {same_as(row.layer) for row in self.rows if row.unfolded}
        empty(self._rows)
        for layer in layers:
            row = OverlayRow(layer, self._viewer.theme)
            self._rows.addWidget(row)
            row.changed.connect(self._show_state)
            if same_as(layer) in unfolded:
                row.unfold()
        # what is made later is otherwise reached last, after all other docks
        for before, after in pairwise([self.remove, *(control for row in self.rows for control in row.controls)]):
            QWidget.setTabOrder(before, after)

    def _show_state(self) -> None:
        """The eye of all is open while any overlay is shown."""
        with QSignalBlocker(self.eye):
            self.eye.setChecked(any(row.layer.visible for row in self.rows))

    def _colour(self, _: Any = None) -> None:
        for eye in (self.eye, *(row.eye for row in self.rows)):
            eye.follow_theme(self._viewer.theme)
