"""What a run in the background is asked to do, as a file that any process can read: `request.json`."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

if TYPE_CHECKING:
    from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
    from napari_wsimil.training.runs.plan import TrainingPlan


class _Asked(BaseModel):
    """What both tasks have; see `TrainingPlan`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: Path
    out: Path
    settings: dict[str, Any] = Field(default_factory=dict)
    features: tuple[Path, ...] = ()
    store: Path | None = None
    validation: float = 0.15
    test: float = 0.15
    device: str = "auto"
    title: str = ""
    command: str = ""

    def chosen(self) -> dict[str, Any]:
        """All but the task."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "task"}


class TrainRequest(_Asked):
    """A `TrainingPlan`."""

    task: Literal["train"] = "train"
    method: str
    encoder: str = "bundled"
    mpps: tuple[float, ...] = ()
    patch_size: int | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    positive_class: str | None = None
    folds: int | None = None
    fold: int | None = None

    def plan(self) -> TrainingPlan:
        """The plan; raises `WsimilError` where this version does not know its method or a setting."""
        from napari_wsimil.training.runs.plan import TrainingPlan

        return TrainingPlan(**self.chosen())


class FineTuneRequest(_Asked):
    """A `FineTuningPlan`, its model by folder or name."""

    task: Literal["fine-tune"] = "fine-tune"
    model: str
    rehearsal: Path | None = None
    judges: Path | None = None
    names: dict[str, str] = Field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def plan(self, *, trust_code: bool = False) -> FineTuningPlan:
        """The plan, its model loaded; raises `WsimilError` where that can't be done.

        Parameters
        ----------
        trust_code
            See `load_model`; never part of the file, so that nobody's run folder can bring a program to run.
        """
        from napari_wsimil.packages import load_model
        from napari_wsimil.training.fine_tuning.plan import FineTuningPlan

        return FineTuningPlan(**{**self.chosen(), "model": load_model(self.model, trust_code=trust_code)})


class Request(RootModel[Annotated[TrainRequest | FineTuneRequest, Field(discriminator="task")]]):
    """Either of them."""


def request_of(plan: TrainingPlan | FineTuningPlan) -> TrainRequest | FineTuneRequest:
    """Turn a plan into a request: all paths are made absolute, since another process has another folder to start from."""
    given = {field.name: getattr(plan, field.name) for field in fields(plan)}
    for name in ("manifest", "out", "store", "rehearsal", "judges"):
        if given.get(name) is not None:
            given[name] = _whole(given[name])
    given["features"] = tuple(_whole(folder) for folder in given["features"])
    if "model" in given:
        return FineTuneRequest(**{**given, "model": _lasting(given["model"].source)})
    return TrainRequest(**{**given, "encoder": _lasting(given["encoder"])})


def _whole(path: Path) -> Path:
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() would follow links that are meant


def _lasting(name: str) -> str:
    """A folder or file by its whole path; "bundled" and names on a hub as they are."""
    return str(_whole(Path(name))) if name != "bundled" and Path(name).expanduser().exists() else name
