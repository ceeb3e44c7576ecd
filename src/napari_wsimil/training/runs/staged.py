"""Methods that are trained in several stages: what they are given, and what they give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_wsimil.mil import MILModel
    from napari_wsimil.packages import ModelSpec
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.data.pixels import PatchPixels
    from napari_wsimil.training.settings import TrainingSettings
    from napari_wsimil.training.watching import Watch


@dataclass(frozen=True)
class StagedTask:
    """One training in stages.

    Attributes
    ----------
    train, validation
        What to learn from, and what chooses epochs; features at all magnifications of `spec`.
    settings
        The recipe's.
    spec
        The package that a plain training would end in: method, its parameters, classes, encoder, magnifications from coarse to
        fine, how patches are cut.
    folder
        Of the run; stages go to its subfolder `stages`, and a run that was stopped goes on from there.
    pixels
        Pixels of the patches of `train` and `validation`, or None where there are features only.
    identity
        What the slides and features are, as text: a finished stage made with others is noticed.
    device
        Where to compute.
    watch
        For the trainers of all stages.
    """

    train: BagSet
    validation: BagSet
    settings: TrainingSettings
    spec: ModelSpec
    folder: Path
    pixels: tuple[PatchPixels, PatchPixels] | None = None
    identity: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    watch: Watch | None = None


@dataclass(frozen=True)
class StagedResult:
    """What a training in stages ends in.

    Attributes
    ----------
    model
        The trained network, in evaluation.
    spec
        The task's, with what the stages changed: encoder, magnifications, parameters.
    encoder
        Folder of an encoder that was trained on the way, for ``save_model(..., encoder=...)``; None: the one that `spec` names.
    models
        Networks of other stages that are worth comparing, by name, with their specs.
    notes
        JSON-able facts for the package's provenance.
    """

    model: MILModel
    spec: ModelSpec
    encoder: Path | None = None
    models: Mapping[str, tuple[MILModel, ModelSpec]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
