"""What is to be trained: the choices that a command, a script or a form makes, checked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_wsimil.errors import ModelError, TrainingError
from napari_wsimil.mil import METHODS
from napari_wsimil.training.recipes import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

    from napari_wsimil.training.recipe import RecipeSpec
    from napari_wsimil.training.settings import TrainingSettings

Given = Mapping[str, Any]


@dataclass(frozen=True)
class TrainingPlan:
    """One training, or one cross-validation.

    Attributes
    ----------
    manifest
        CSV with slides, feature files or folders of images and their labels, see `read_manifest`.
    method
        A name in `mil.METHODS`.
    out
        Folder of the run.
    encoder
        "bundled" or a folder. For features that were made before: the encoder that made them.
    mpps
        µm per pixel of the patches; empty: what the encoder was trained at, or what the feature files hold.
    patch_size
        Side of the patches in pixels; None: what the encoder takes.
    store
        Where features of slides are kept; None: the folder `features` of the run.
    features
        Folders of feature files named like the slides; empty: the manifest's own paths.
    parameters
        Hyper-parameters of the method that differ from its defaults.
    settings
        Settings of its recipe that differ from the published ones.
    classes
        Order of the classes; None: sorted.
    positive_class
        The class that sensitivity, F1 and the heatmap are about; None: the second of two.
    validation, test
        Shares of the slides, where the manifest has no splits.
    folds
        Of a cross-validation; None: one training.
    fold
        From 1: train only this fold of them.
    device
        "auto", "cpu", "cuda".
    title
        For people; by default made of method and manifest.
    command
        How it was started, for the record.
    """

    manifest: Path
    method: str
    out: Path
    encoder: str = "bundled"
    mpps: tuple[float, ...] = ()
    patch_size: int | None = None
    store: Path | None = None
    features: tuple[Path, ...] = ()
    parameters: Given = field(default_factory=dict)
    settings: Given = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    positive_class: str | None = None
    validation: float = 0.15
    test: float = 0.15
    folds: int | None = None
    fold: int | None = None
    device: str = "auto"
    title: str = ""
    command: str = ""

    def __post_init__(self) -> None:
        _checked(METHODS[self.recipe.name].parameters, self.parameters, self.method, "hyper-parameter")
        _checked(self.recipe.settings, self.settings, self.method, "setting")
        if self.fold is not None and self.folds is None:
            raise TrainingError("A single fold needs the number of folds: give both.")
        if self.fold is not None and self.folds is not None and not 1 <= self.fold <= self.folds:
            raise TrainingError(f"There is no fold {self.fold} of {self.folds}; count from 1.")

    @property
    def recipe(self) -> RecipeSpec:
        """How the method is trained; raises TrainingError for a method that is not known."""
        return recipe_of(self.method)

    def chosen_parameters(self) -> dict[str, Any]:
        """All hyper-parameters."""
        return _checked(METHODS[self.method].parameters, self.parameters, self.method, "hyper-parameter").model_dump()

    def chosen_settings(self) -> TrainingSettings:
        """All settings of the recipe."""
        settings: TrainingSettings = _checked(self.recipe.settings, self.settings, self.method, "setting")
        return settings


def recipe_of(method: str) -> RecipeSpec:
    """Return the recipe of a method.

    Raises
    ------
    ModelError
        There is no such method.
    """
    if method not in METHODS or method not in RECIPES:
        raise ModelError(f"The MIL method {method!r} is not known; this version has {', '.join(RECIPES)}.")
    return RECIPES[method]


def usual_mpps(method: str, finest: float, parameters: Given) -> tuple[float, ...]:
    """Magnifications where none is chosen, coarse to fine: `finest` and, where a method looks at several, coarser ones.

    Parameters
    ----------
    method
        Its name.
    finest
        µm per pixel that the encoder was trained at.
    parameters
        Hyper-parameters that differ from the method's defaults.
    """
    if recipe_of(method).stages is not None:
        return (4 * finest, finest)
    count = _checked(METHODS[method].parameters, parameters, method, "hyper-parameter").model_dump().get("magnifications", 1)
    return tuple(finest * 2**step for step in reversed(range(count)))


def sorted_out(method: str, given: Given) -> tuple[dict[str, Any], dict[str, Any]]:
    """Share out values between hyper-parameters and settings by their names: (parameters, settings).

    Raises
    ------
    TrainingError
        A name is neither; the sentence lists what there is.
    """
    recipe = recipe_of(method)
    parameters, settings = METHODS[method].parameters.model_fields, recipe.settings.model_fields
    for name in given:
        if name not in parameters and name not in settings:
            raise TrainingError(
                f"{method} has nothing called {name!r}; its hyper-parameters are {', '.join(parameters)}, and the settings of "
                f"its training {', '.join(settings)}."
            )
    return (
        {name: value for name, value in given.items() if name in parameters},
        {name: value for name, value in given.items() if name not in parameters},
    )


def _checked(kind: type[BaseModel], given: Given, method: str, what: str) -> Any:
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            raise TrainingError(f"{method} has no {what} {name!r}; it has {', '.join(kind.model_fields)}.") from error
        raise TrainingError(f"The {what} {name!r} of {method} can't be {given.get(name)!r}: {first['msg']}.") from error
