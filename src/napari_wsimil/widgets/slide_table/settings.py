"""With what many slides are predicted: what the dock "Slide analysis" of the window says, or the defaults without it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_wsimil.inference.options import PatchOptions
from napari_wsimil.widgets.analysis import SlideAnalysis

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class RunSettings:
    """How each slide is predicted.

    Attributes
    ----------
    model, title
        For `load_model`, and for people.
    choices
        For `PatchOptions`.
    keep_bytes
        How much is kept of features at most; None: nothing.
    """

    model: str = "bundled"
    title: str = "Bundled model"
    device: str = "auto"
    choices: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "auto"
    compiled: bool = False
    keep_bytes: int | None = None

    def for_cohort(self) -> dict[str, Any]:
        """What `predict_cohort` takes; loads torch, so call it off the GUI thread."""
        return {
            "model": self.model,
            "device": self.device,
            "options": self.options,
            "precision": self.precision,
            "compiled": self.compiled,
            "store": self.store,
        }

    @property
    def store(self) -> Path | None:
        """Where features are kept; loads torch, so ask off the GUI thread, or when that is done."""
        from napari_wsimil.bags.store import default_store_folder

        return None if self.keep_bytes is None else default_store_folder()

    @property
    def options(self) -> PatchOptions:
        """Which patches."""
        return PatchOptions(**self.choices)

    def trim(self) -> None:
        """Delete the features used longest ago beyond what is kept."""
        from napari_wsimil.bags.store import FeatureStore, default_store_folder

        if self.keep_bytes is not None:
            FeatureStore(default_store_folder()).trim(self.keep_bytes)


def run_settings(viewer: Any) -> RunSettings:
    """What the user chose in "Slide analysis"; shapes drawn on one slide mean nothing on others and are left out.

    Raises
    ------
    WsimilError
        What was typed there makes no sense.
    """
    dock = analysis_dock(viewer)
    if dock is None:
        return RunSettings()
    chosen = dock.options.settings(None)
    return RunSettings(
        model=dock.models.model,
        title=dock.models.model_combo.currentText(),
        device=dock.models.device,
        choices=chosen["choices"],
        precision=chosen["precision"],
        compiled=chosen["compiled"],
        keep_bytes=dock.kept.keep_bytes,
    )


def analysis_dock(viewer: Any) -> SlideAnalysis | None:
    """The dock "Slide analysis" of a window, or None."""
    return next((widget for widget in viewer.window.dock_widgets.values() if isinstance(widget, SlideAnalysis)), None)


def model_title(viewer: Any) -> str:
    """The model that is used, in words for a tooltip."""
    dock = analysis_dock(viewer)
    if dock is None:
        return "the bundled model (the dock Slide analysis offers others)"
    return f"the model and the options of Slide analysis ({dock.models.model_combo.currentText()})"
