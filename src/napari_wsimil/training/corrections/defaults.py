"""How a correction is learned where nobody chose another way; knows no torch, so that a form can show it at once."""

from __future__ import annotations

from typing import Any, Literal

TUNE: Literal["all", "head", "adapter"] = "all"
SETTINGS: dict[str, Any] = {
    "choose": "correction",
    "epochs": 40,
    "patience": 15,
    "pairs": 8,
}
"""Settings of `FineTuningSettings`: a few slides are learned in many short epochs, each step with an old one."""

LEARNING_RATES = {"all": 3e-4, "head": 3e-3, "adapter": 3e-3}
"""By what is tuned: higher than for a fine-tuning on many slides."""


def settings_of_a_correction(tune: str, *, marked: bool) -> dict[str, Any]:
    """All that differs from the defaults of a fine-tuning.

    Parameters
    ----------
    tune
        What changes: "head", "adapter" or "all".
    marked
        Whether there are marks, or labels only.
    """
    learn_from = "both" if marked else "labels"
    return {"learn_from": learn_from, "learning_rate": LEARNING_RATES.get(tune, LEARNING_RATES["all"]), **SETTINGS}
