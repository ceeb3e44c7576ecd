"""A few marks on one slide, or its label put right, turned into a short fine-tuning that does not forget.

Names are loaded when first used: `defaults` can be read without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_wsimil.training.corrections.correction import Correction
    from napari_wsimil.training.corrections.plan import correction_plan
    from napari_wsimil.training.corrections.rehearsal import Rehearsal, usual_rehearsal, usual_validation
    from napari_wsimil.training.corrections.run import correct

__all__ = ["Correction", "Rehearsal", "correct", "correction_plan", "usual_rehearsal", "usual_validation"]

_HOMES = {
    "Correction": "correction",
    "Rehearsal": "rehearsal",
    "correct": "run",
    "correction_plan": "plan",
    "usual_rehearsal": "rehearsal",
    "usual_validation": "rehearsal",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
