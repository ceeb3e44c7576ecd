"""A slide of the table in the viewer, with its saved prediction; read in the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.job import any_running
from napari_wsimil.widgets.layers import TOP_REGIONS
from napari_wsimil.widgets.preferences import colour_for
from napari_wsimil.widgets.recipes import note_file
from napari_wsimil.widgets.results import show_prediction
from napari_wsimil.widgets.slide_layer import facts, is_slide, open_quietly, slide_layer
from napari_wsimil.widgets.slide_view import watch
from napari_wsimil.widgets.warm_up import warm_up

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_wsimil.cohorts.overview import SlideRow
    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.slides import Slide
    from napari_wsimil.widgets.session import Session


PAUSE_MS = 30
"""Between two layers that are removed: napari collects all garbage after each, and the window is to be drawn meanwhile."""


@dataclass(frozen=True)
class _Read:
    """What was read of a row: the slide, its prediction, and why there is none where there should be one."""

    slide: Slide
    prediction: SlidePrediction | None = None
    problem: str = ""


def _read(row: SlideRow) -> _Read:
    slide = open_quietly(row.path, mpp=row.mpp)
    warm_up(slide)
    return _with_prediction(slide, row)


def _with_prediction(slide: Slide, row: SlideRow) -> _Read:
    from napari_wsimil.inference import load_prediction

    if row.prediction is None:
        return _Read(slide)
    try:
        prediction = load_prediction(row.prediction)
    except (WsimilError, OSError) as error:
        return _Read(slide, problem=str(error))
    if prediction.provenance.get("slide", {}).get("fingerprint") != slide.fingerprint:
        return _Read(slide, problem=f"The saved prediction of {row.name} is of another slide; predict it again.")
    note_file(prediction, row.prediction)
    return _Read(slide, prediction)


class SlideOpener(QObject):
    """Opens slides in a viewer, one at a time.

    Signals
    -------
    opened
        The name of a slide that is in view now.
    refused
        One sentence: what could not be opened, and why.
    """

    opened = Signal(str)
    refused = Signal(str)

    def __init__(self, viewer: Any, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer, self._session = viewer, session
        self._wanted: SlideRow | None = None
        self._before = ""
        self._leaving: list[Any] = []
        self._timer = QTimer(self)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._remove_one)
        self.close_before = True
        """Whether the slide that was opened here before is closed then."""

    def open(self, row: SlideRow) -> None:
        """Open a slide with its prediction, or bring it to the front where it is open; the last one asked for wins."""
        self._wanted = row
        if any(facts(layer).get("path") == str(row.path) for layer in self._leaving):
            while self._leaving:
                self._remove_one()
        layer = self._layer_of(row)
        if layer is None:
            read_in_background(row, lambda: _read(row), self._show)
        else:
            slide = facts(layer)["slide"]
            read_in_background(row, lambda: _with_prediction(slide, row), self._show)

    def _layer_of(self, row: SlideRow) -> Any | None:
        layers = (layer for layer in self._viewer.layers if is_slide(layer) and layer not in self._leaving)
        return next((layer for layer in layers if facts(layer)["path"] == str(row.path)), None)

    def _show(self, found: tuple[Any, Any]) -> None:
        row, read = found
        if self._wanted is None or row is not self._wanted:
            return
        if isinstance(read, Exception):
            self.refused.emit(str(read))
            return
        self._bring(read.slide)
        have = {id_of(one) for one in self._session.predictions}
        if read.prediction is not None and id_of(read.prediction) not in have:
            show_prediction(self._viewer, read.prediction, TOP_REGIONS)
        self.opened.emit(row.name)
        if read.problem:
            self.refused.emit(read.problem)

    def _bring(self, slide: Slide) -> None:
        """Show a slide alone, in a layer of its own."""
        layers = self._viewer.layers
        fingerprint = slide.fingerprint
        there = [layer for layer in layers if is_slide(layer) and facts(layer)["fingerprint"] == fingerprint]
        before, self._before = self._before, fingerprint
        watch(self._viewer)
        layer = there[-1] if there else self._viewer.add_layer(Layer.create(*slide_layer(slide, colour_for(slide))))
        layers.move_multiple([layers.index(one) for one in layers if facts(one).get("fingerprint") == fingerprint], len(layers))
        layer.visible = True
        self._session.choose_slide(layer)
        if self.close_before and before not in ("", fingerprint) and not any_running():
            self._close(before)
        if not there:
            self._viewer.reset_view()

    def _close(self, fingerprint: str) -> None:
        """Take a slide away with its predictions, soon; what the user drew stays."""
        for layer in self._viewer.layers:
            about = facts(layer)
            if about.get("fingerprint") == fingerprint and (about.get("kind") == "slide" or "prediction" in about):
                layer.visible = False
                self._leaving.append(layer)
        self._timer.start()

    def _remove_one(self) -> None:
        if self._leaving:
            layer = self._leaving.pop()
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        else:
            self._timer.stop()


def id_of(prediction: SlidePrediction) -> tuple[Any, ...]:
    """What tells two predictions of a slide apart, also after saving."""
    about = prediction.provenance.get("model", {})
    return about.get("id"), about.get("digest"), tuple(sorted(prediction.probabilities.items()))
