"""Watch on the slide: one validation slide whose attention is drawn anew on it after each epoch."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QPushButton, QVBoxLayout, QWidget

from napari_wsimil.cohorts.overview import SlideRow
from napari_wsimil.training.data.feature_folders import FEATURE_SUFFIXES
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.parts import colour_as_error, follow, heading, narrow_combo, say, text_label
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_layer import facts, is_slide
from napari_wsimil.widgets.slide_table.opening import SlideOpener
from napari_wsimil.widgets.training.live.drift import Drift
from napari_wsimil.widgets.training.live.on_slide import SightLayers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_wsimil.training.runs.validation_slides import ValidationSlide
    from napari_wsimil.widgets.training.live.seen import Seen
    from napari_wsimil.widgets.training.watcher import RunWatcher

NOTHING = "No slide"
BETWEEN_MS = 20
"""Between two layers that are drawn: the window answers meanwhile."""

DONE = object()


class WatchBox(QWidget):
    """Which slide is watched, and what was seen of it last.

    Parameters
    ----------
    viewer
        The napari viewer.
    watcher
        Its run is asked to look.
    """

    def __init__(self, viewer: Any, watcher: RunWatcher) -> None:
        super().__init__()
        self._viewer, self._watcher, self._session = viewer, watcher, session_of(viewer)
        self._slides: tuple[ValidationSlide, ...] = ()
        self._seen: Seen | None = None
        self.layers, self.drift = SightLayers(viewer), Drift()
        self._steps: Iterator[None] = iter(())
        self._drawing = QTimer(self)
        self._drawing.setInterval(BETWEEN_MS)
        self._drawing.timeout.connect(self._draw)
        self._opener = SlideOpener(viewer, self._session, self)
        self._opener.close_before = False
        self.combo = narrow_combo("watched_slide")
        self.combo.setAccessibleName("Validation slide to watch")
        self.open_button = QPushButton("Open this slide")
        self.open_button.setObjectName("open_watched_slide")
        self.open_button.setToolTip("Open the watched slide, so that its attention is drawn on it.")
        self.stay = QCheckBox("Leave the layers when I close the run")
        self.stay.setObjectName("leave_sight_layers")
        self.stay.setToolTip("Otherwise they go when another run is shown, or this dock is closed.")
        self.note, self.drift_text, self.error = text_label(), text_label(), text_label()
        for label, name in ((self.note, "watch_note"), (self.drift_text, "zoom_drift"), (self.error, "watch_error")):
            label.setObjectName(name)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        title = heading("Watch on the slide")
        for part in (title, self.combo, self.open_button, self.note, self.error, self.drift_text, self.stay):
            column.addWidget(part)
        self._connect()
        self.forget()

    @property
    def chosen(self) -> ValidationSlide | None:
        """The slide that is watched, or None."""
        row = self.combo.currentIndex() - 1
        return self._slides[row] if 0 <= row < len(self._slides) else None

    def forget(self) -> None:
        """Another run is followed, or none."""
        self._part()
        self._list(())
        say(self.error, "")

    def colour(self, theme: str) -> None:
        """Take the colours of a napari theme."""
        colour_as_error(self.error, theme)

    def _connect(self) -> None:
        self.combo.activated.connect(self._choose)
        self.open_button.clicked.connect(self._open)
        self._opener.refused.connect(lambda sentence: say(self.error, sentence))
        self._opener.opened.connect(lambda _: say(self.error, ""))
        self._watcher.slides.connect(self._list)
        self._watcher.sighted.connect(self._see)
        self._watcher.state_changed.connect(lambda _: self._say())
        follow(self._session.slide_changed, self._look, self)
        follow(self._viewer.layers.events.removed, self._look, self)
        layers, wish = self.layers, {"stay": False}
        self.stay.toggled.connect(lambda on: wish.update(stay=on))
        self.destroyed.connect(lambda *_: _end(layers, stay=wish["stay"]))

    def _list(self, slides: Sequence[ValidationSlide]) -> None:
        """Offer the validation slides; the one watched already is chosen, else the open one."""
        before = self.chosen
        self._slides = tuple(slides)
        self.combo.clear()
        self.combo.addItems([NOTHING, *(slide.name for slide in self._slides)])
        self.combo.setEnabled(bool(self._slides))
        names = [slide.name for slide in self._slides]
        watched = self._watcher.watched
        if watched in names:
            self.combo.setCurrentIndex(1 + names.index(watched))
        elif before is None:
            open_ones = [row for row, slide in enumerate(self._slides) if self._layer_of(slide) == self._session.slide_layer]
            if open_ones and self._session.slide_layer is not None:
                self.combo.setCurrentIndex(1 + open_ones[0])
                self._choose()
        self._say()

    def _choose(self, _: int = 0) -> None:
        """Ask the run to look at another slide, or at none."""
        self._part()
        run, chosen = self._watcher.run, self.chosen
        if run is not None:
            read_in_background(None, partial(run.watch, None if chosen is None else chosen.name), self._asked)
        self._say()

    def _asked(self, done: tuple[None, Any]) -> None:
        """The run was told what to look at, or can't be told."""
        say(self.error, str(done[1]) if isinstance(done[1], Exception) else "")
        self._watcher.hurry()

    def _part(self) -> None:
        """Let go of what was seen so far."""
        self._drawing.stop()
        _end(self.layers, stay=self.stay.isChecked())
        self._seen = None
        self.drift = Drift()

    def _see(self, seen: Seen) -> None:
        if self.chosen is None or seen.slide != self.chosen.name:
            return
        self._seen = seen
        if seen.prediction is not None and seen.prediction.zoom:
            self.drift.look(seen.epoch + 1, seen.prediction.zoom)
        self._look()

    def _look(self, _: Any = None) -> None:
        """Draw what was seen last, where the slide is open."""
        layer = None if self.chosen is None else self._layer_of(self.chosen)
        if layer is None:
            self._drawing.stop()
            self.layers.end()
        elif self._seen is not None and self._seen is not self.layers.shown:
            self._steps = self.layers.steps(self._seen, layer, self.drift.new)
            self._drawing.start()
        self._say()

    def _draw(self) -> None:
        """Take the next step of what is being drawn."""
        if next(self._steps, DONE) is DONE:
            self._drawing.stop()

    def _layer_of(self, slide: ValidationSlide) -> Any | None:
        """The layer that shows a slide; where only its features are known, one of that name."""
        path = Path(self._seen.path) if self._seen is not None and self._seen.path else slide.path
        fingerprint = self._seen.fingerprint if self._seen is not None else ""
        for layer in reversed(self._viewer.layers):
            if not is_slide(layer):
                continue
            about = facts(layer)
            if about["fingerprint"] == fingerprint or Path(about["path"]).absolute() == path.absolute():
                return layer
            if _is_features(path) and Path(about["path"]).stem == slide.name:
                return layer
        return None

    def _open(self) -> None:
        slide = self.chosen
        if slide is not None:
            path = Path(self._seen.path) if self._seen is not None and self._seen.path else slide.path
            self._opener.open(SlideRow(slide.name, path, slide.mpp))

    def _say(self) -> None:
        """Say what is seen, and what is missing to see it."""
        slide, seen = self.chosen, self._seen
        layer = None if slide is None else self._layer_of(slide)
        features = slide is not None and _is_features(slide.path) and not (seen is not None and seen.path)
        self.open_button.setVisible(slide is not None and layer is None and not features)
        self.stay.setVisible(slide is not None)
        say(self.note, self._note(layer, features=features))
        say(self.drift_text, self.drift.text)

    def _note(self, layer: Any | None, *, features: bool) -> str:
        slide, seen = self.chosen, self._seen
        state = self._watcher.state
        over = state is not None and state.phase == "finished"
        if not self._slides:
            return "The validation slides are listed here as soon as the run has dealt them out."
        if slide is None and over:
            return "The run has ended: nothing new is drawn."
        if slide is None:
            return "Choose a validation slide: after each epoch what the model sees on it is drawn anew."
        if layer is None and features:
            return f"The run knows only features of {slide.name}: open the slide itself, under that name, to see its attention."
        if layer is None:
            return "Open the slide to see its attention."
        if seen is None:
            return "It was not watched while the run went on." if over else "Its attention is drawn when the epoch is over."
        if seen.missing and not seen.rasters:
            return seen.missing
        when = f"after epoch {seen.epoch + 1}" if seen.epoch >= 0 else "before the first epoch"
        return f"{seen.what} {when}."


def _is_features(path: Path) -> bool:
    return path.suffix.lower() in FEATURE_SUFFIXES


def _end(layers: SightLayers, *, stay: bool) -> None:
    # the window may be gone already
    with suppress(RuntimeError):
        if stay:
            layers.leave()
        else:
            layers.end()
