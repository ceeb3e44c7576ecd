"""What is to be fine-tuned: the choices that a command, a script or a form makes, checked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.fine_tuning.settings import FineTuningSettings

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.packages import Model

Given = Mapping[str, Any]


@dataclass(frozen=True)
class FineTuningPlan:
    """One fine-tuning.

    Attributes
    ----------
    model
        The package to begin with.
    manifest
        As for training, but labels may be missing. Its column "annotation" names polygons drawn on a slide (QuPath's GeoJSON,
        ASAP's XML), which teach where the settings say so.
    out
        Folder of the run.
    settings
        Settings that differ from the defaults of `FineTuningSettings`; "tune" and "learn_from" are among them.
    features
        Folders of feature files named like the slides; empty: the manifest's own paths.
    store
        Where features of slides are kept; None: the folder `features` of the run.
    rehearsal
        Manifest of slides that the model was trained on, or like them, mixed in so that it does not forget; or None. Where it
        is the `manifest.csv` of a run, their features are looked for in that run's store.
    judges
        Manifest whose validation slides choose the epoch and are compared before and after; None: those of `manifest`.
    names
        What names of polygons stand for: name -> class of the model, "ignore" or "exclusion".
    validation, test
        Shares of the slides, where the manifest has no splits.
    device
        "auto", "cpu", "cuda".
    title
        For people; by default that of the model with a word added.
    command
        How it was started, for the record.
    notices
        What is known already that a user should know of the run.
    """

    model: Model
    manifest: Path
    out: Path
    settings: Given = field(default_factory=dict)
    features: tuple[Path, ...] = ()
    store: Path | None = None
    rehearsal: Path | None = None
    judges: Path | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    validation: float = 0.15
    test: float = 0.0
    device: str = "auto"
    title: str = ""
    command: str = ""
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.chosen_settings()

    def chosen_settings(self) -> FineTuningSettings:
        """All settings.

        Raises
        ------
        TrainingError
            One is not known or out of range.
        """
        try:
            return FineTuningSettings.model_validate(dict(self.settings))
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else ""
            if first["type"] == "extra_forbidden":
                known = ", ".join(FineTuningSettings.model_fields)
                raise TrainingError(f"Fine-tuning has no setting {name!r}; it has {known}.") from error
            raise TrainingError(
                f"The setting {name!r} of fine-tuning can't be {self.settings.get(name)!r}: {first['msg']}."
            ) from error
