"""What a worker does to start and to find runs: it writes files and starts processes, and a window waits for neither."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.training.runs.plan import TrainingPlan

MANIFEST = "manifest.csv"


def manifest_place(out: Path) -> Path:
    """Where the manifest of a run lies that was made in the window: out of sight in its folder."""
    return out / ".background" / MANIFEST


def start(draft: Any, plan: TrainingPlan) -> Any:
    """Write the manifest of a draft to where the plan says, and start the run; returns the `BackgroundRun`.

    Raises
    ------
    WsimilError
        It can't be started; one sentence says why, and nothing is left behind.
    """
    from napari_wsimil.training.background import start_run

    out, manifest = plan.out, plan.manifest
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingError(f"{out} is not empty; choose a new folder under Run folder, or go on with the run that is in it.")
    there = next(folder for folder in (out, *out.parents) if folder.exists())
    try:
        manifest.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out} can't be written ({error.strerror}); choose another folder under Run folder.") from error
    try:
        draft.write(manifest)
        return start_run(plan)
    except BaseException:
        _take_back(manifest, there)
        raise


def find(folder: Path) -> Any:
    """The run in a folder: a `BackgroundRun`, or the folder itself where it holds a model that was trained otherwise.

    Raises
    ------
    TrainingError
        It holds neither.
    """
    from napari_wsimil.training.background import attach_run

    try:
        return attach_run(folder)
    except TrainingError as error:
        if (folder / "model" / "model.json").is_file():
            return folder
        raise TrainingError(f"{folder} holds no run; choose a folder in which a model was trained.") from error


def _take_back(manifest: Path, there: Path) -> None:
    """Remove what was written for a run that did not start, up to the folder that was there before."""
    with suppress(OSError):
        for file in manifest.parent.iterdir():
            file.unlink()
    folder = manifest.parent
    while folder != there:
        with suppress(OSError):
            folder.rmdir()
        folder = folder.parent
