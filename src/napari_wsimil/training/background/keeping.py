"""What is kept of the network while it learns, for windows to show: its answers for the validation slides, and one sight."""

from __future__ import annotations

import sys
import time
import traceback
from typing import TYPE_CHECKING

from napari_wsimil.errors import WsimilError
from napari_wsimil.mil import MILModel
from napari_wsimil.training.background.folder import SIGHT, SIGHT_PREDICTION, VALIDATION
from napari_wsimil.training.background.records import KeptScores, KeptSight
from napari_wsimil.training.background.sights import Looking

if TYPE_CHECKING:
    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.training.background.folder import BackgroundFolder
    from napari_wsimil.training.watching import Glance

SHARE = 0.2
"""Most of the time that may go into what is kept; the last epoch, and a slide that was just chosen, are kept in any case."""


class Keeper:
    """Called after each epoch; writes `validation.json` and, of the slide that is watched, `sight.prediction.h5`.

    Epochs are left out where keeping them all would take more than `SHARE` of the time.

    Parameters
    ----------
    folder
        Of the run.
    slide
        Name of the slide to watch, or None.
    """

    def __init__(self, folder: BackgroundFolder, slide: str | None) -> None:
        self._folder, self._slide = folder, slide
        self._glance: Glance | None = None
        self._looking = Looking()
        self._next = 0.0

    def __call__(self, glance: Glance) -> None:
        """Keep what there is to keep.

        Raises
        ------
        OSError, PredictionError
            It can't be written.
        """
        # what an encoder or an adapter learns from patches is no model of slides
        if isinstance(glance.model, MILModel):
            self._glance = glance
        started = time.perf_counter()
        if started < self._next and not glance.last:
            return
        self._keep_scores(glance)
        if glance is self._glance:
            self._keep_sight()
        ended = time.perf_counter()
        self._next = ended + (ended - started) * (1 - SHARE) / SHARE

    def watch(self, slide: str | None) -> None:
        """Watch another slide, from now on; raises as calling it does."""
        if slide == self._slide:
            return
        self._slide = slide
        self._keep_sight()

    def _keep_scores(self, glance: Glance) -> None:
        scores = glance.scores
        if scores is None:
            return
        classes = scores.classes if glance.spec is None else glance.spec.classes
        table = tuple(map(tuple, scores.probabilities.tolist()))
        targets = tuple(scores.targets.tolist())
        self._folder.write(VALIDATION, KeptScores(glance.stage, glance.epoch, tuple(classes), scores.names, targets, table))

    def _keep_sight(self) -> None:
        """Look at the slide; where nothing can be seen on it, the training goes on all the same."""
        glance = self._glance
        if self._slide is None or glance is None:
            return
        prediction, missing = self._looked(glance, self._slide)
        path = self._folder.path / SIGHT_PREDICTION
        if prediction is None:
            path.unlink(missing_ok=True)
        else:
            prediction.save(path)
        self._folder.write(SIGHT, KeptSight(glance.stage, glance.epoch, self._slide, missing))

    def _looked(self, glance: Glance, slide: str) -> tuple[SlidePrediction | None, str]:
        try:
            return self._looking.at(glance, slide)
        except WsimilError as error:
            return None, str(error)
        except Exception as error:  # noqa: BLE001 - a picture is no reason to lose a training
            traceback.print_exc(file=sys.stderr)
            return None, f"What the network sees on {slide} can't be shown ({type(error).__name__}: {error})."
