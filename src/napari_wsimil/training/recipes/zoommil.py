"""ZoomMIL is trained by the slide's label, through noisy choices of where to look closer, which the model draws itself."""

from __future__ import annotations

from typing import Literal

from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.settings import OptimiserName, ScheduleName, Selection, TrainingSettings, published

PAPER = "Thandiackal et al. 2022, section 4"
CODE = "ZoomMIL, official code (histocartography/zoommil da7bb7f), sample configuration"


class ZoomMILSettings(TrainingSettings):
    """The paper chose the epoch by the loss on CRC and CAMELYON16 and by F1 on BRIGHT."""

    epochs: int = published("epochs", 100, PAPER)
    optimiser: OptimiserName = published("optimiser", "adam", PAPER)
    learning_rate: float = published("learning_rate", 1e-4, PAPER)
    schedule: ScheduleName = published("schedule", "plateau", PAPER)
    schedule_factor: float = published("schedule_factor", 0.8, CODE)
    schedule_patience: int = published("schedule_patience", 5, CODE)
    balanced: Literal["none", "sampling", "loss"] = published("balanced", "sampling", CODE)
    patience: int = published("patience", 0, CODE)
    select: Selection = published("select", "loss", PAPER)


RECIPE = RecipeSpec("zoommil", ZoomMILSettings, source=PAPER)
