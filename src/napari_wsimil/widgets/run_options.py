"""What a user may change about a prediction before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QComboBox, QLineEdit, QVBoxLayout, QWidget

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.inside_shapes import InsideShapes
from napari_wsimil.widgets.parts import WIDEST_OPTION, form, heading, narrow_combo

if TYPE_CHECKING:
    from collections.abc import Sequence

OVERLAPS = (("None", 0.0), ("25 %", 0.25), ("50 %", 0.5), ("75 %", 0.75))
STAINS = (("As scanned", "none"), ("Macenko", "macenko"), ("Reinhard", "reinhard"))
PRECISIONS = (("Automatic", "auto"), ("Full", "fp32"))
BAD_MPPS = "“{typed}” under Magnification is no list of µm per pixel; type numbers, for example 0.5, 1."


class RunOptions(QWidget):
    """Which patches are looked at, what is done to them, and how fast; the defaults are as the model was trained.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.overlap = _combo("overlap", OVERLAPS)
        self.stain = _combo("stain", STAINS)
        self.mpps = QLineEdit()
        self.mpps.setObjectName("magnifications")
        self.mpps.setPlaceholderText("the model's own")
        self.tissue_only = QCheckBox("Tissue only")
        self.tissue_only.setChecked(True)
        self.inside = InsideShapes(viewer)
        self.precision = _combo("precision", PRECISIONS)
        self.compiled = QCheckBox("Compile the encoder")
        self._explain()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(heading("Patches"))
        rows = [("Overlap", self.overlap), ("Stain", self.stain), ("Magnification", self.mpps)]
        column.addLayout(form(rows, WIDEST_OPTION))
        column.addWidget(self.tissue_only)
        column.addWidget(self.inside)
        column.addWidget(heading("Speed"))
        column.addLayout(form([("Precision", self.precision)], WIDEST_OPTION))
        column.addWidget(self.compiled)

    def settings(self, slide_layer: Any) -> dict[str, Any]:
        """What was chosen for the slide of a layer, as `prediction_steps` takes it; None: for slides without drawn shapes.

        Raises
        ------
        WsimilError
            What was typed is no list of numbers; one sentence says so.
        """
        choices = {
            "overlap": self.overlap.currentData(),
            "mpps": self._typed_mpps(),
            "tissue_only": self.tissue_only.isChecked(),
            "inside": None if slide_layer is None else self.inside.outlines(slide_layer),
            "stain": self.stain.currentData(),
        }
        return {"choices": choices, "precision": self.precision.currentData(), "compiled": self.compiled.isChecked()}

    def _typed_mpps(self) -> tuple[float, ...] | None:
        typed = self.mpps.text().strip().strip(",;")
        if not typed:
            return None
        try:
            return tuple(float(part) for part in typed.replace(";", ",").split(","))
        except ValueError as error:
            raise WsimilError(BAD_MPPS.format(typed=typed)) from error

    def _explain(self) -> None:
        self.overlap.setToolTip(
            "How much of its side a patch shares with the next: the heatmap gets finer and is averaged; "
            "50 % takes four times as long"
        )
        self.stain.setToolTip("Bring the colours of the stain to a reference before the model sees them")
        self.mpps.setToolTip(
            "µm per pixel at which a model of one magnification looks, for example 0.5, 1 (0.5 is 20x); "
            "the probabilities of several are averaged"
        )
        self.tissue_only.setToolTip("Leave out glass, as the model does; otherwise the whole scanned area is looked at")
        self.precision.setToolTip(
            "Automatic: the faster of full and half precision, where both give the same features on this computer"
        )
        self.compiled.setToolTip("Takes up to a minute at first and pays on large slides and slow encoders")


def _combo(name: str, entries: Sequence[tuple[str, Any]]) -> QComboBox:
    combo = narrow_combo(name)
    # what a list of three words means is told by a text of its own, not by the chosen word
    combo.currentTextChanged.disconnect(combo.setToolTip)
    for text, value in entries:
        combo.addItem(text, value)
    return combo
