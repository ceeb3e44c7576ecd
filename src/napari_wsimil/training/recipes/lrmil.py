"""LRMIL is trained in five stages: a teacher of fine patches, an encoder for coarse ones, a student of these."""

from __future__ import annotations

from typing import Literal

from napari_wsimil.mil.parameters import parameter
from napari_wsimil.training.lrmil import lrmil_stages
from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.settings import Selection, TrainingSettings, published

CODE = "LRMIL, official code (hvcl/LRMIL 5455aa3)"
OURS = "ours: the official code asks for every value and gives none"


class LRMILSettings(TrainingSettings):
    """Teacher and student share the general settings; those of the stage between them have names of their own."""

    epochs: int = published("epochs", 100, OURS)
    learning_rate: float = published("learning_rate", 1e-4, OURS)
    patience: int = published("patience", 15, OURS)
    select: Selection = published("select", "auc", CODE)
    form: Literal["encoder", "adapter"] = parameter(
        "encoder",
        "What learns to see coarse patches: a copy of the encoder, which needs the slides, or an adapter behind it, for which "
        "stored features are enough.",
        "Shin and Jeong 2026: the encoder; the adapter is ours",
    )
    patch_epochs: int = parameter(
        10, "Times that every coarse patch is seen by what learns to see them.", OURS, guess=True, ge=1
    )
    patch_learning_rate: float | None = parameter(
        None, "Size of a change there; none: 1e-4 for an encoder, 1e-3 for an adapter.", OURS, guess=True, gt=0, le=10
    )
    patch_batch: int = parameter(32, "Coarse patches in a step, for an encoder.", OURS, guess=True, ge=1, le=65536)
    patch_patience: int = parameter(3, "Stop that stage after this many epochs without a better one; 0: never.", OURS, ge=0)
    patches_of_slide: int = parameter(0, "Coarse patches of each slide in an epoch, drawn anew; 0: all.", OURS, ge=0)
    layer_weight: float = parameter(1.0, "Weight of what the encoder's layers say.", OURS, guess=True, ge=0)
    final_weight: float = parameter(1.0, "Weight of its features.", OURS, guess=True, ge=0)


RECIPE = RecipeSpec("lrmil", LRMILSettings, source=CODE, stages=lrmil_stages)
