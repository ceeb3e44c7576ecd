"""From corrections to a fine-tuning: its table of slides, with copies of the marks, in the folder of the run to be."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_wsimil.errors import TrainingError
from napari_wsimil.packages import Model, load_model
from napari_wsimil.training.corrections.correction import cases_of
from napari_wsimil.training.corrections.defaults import TUNE, settings_of_a_correction
from napari_wsimil.training.corrections.rehearsal import usual_rehearsal, usual_validation
from napari_wsimil.training.data.manifest_writing import write_manifest
from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
from napari_wsimil.training.runs.run_folder import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_wsimil.training.corrections.correction import Correction
    from napari_wsimil.training.data.manifest import Case
    from napari_wsimil.training.fine_tuning.settings import Tune

LESSON = ".lesson"
"""Folder in that of the run: the manifest, and copies of what was drawn, so that a run goes on with what it began with."""

Old = Path | Literal["auto"] | None


def correction_plan(
    model: str | Path | Model,
    corrections: Sequence[Correction],
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
    command: str = "",
    resume: bool = False,
) -> FineTuningPlan:
    """Check corrections and write them down as the lesson of a fine-tuning; starts nothing.

    Parameters
    ----------
    model
        What is corrected; it stays as it is.
    corrections
        One for each slide.
    out
        Folder of the run to be.
    tune
        What changes: "head", "adapter" or "all".
    rehearsal, validation
        Manifests of slides that are mixed in so that the model does not forget, and of slides that judge; "auto": those of the
        run that made the model; None: none.
    settings
        Settings of `FineTuningSettings` that differ from those of a correction.
    store
        Folder that keeps features of the corrected slides; None: `features` in `out`.
    names
        What names of marks stand for: name -> class of the model, "ignore" or "exclusion".
    device, title, command
        See `FineTuningPlan`.
    resume
        Whether the run in `out` is to go on.

    Raises
    ------
    WsimilError
        A correction says nothing or contradicts itself, a file can't be read, or `out` holds something else already.
    """
    loaded = model if isinstance(model, Model) else load_model(model)
    folder = Path(out).expanduser()
    cases = cases_of(corrections, loaded, names or {})
    old, notices = _old(loaded, rehearsal)
    judges = usual_validation(loaded) if validation == "auto" else _path(validation)
    marked = any(case.annotation for case in cases)
    chosen = {**settings_of_a_correction(tune, marked=marked), **(settings or {}), "tune": tune}
    plan = FineTuningPlan(
        model=loaded,
        manifest=folder / LESSON / "manifest.csv",
        out=folder,
        settings=chosen,
        store=_path(store),
        rehearsal=old,
        judges=judges,
        names=dict(names or {}),
        device=device,
        title=title,
        command=command,
        notices=notices,
    )
    if (folder / SETTINGS).exists() and not resume:
        raise TrainingError(
            f"{folder} holds a training already; go on with it (--resume, in Python resume=True) or choose another folder."
        )
    _write(cases, plan.manifest)
    return plan


def _old(model: Model, rehearsal: Old) -> tuple[Path | None, tuple[str, ...]]:
    """Manifest of slides to rehearse, and what is to be said of it."""
    if rehearsal != "auto":
        return _path(rehearsal), ()
    known = usual_rehearsal(model)
    if known is not None:
        return known.manifest, (known.notice,) if known.notice else ()
    notice = (
        "The slides that the model was trained on are not known here, so none are shown again: it may forget; name a manifest "
        "of them for rehearsal."
    )
    return None, (notice,)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given).expanduser()


def _write(cases: Sequence[Case], path: Path) -> None:
    """The manifest, with absolute paths, and copies of the annotations beside it."""
    folder = path.parent
    kept = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, case in enumerate(cases):
            copy = None
            if case.annotation is not None:
                copy = folder / f"{number}{''.join(case.annotation.suffixes[-2:])}"
                if copy.resolve() != case.annotation.resolve():
                    shutil.copyfile(case.annotation, copy)
            kept.append(replace(case, path=case.path.absolute(), annotation=copy))
    except OSError as error:
        raise TrainingError(f"{folder} can't be written ({error.strerror or error}); choose another folder.") from error
    write_manifest(kept, path)
