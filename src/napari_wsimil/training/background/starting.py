"""Start a training or a fine-tuning in the background, once all is checked that can be checked quickly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.background import launching
from napari_wsimil.training.background.folder import CONTROL, REQUEST, STATE, BackgroundFolder
from napari_wsimil.training.background.handle import BackgroundRun
from napari_wsimil.training.background.recent import remember
from napari_wsimil.training.background.records import Control, RunState
from napari_wsimil.training.background.requests import Request, request_of
from napari_wsimil.training.background.sentences import unwritable

if TYPE_CHECKING:
    from napari_wsimil.training.background.requests import FineTuneRequest, TrainRequest
    from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
    from napari_wsimil.training.runs.plan import TrainingPlan


def start_run(
    plan: TrainingPlan | FineTuningPlan, *, watch: str | None = None, resume: bool = False, trust_code: bool = False
) -> BackgroundRun:
    """Train or fine-tune in a process of its own, which goes on when this one ends; returns as soon as it is started.

    Parameters
    ----------
    plan
        What is to be done. Settings and parameters must be JSON-able; paths may be relative.
    watch
        Name of a validation slide to look at after each epoch, see `BackgroundRun.watch`.
    resume
        Go on with the run in the folder, where there is one; without it a folder with a run is refused.
    trust_code
        Allow the encoder to run where it is a program (see `load_model`); for this process only, it is not kept.

    Raises
    ------
    WsimilError
        Something does not fit, the folder is in use or can't be written, or no process can be started; one sentence says what.
    """
    from napari_wsimil.training.background.checks import check_plan

    request = request_of(plan)
    files = BackgroundFolder(request.out)
    _refuse_living(files)
    check_plan(plan, resume=resume)
    files.make()
    try:
        with files.starting():
            # the checks take long enough for somebody else to begin
            _refuse_living(files)
            _begin(files, request, watch, resume=resume, trust_code=trust_code)
    except OSError as error:
        raise unwritable(files, error) from error
    remember(request.out)
    return BackgroundRun(request.out)


def _begin(
    files: BackgroundFolder, request: TrainRequest | FineTuneRequest, watch: str | None, *, resume: bool, trust_code: bool
) -> None:
    """Write what is asked for and start the process; raises OSError where a file can't be written."""
    from napari_wsimil.training.background.checks import check_same
    from napari_wsimil.training.runs.run_folder import SETTINGS

    before = files.read(STATE, RunState) if resume else None
    asked = files.read(REQUEST, Request) if before is not None else None
    if asked is not None and (request.out / SETTINGS).is_file():
        check_same(asked.root, request)
    if before is None:
        files.clear()
    files.write(REQUEST, request)
    files.write(CONTROL, Control(watch=watch))
    launching.begin(files, RunState() if before is None else RunState(started=before.started), trust_code=trust_code)


def _refuse_living(files: BackgroundFolder) -> None:
    if files.alive or _living(files):
        raise TrainingError(f"{files.run} is being trained already; wait for it, stop it, or choose another folder.")


def _living(files: BackgroundFolder) -> bool:
    """Whether a process is on its way to the run, though not yet at it."""
    return files.read(REQUEST, Request) is not None and BackgroundRun(files.run).state().living
