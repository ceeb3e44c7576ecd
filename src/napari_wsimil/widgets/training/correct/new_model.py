"""The open slide seen by a new model: the same patches, from kept features, shown beside what the old one saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_wsimil.widgets.docks import open_dock
from napari_wsimil.widgets.job import Failure, Job, prediction_steps
from napari_wsimil.widgets.kept_features import GB
from napari_wsimil.widgets.layers import TOP_REGIONS
from napari_wsimil.widgets.overlays.tags import overlays_of
from napari_wsimil.widgets.parts import remove
from napari_wsimil.widgets.preferences import feature_preferences
from napari_wsimil.widgets.recipes import predicting
from napari_wsimil.widgets.results import showing
from napari_wsimil.widgets.slide_layer import facts, is_slide
from napari_wsimil.widgets.words import progress_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.widgets.job import Report
    from napari_wsimil.widgets.session import Session

SIDE_BY_SIDE = "side by side"


class NewModel(QObject):
    """Predicts, shows, and takes away again.

    Parameters
    ----------
    viewer
        The napari viewer.
    session
        Says which slide is open.
    parent
        Its page.

    Signals
    -------
    told
        How far it is, in words.
    seen
        The `SlidePrediction`, or a sentence why there is none.
    """

    told = Signal(str)
    seen = Signal(object)

    def __init__(self, viewer: Any, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._parent = parent
        self._viewer = viewer
        self._session = session
        self._job: Job | None = None
        self._slide = ""
        self._dock: Any = None
        self._layers: Iterator[None] | None = None
        self._shown: SlidePrediction | None = None
        self._next = QTimer(self)
        self._next.setSingleShot(True)
        self._next.timeout.connect(self._show_next)

    def look(self, package: str, like: SlidePrediction | None) -> None:
        """Predict the open slide with a package, at the patches of another prediction."""
        slide = self._session.slide
        if slide is None or slide.mpp is None:
            self.seen.emit("No slide is open, so that there is nothing to compare; open one and predict it with the new model.")
            return
        chosen = feature_preferences()
        options = {} if like is None else dict(like.provenance.get("patches", {}).get("options") or {})
        keep = chosen.most_gb * GB if chosen.keep else None
        self._slide = slide.fingerprint
        steps = prediction_steps(slide, package, choices=options, keep_bytes=keep, device="auto")
        self._job = Job(steps, slide.mpp, self._report, self._end, self._parent)

    def show(self, prediction: SlidePrediction) -> None:
        """Put the layers of a prediction on its slide, one at a time, unless the slide is gone; `seen` is emitted then."""
        self._shown = prediction
        self._layers = showing(self._viewer, prediction, TOP_REGIONS)
        self._next.start(0)

    def hide(self, prediction: SlidePrediction) -> None:
        """Take the layers of a prediction away."""
        remove(self._viewer, overlays_of(self._viewer, prediction))

    def mean(self, prediction: SlidePrediction | None) -> None:
        """Make a prediction, where it is on the slide, the one that all docks look at."""
        layers = overlays_of(self._viewer, prediction)
        if prediction is not None and layers:
            seen = [layer for layer in layers if facts(layer).get("kind") == "attention" and layer.visible] or layers
            self._viewer.layers.selection.active = seen[0]
            self._session.choose_prediction(prediction)

    def compare(self, before: SlidePrediction, after: SlidePrediction) -> None:
        """Show both side by side, in the dock "Compare"."""
        dock = open_dock(self._viewer, "Compare")
        if dock is not self._dock:
            self._dock = dock
            dock.destroyed.connect(self._dock_gone)
        dock.compare(before, after, SIDE_BY_SIDE)

    def end_comparison(self) -> None:
        """Show the slide as it was before `compare`."""
        if self._dock is not None:
            self._dock.end()

    def _dock_gone(self, _: Any = None) -> None:
        self._dock = None

    def _report(self, report: Report) -> None:
        self.told.emit(progress_text(report.progress))

    def _end(self, outcome: Any) -> None:
        self._job = None
        if outcome is None or isinstance(outcome, Failure):
            self.seen.emit(outcome.sentence if outcome is not None else "The prediction with the new model was stopped.")
        elif not self._is_open():
            self.seen.emit("The slide was closed before the new model had seen it; open it again and predict it.")
        else:
            self._session.did(predicting(outcome))
            self.show(outcome)

    def _is_open(self) -> bool:
        return any(is_slide(layer) and facts(layer)["fingerprint"] == self._slide for layer in self._viewer.layers)

    def _show_next(self) -> None:
        if self._layers is None:
            return
        try:
            next(self._layers)
            self._next.start(0)
        except StopIteration:
            shown, self._layers, self._shown = self._shown, None, None
            self.seen.emit(shown)
