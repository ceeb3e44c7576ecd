"""What a model says of each slide of a set: the one table that metrics, calibration and reports are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_wsimil.training.bag_sets import load_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.mil import MILModel, MILOutput
    from napari_wsimil.training.bag_sets import BagSet


@dataclass(frozen=True)
class Scores:
    """Answers for n slides and C classes.

    Attributes
    ----------
    names
        Of the slides.
    targets
        (n,) int64, their true classes.
    logits, probabilities
        (n, C) float64, as the model gives them: not calibrated.
    classes
        Names of the classes; their numbers where a set does not name them.
    """

    names: tuple[str, ...]
    targets: NDArray[np.int64]
    logits: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def score(
    model: MILModel,
    bags: BagSet,
    classes: Sequence[str] = (),
    on_bag: Callable[[int, MILOutput], None] | None = None,
) -> Scores:
    """Run `model`, in evaluation mode from then on, on every bag.

    Parameters
    ----------
    on_bag
        Called with each row and the output for it, for who wants more than the slide's answer.
    """
    model.eval()
    logits, probabilities = [], []
    with torch.inference_mode():
        for row, bag in load_ahead(bags, range(len(bags))):
            output = model(bag)
            logits.append(output.logits.double().cpu().numpy())
            probabilities.append(model.probabilities(output.logits).double().cpu().numpy())
            if on_bag is not None:
                on_bag(row, output)
    width = len(classes) or (len(logits[0]) if logits else 0)
    table = (len(logits), width)
    return Scores(
        tuple(bags.names),
        np.asarray(bags.targets, np.int64),
        np.asarray(logits, np.float64).reshape(table),
        np.asarray(probabilities, np.float64).reshape(table),
        tuple(classes) or tuple(map(str, range(width))),
    )
