"""What the network, as it is now, sees on one slide, ready to be laid on it; made outside the GUI thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_wsimil.exports.looks import OPACITY
from napari_wsimil.inference.progress import Provisional
from napari_wsimil.widgets.live import Drawn, draw
from napari_wsimil.widgets.overlays.rasters import placed, probability_colormap
from napari_wsimil.widgets.overlays.tags import raster_scores, slide_mpp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wsimil.inference import SlidePrediction


@dataclass(frozen=True)
class Seen:
    """One look at the watched slide.

    Attributes
    ----------
    stage, epoch
        Of the run; epochs from 0.
    slide
        Its name in the run.
    prediction
        All that the network says of it; None: nothing can be shown.
    missing
        What can't be shown and why, in a sentence; else empty.
    what
        What the rasters show, in words: attention, or a class's probability where the method attends to nothing.
    rasters
        One for each magnification, the one to be looked at first.
    """

    stage: str
    epoch: int
    slide: str
    prediction: SlidePrediction | None = None
    missing: str = ""
    what: str = ""
    rasters: tuple[Drawn, ...] = ()

    @property
    def path(self) -> str:
        """File of the slide; empty where that is not known."""
        return str(self._about_slide.get("path") or "")

    @property
    def fingerprint(self) -> str:
        """Of the slide; empty where that is not known."""
        return str(self._about_slide.get("fingerprint") or "")

    @property
    def _about_slide(self) -> Mapping[str, Any]:
        return {} if self.prediction is None else self.prediction.provenance.get("slide") or {}


def see(sight: Any) -> Seen:
    """Read what a `Sight` names and spread it over its rasters.

    Raises
    ------
    WsimilError, OSError
        The file can't be read.
    """
    from napari_wsimil.inference import load_prediction

    known = sight.stage, sight.epoch, sight.slide
    if sight.prediction is None:
        return Seen(*known, missing=sight.missing)
    prediction = load_prediction(sight.prediction)
    what, rasters = _attention(prediction) if prediction.attention else _probability(prediction)
    return Seen(*known, prediction, sight.missing, what, rasters)


def _attention(prediction: SlidePrediction) -> tuple[str, tuple[Drawn, ...]]:
    """The magnification with most patches comes first: finer ones may be there for a few regions only."""
    tables = sorted(prediction.attention.items(), key=lambda found: -len(found[1]))
    mpp = slide_mpp(prediction)
    return "Attention", tuple(draw(Provisional(at, scores), mpp, veil=False) for at, scores in tables)


def _probability(prediction: SlidePrediction) -> tuple[str, tuple[Drawn, ...]]:
    name, drawn = prediction.positive_class, []
    for mpp in sorted(prediction.instances):
        scores = raster_scores(prediction, "instances", mpp, name)
        values, options = placed(scores, slide_mpp(prediction))
        look = {"colormap": probability_colormap(), "contrast_limits": (0.0, 1.0), "opacity": OPACITY}
        drawn.append(Drawn(mpp, scores, values, options | look))
    return f"{name[:1].upper()}{name[1:]} probability", tuple(drawn)
