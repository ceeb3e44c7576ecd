"""How the probabilities of a model are made to mean what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Calibration(BaseModel):
    """One temperature for all answers of a model (Guo et al. 2017, section 4.2).

    Attributes
    ----------
    method
        "temperature", or "none" where the slides did not allow a fit: `note` says why, and probabilities stay as they are.
    temperature
        Above 1 where the model was too sure of itself, below 1 where it was not sure enough.
    cases
        Slides on which it was fitted: those of the validation split, never of the test split.
    log_loss_before, log_loss_after, ece_before, ece_after
        Log loss and expected calibration error on those slides; None where there was no slide.
    note
        What a user should know of the fit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: Literal["temperature", "none"] = "temperature"
    temperature: float = Field(default=1.0, ge=1e-3, le=1e3)
    cases: int = Field(ge=0)
    log_loss_before: float | None = None
    log_loss_after: float | None = None
    ece_before: float | None = None
    ece_after: float | None = None
    note: str = Field(default="", max_length=1000)

    @property
    def scales(self) -> bool:
        """Whether it changes probabilities at all."""
        return self.method == "temperature"

    def apply(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., C) calibrated probabilities: each to the power of 1 / temperature, made to sum to 1 again."""
        return tempered(probabilities, self.temperature) if self.scales else probabilities


def tempered(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """(..., C) probabilities to the power of 1 / `temperature`, summing to 1: softmax(logits / temperature) of a softmax."""
    log = np.log(np.clip(probabilities, np.finfo(np.float64).tiny, 1))
    scaled: NDArray[np.float64] = softmax(log / temperature, axis=-1)
    return scaled
