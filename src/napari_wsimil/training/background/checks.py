"""What can be said against a run before a process is started for it; the process looks once more, and closer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.background.requests import FineTuneRequest
from napari_wsimil.training.data.manifest import read_manifest
from napari_wsimil.training.data.splits import k_folds, split_cases
from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
from napari_wsimil.training.fine_tuning.settings import FineTuningSettings
from napari_wsimil.training.fine_tuning.study import make_lesson
from napari_wsimil.training.runs.run_folder import SETTINGS, RunFolder, first_difference
from napari_wsimil.training.runs.study import check_classes

if TYPE_CHECKING:
    from typing import Any

    from napari_wsimil.training.background.requests import TrainRequest
    from napari_wsimil.training.runs.plan import TrainingPlan

NEUTRAL = frozenset({"out", "device", "title", "command", "store", "notices"})
"""What may differ between a run and the one that goes on with it."""


def check_plan(plan: TrainingPlan | FineTuningPlan, *, resume: bool) -> None:
    """Refuse what can't be trained: the folder, the manifest, its labels, classes and splits.

    Raises
    ------
    WsimilError
        One sentence says what is wrong.
    """
    if isinstance(plan, FineTuningPlan):
        _check_folder(plan, resume=resume)
        make_lesson(plan)
        return
    _check_folder(plan, resume=resume, folds=plan.folds is not None)
    manifest = read_manifest(plan.manifest, classes=plan.classes, features=plan.features or None)
    seed = plan.chosen_settings().seed
    if plan.folds is None:
        splits = [split_cases(manifest, validation=plan.validation, test=plan.test, seed=seed)]
    else:
        splits = k_folds(manifest, plan.folds, validation=plan.validation, seed=seed)
    for split in splits:
        check_classes(plan, manifest, split)


def check_same(before: TrainRequest | FineTuneRequest, now: TrainRequest | FineTuneRequest) -> None:
    """Refuse to go on with a run as another one: what was asked for first stays what `go_on` does.

    Raises
    ------
    TrainingError
        They differ in more than the device and words for people.
    """
    different = first_difference(_asked(before), _asked(now))
    if different:
        raise TrainingError(
            f"{now.out} holds a training with {different}, so it can't be gone on with; repeat its settings, or choose another "
            "folder."
        )


def _asked(request: TrainRequest | FineTuneRequest) -> dict[str, Any]:
    """What the result depends on, with all defaults."""
    told = {name: value for name, value in request.chosen().items() if name not in NEUTRAL}
    if isinstance(request, FineTuneRequest):
        return {"task": request.task, **told, "settings": FineTuningSettings(**request.settings).model_dump(mode="json")}
    plan = request.plan()
    chosen = {"settings": plan.chosen_settings().model_dump(mode="json"), "parameters": plan.chosen_parameters()}
    return {"task": request.task, **told, **chosen}


def _check_folder(plan: TrainingPlan | FineTuningPlan, *, resume: bool, folds: bool = False) -> None:
    out = plan.out.expanduser()
    begun = (out / SETTINGS).is_file() or any(out.glob(f"fold-*/{SETTINGS}"))
    if begun and not resume:
        raise TrainingError(
            f"{out} holds a training already; go on with it (Resume, --resume, in Python resume=True) or choose another folder."
        )
    if not begun and not folds:
        RunFolder(out).refuse_foreign()
    if begun and not folds:
        RunFolder(out).refuse_held()
