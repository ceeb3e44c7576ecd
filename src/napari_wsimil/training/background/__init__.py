"""Trainings in processes of their own, which survive the window, and can be looked at, paused, stopped and gone on with."""

from napari_wsimil.training.background.handle import BackgroundRun, attach_run
from napari_wsimil.training.background.recent import recent_runs
from napari_wsimil.training.background.records import RunState, Sight, ValidationScores
from napari_wsimil.training.background.starting import start_run

__all__ = ["BackgroundRun", "RunState", "Sight", "ValidationScores", "attach_run", "recent_runs", "start_run"]
