"""What the form must know of this program and this computer; found out in a worker, since it loads PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_wsimil.encoders.foreign.listing import EncoderChoice
    from napari_wsimil.training.runs.forms import MethodForm


@dataclass(frozen=True)
class Surroundings:
    """What there is to choose from.

    Attributes
    ----------
    forms
        The methods.
    encoders
        Those that can be loaded here, and those that can't.
    device
        Kind of device that "auto" is: "cpu", "cuda" or "mps".
    """

    forms: tuple[MethodForm, ...]
    encoders: tuple[EncoderChoice, ...]
    device: str


def survey() -> Surroundings:
    """Look around; takes seconds when it is the first to load PyTorch."""
    from napari_wsimil.encoders.foreign.listing import encoder_choices
    from napari_wsimil.inference.devices import choose_device
    from napari_wsimil.training.runs.forms import method_forms

    return Surroundings(method_forms(), tuple(encoder_choices()), choose_device("auto").type)
