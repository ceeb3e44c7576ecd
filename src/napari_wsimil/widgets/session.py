"""What the docks of one viewer look at together: the slide, the predictions on it, a patch, and what was done.

The layers of the viewer are the truth; a session only says which of them are meant, and tells when that changes.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_wsimil.widgets.slide_layer import facts, is_slide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.patches.patch import Patch
    from napari_wsimil.slides import Slide
    from napari_wsimil.widgets.recipes import Recipe

MOST_DEEDS = 10
"""How many things that were done are remembered."""


def session_of(viewer: Any) -> Session:
    """The one session of a viewer, which is made when it is first asked for and lives as long as the viewer."""
    inserted = viewer.layers.events.inserted
    for callback in inserted.callbacks:
        found: Session | None = getattr(callback, "session", None)
        if found is not None:
            return found
    session = Session(viewer)

    def look(_: Any = None) -> None:
        session.look()

    look.session = session  # type: ignore[attr-defined]
    layers = viewer.layers
    for event in (inserted, layers.events.removed, layers.events.reordered, layers.selection.events.active):
        event.connect(look)
    session.look()
    return session


class Session:
    """Get one with `session_of`. Its signals come in the GUI thread; `parts.follow` connects a widget until it is gone.

    Signals
    -------
    slide_changed
        The slide layer that is meant now, or None; also when it got another pixel size.
    prediction_changed
        The `SlidePrediction` that is meant now, or None.
    predictions_changed
        All predictions on the slide, topmost first, as a tuple.
    patch_chosen
        The `Patch` that somebody pointed out in a dock, or None.
    done
        A `Recipe` of what was done just now.

    Attributes
    ----------
    draft
        The slides that a training is being put together from, or None: they outlive the dock in which they are listed.
    """

    slide_changed = Signal(object)
    prediction_changed = Signal(object)
    predictions_changed = Signal(object)
    patch_chosen = Signal(object)
    done = Signal(object)

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self.draft: Any = None
        self._layer: Any = None
        self._slide: Slide | None = None
        self._predictions: tuple[SlidePrediction, ...] = ()
        self._prediction: SlidePrediction | None = None
        self._patch: Patch | None = None
        self._waiting = 0
        self.deeds: list[Recipe] = []
        self.board: Any = None  # the one of all docks that draw on the slide, see `annotate.board.board_of`

    @property
    def slide_layer(self) -> Any | None:
        """The slide layer that is meant, or None."""
        return self._layer

    @property
    def slide(self) -> Slide | None:
        """The open slide of that layer, or None."""
        return self._slide

    @property
    def predictions(self) -> tuple[SlidePrediction, ...]:
        """The predictions whose layers are on the slide, topmost first."""
        return self._predictions

    @property
    def prediction(self) -> SlidePrediction | None:
        """The prediction that is meant: the one of the active layer, else the one last meant, else the topmost."""
        return self._prediction

    @property
    def patch(self) -> Patch | None:
        """The patch that was pointed out last, or None."""
        return self._patch

    def choose_slide(self, layer: Any) -> None:
        """Mean this slide layer of the viewer from now on."""
        self._viewer.layers.selection.active = layer
        self._update(layer)

    def choose_prediction(self, prediction: SlidePrediction) -> None:
        """Mean this one of the slide's predictions, until a layer of another one is made active."""
        self._set_prediction(prediction)

    def choose_patch(self, patch: Patch | None) -> None:
        """Point out a patch."""
        if patch != self._patch:
            self._patch = patch
            self.patch_chosen.emit(patch)

    def did(self, recipe: Recipe) -> None:
        """Remember what was done, so that it can be copied as Python or as a command."""
        self.deeds = [recipe, *(deed for deed in self.deeds if deed != recipe)][:MOST_DEEDS]
        self.done.emit(recipe)

    def look(self) -> None:
        """Layers came, went, moved or were selected: see what is meant now."""
        if not self._waiting:
            self._update(slide_to_show(self._viewer, self._layer))

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Look only at the end of what is done inside: a result of many layers comes as one."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self.look()

    def _update(self, layer: Any | None) -> None:
        # napari hands out a layer in a new wrapper each time: equal, but not the same.
        if layer != self._layer:
            if self._layer is not None:
                self._layer.events.metadata.disconnect(self._reopened)
            self._layer = layer
            if layer is not None:
                layer.events.metadata.connect(self._reopened)
        self._reopened()
        self._look_for_predictions()

    def _reopened(self, _: Any = None) -> None:
        slide = None if self._layer is None else facts(self._layer)["slide"]
        if slide is not self._slide:
            self._slide = slide
            self.choose_patch(None)
            self.slide_changed.emit(self._layer)

    def _look_for_predictions(self) -> None:
        found = () if self._layer is None else predictions_on(self._viewer, self._layer)
        if [id(one) for one in found] != [id(one) for one in self._predictions]:
            self._predictions = found
            self.predictions_changed.emit(found)
        active = self._viewer.layers.selection.active
        pointed = facts(active).get("prediction") if active is not None else None
        for candidate in (pointed, self._prediction, *found):
            if any(candidate is one for one in found):
                self._set_prediction(candidate)
                return
        self._set_prediction(None)

    def _set_prediction(self, prediction: SlidePrediction | None) -> None:
        if prediction is not self._prediction:
            self._prediction = prediction
            self.prediction_changed.emit(prediction)


def predictions_on(viewer: Any, slide_layer: Any) -> tuple[SlidePrediction, ...]:
    """The predictions whose layers are on a slide, topmost first, each once."""
    fingerprint = facts(slide_layer)["fingerprint"]
    found: dict[int, SlidePrediction] = {}
    for layer in reversed(viewer.layers):
        about = facts(layer)
        if "prediction" in about and about.get("fingerprint") == fingerprint:
            found.setdefault(id(about["prediction"]), about["prediction"])
    return tuple(found.values())


def slide_to_show(viewer: Any, shown: Any | None) -> Any | None:
    """The selected slide, or that of the selected result; else the one shown so far; else the one opened last."""
    slides = [layer for layer in viewer.layers if is_slide(layer)]
    active = viewer.layers.selection.active
    if active is not None and facts(active):
        same = [layer for layer in slides if facts(layer)["fingerprint"] == facts(active).get("fingerprint")]
        if active in slides or same:
            return active if active in slides else same[-1]
    if shown in slides:
        return shown
    return slides[-1] if slides else None
