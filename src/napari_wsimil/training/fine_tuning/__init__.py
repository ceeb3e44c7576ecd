"""Training a finished model further: all of it, its head or an adapter; from labels of slides, polygons on them, or both."""

from napari_wsimil.training.fine_tuning.freezing import tunable
from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
from napari_wsimil.training.fine_tuning.recipe import FineTuning
from napari_wsimil.training.fine_tuning.run import fine_tune, fine_tune_steps
from napari_wsimil.training.fine_tuning.settings import FineTuningSettings

__all__ = ["FineTuning", "FineTuningPlan", "FineTuningSettings", "fine_tune", "fine_tune_steps", "tunable"]
