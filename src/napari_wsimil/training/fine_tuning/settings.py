"""How a finished model is trained further."""

from __future__ import annotations

from typing import Any, Literal, Self, get_args

from pydantic import model_validator

from napari_wsimil.mil.parameters import parameter
from napari_wsimil.training.settings import OptimiserName, TrainingSettings

OURS = "ours"

Tune = Literal["all", "head", "adapter"]
LearnFrom = Literal["labels", "polygons", "both"]
Choose = Literal["validation", "correction"]

LEARNING_RATES: dict[str, float] = {"all": 3e-5, "head": 3e-4, "adapter": 3e-4}
"""Where nobody chose one: a few new numbers may move fast, a whole trained network would forget."""


class FineTuningSettings(TrainingSettings):
    """Settings of fine-tuning, the same for all methods; its learning rate follows `tune` where it is not given."""

    tune: Tune = parameter(
        "all",
        "What changes: the whole network, only its last layers, or a new small adapter of the features in front of it.",
        OURS,
    )
    learn_from: LearnFrom = parameter("labels", "Labels of slides, polygons drawn on them, or both.", OURS)
    epochs: int = parameter(20, "Times that every slide is seen.", OURS, guess=True, ge=1, le=100_000)
    optimiser: OptimiserName = parameter("adamw", "Rule by which weights are changed.", OURS)
    learning_rate: float = parameter(
        LEARNING_RATES["all"],
        "Size of a change; where not given 0.00003 for the whole network, 0.0003 for a head or an adapter.",
        OURS,
        guess=True,
        gt=0,
        le=10,
    )
    label_weight: float = parameter(1.0, "Weight of what a slide's label teaches.", OURS, guess=True, ge=0)
    polygon_weight: float = parameter(1.0, "Weight of what the patches in polygons teach.", OURS, guess=True, ge=0)
    attention_weight: float = parameter(
        1.0,
        "Learning from both: weight of keeping attention away from patches that polygons say are not of the slide's class.",
        OURS,
        guess=True,
        ge=0,
    )
    rehearsal_weight: float = parameter(
        1.0, "Weight of a slide that is shown again so that it is not forgotten, against a new one.", OURS, guess=True, ge=0
    )
    pairs: int = parameter(
        0,
        "Least steps of an epoch, each of a new slide, shown as often as it takes, and an old one; 0: slides are taken one by "
        "one, each new one once, and as many old ones.",
        OURS,
        ge=0,
        le=100_000,
    )
    most_old_slides: int = parameter(
        64, "Of more old slides than this so many are drawn, evenly from the classes.", OURS, guess=True, ge=1, le=1_000_000
    )
    choose: Choose = parameter(
        "validation",
        "What the loss is that chooses the epoch: that of the validation slides; or, for a correction, that of what was "
        "corrected, and what the validation slides lose against the model before.",
        OURS,
    )
    min_share: float = parameter(
        0.5, "Share of a patch that must lie in polygons of a class for the patch to be of it.", OURS, gt=0, le=1
    )
    rest: str = parameter(
        "", "Class of patches that no polygon touches, on slides that are annotated completely; empty: not known.", OURS
    )
    negatives: bool = parameter(
        True,
        "Learning from both: no patch of a slide without the positive class is of it, as multiple-instance learning assumes.",
        OURS,
    )

    @model_validator(mode="before")
    @classmethod
    def _rate(cls, data: Any) -> Any:
        if isinstance(data, dict) and "learning_rate" not in data:
            tune = data.get("tune", "all")
            return {**data, "learning_rate": LEARNING_RATES[tune if tune in get_args(Tune) else "all"]}
        return data

    @model_validator(mode="after")
    def _encoder_stays(self) -> Self:
        if not self.train_encoder or self.patches_of_bag:
            raise ValueError("train_encoder and patches_of_bag are for new models: here the encoder stays as it is")
        return self

    @property
    def from_labels(self) -> bool:
        """Whether slides teach by their labels."""
        return self.learn_from != "polygons"

    @property
    def from_polygons(self) -> bool:
        """Whether patches teach by polygons."""
        return self.learn_from != "labels"
