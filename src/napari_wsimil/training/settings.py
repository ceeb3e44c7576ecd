"""How a model is trained: the settings that all recipes share, with what a recipe's paper says as its defaults."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from napari_wsimil.mil.parameters import Parameters, parameter

OURS = "ours"

OptimiserName = Literal["adam", "adamw", "sgd", "radam", "lookahead-radam"]
ScheduleName = Literal["constant", "cosine", "plateau", "steps"]
Selection = Literal["loss", "auc", "balanced_accuracy", "f1", "auc+f1"]


class TrainingSettings(Parameters):
    """Settings of any recipe; a recipe's own class changes defaults and adds what only its method knows."""

    epochs: int = parameter(100, "Times that every slide is seen.", OURS, ge=1, le=100_000)
    optimiser: OptimiserName = parameter("adam", "Rule by which weights are changed.", OURS)
    learning_rate: float = parameter(1e-4, "Size of a change.", OURS, gt=0, le=10)
    betas: tuple[float, float] = parameter((0.9, 0.999), "How long Adam remembers gradients and their squares.", "PyTorch")
    weight_decay: float = parameter(0.0, "How strongly weights are pulled towards 0.", OURS, ge=0, le=1)
    momentum: float = parameter(0.0, "How much of the last change SGD keeps.", OURS, ge=0, lt=1)
    schedule: ScheduleName = parameter("constant", "How the learning rate falls over the epochs.", OURS)
    schedule_end: float = parameter(0.0, "Cosine: the learning rate of the last epoch.", OURS, ge=0, le=10)
    schedule_factor: float = parameter(0.1, "Plateau and steps: by what the rate is multiplied.", OURS, gt=0, lt=1)
    schedule_patience: int = parameter(5, "Plateau: epochs without a lower validation loss.", OURS, ge=0, le=10_000)
    schedule_at: tuple[int, ...] = parameter((), "Steps: the epochs before which the rate falls.", OURS)
    accumulate: int = parameter(1, "Slides whose gradients are added up for one change.", OURS, ge=1, le=4096)
    clip: float = parameter(0.0, "Largest norm of a gradient; 0: no limit.", OURS, ge=0, le=1e6)
    balanced: Literal["none", "sampling", "loss"] = parameter(
        "none", "Rare classes count as much as common ones: drawn more often, or weighted in the loss.", OURS
    )
    patience: int = parameter(20, "Stop after this many epochs without a better one; 0: never.", OURS, ge=0, le=100_000)
    patience_from: int = parameter(0, "Epochs that are trained in any case.", OURS, ge=0, le=100_000)
    select: Selection = parameter("loss", "By what on the validation slides the best epoch is chosen.", OURS)
    select_from: float = parameter(0.0, "Share of the epochs before any is chosen.", OURS, ge=0, lt=1)
    precision: Literal["full", "bf16", "fp16"] = parameter(
        "full", "Numbers in the network: bf16 and fp16 are faster on devices made for them (fp16: GPUs only).", OURS
    )
    train_encoder: bool = parameter(
        True, "Folders of patch images: the encoder learns along; off: it stays as it is.", "Qu et al. 2022; Ilse et al. 2018"
    )
    patches_of_bag: int = parameter(
        0, "Folders of patch images: most patches of a slide in one step, drawn at random; 0: all.", OURS, ge=0, le=1 << 20
    )
    seed: int = parameter(0, "Another number, another start and order.", OURS, ge=0, le=2**31 - 1)


def published(name: str, default: Any, source: str, *, guess: bool = False) -> Any:
    """Another default for a setting that all recipes have, and where it comes from; help and limits stay.

    Parameters
    ----------
    name
        Of the setting in `TrainingSettings`; the class that uses it annotates it with the same type.
    default, source, guess
        See `parameter`.
    """
    field = TrainingSettings.model_fields[name]
    limits = {limit: value for part in field.metadata for limit, value in asdict(part).items()}
    return parameter(default, field.description or "", source, guess=guess, **limits)
