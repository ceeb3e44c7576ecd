"""Correcting a model as one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_wsimil.training.corrections.correction import Correction
from napari_wsimil.training.corrections.defaults import TUNE
from napari_wsimil.training.corrections.plan import correction_plan
from napari_wsimil.training.fine_tuning.run import fine_tune_steps
from napari_wsimil.training.runs.run import finished

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_wsimil.packages import Model
    from napari_wsimil.training.corrections.plan import Old
    from napari_wsimil.training.events import Event
    from napari_wsimil.training.fine_tuning.settings import Tune
    from napari_wsimil.training.runs.study_run import TrainingRun


def correct(
    model: str | Path | Model,
    corrections: Sequence[Correction] | Correction,
    out: str | Path,
    *,
    tune: Tune = TUNE,
    rehearsal: Old = "auto",
    validation: Old = "auto",
    settings: Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    names: Mapping[str, str] | None = None,
    device: str = "auto",
    title: str = "",
    resume: bool = False,
    on_event: Callable[[Event], object] | None = None,
) -> TrainingRun:
    """Correct a model by what was marked on a few slides; what comes of it is a run folder, whose `model` is the new package.

    `read_before_after(run.folder)` tells what changed.

    Parameters
    ----------
    model, corrections, out
        See `correction_plan`, as for all parameters but the next.
    resume
        Go on with the run in `out`.
    on_event
        Called with every `Event`.

    Raises
    ------
    WsimilError
        The model, a slide, its marks, a setting or the folder can't be used; one sentence says why.
    """
    plan = correction_plan(
        model,
        [corrections] if isinstance(corrections, Correction) else corrections,
        out,
        tune=tune,
        rehearsal=rehearsal,
        validation=validation,
        settings=settings,
        store=store,
        names=names,
        device=device,
        title=title,
        resume=resume,
    )
    return finished(fine_tune_steps(plan, resume=resume), on_event)
