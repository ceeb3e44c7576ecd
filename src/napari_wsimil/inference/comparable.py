"""What of two predictions can be compared: kinds of scores, classes, magnifications, and what the two are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from napari_wsimil.errors import PredictionError
from napari_wsimil.inference.prediction import PatchScores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wsimil.inference.prediction import SlidePrediction

What = Literal["attention", "class attention", "instances"]


def comparable(
    first: SlidePrediction, second: SlidePrediction, mpps: tuple[float, float] | None = None
) -> list[tuple[What, str | None]]:
    """What of the two can be compared, at these magnifications or at any: (what, class name) for `compare`, attention first."""
    shared = [name for name in first.classes if name in second.classes]
    found: list[tuple[What, str | None]] = []
    for what in get_args(What):
        one, other = _tables(first, what), _tables(second, what)
        if (one and other) if mpps is None else (mpps[0] in one and mpps[1] in other):
            found += [(what, None)] if what == "attention" else [(what, name) for name in shared]
    return found


def magnifications(prediction: SlidePrediction, what: What) -> list[float]:
    """The magnifications at which a prediction has it, finest first."""
    return sorted(_tables(prediction, what))


def tell_apart(first: SlidePrediction, second: SlidePrediction, mpps: tuple[float, float]) -> tuple[str, str]:
    """Names of the two by their models, and by magnification or order where those are the same."""
    ids = [str(one.provenance.get("model", {}).get("id", "model")) for one in (first, second)]
    if ids[0] != ids[1]:
        return ids[0], ids[1]
    if mpps[0] != mpps[1]:
        return f"{ids[0]} at {mpps[0]:g} µm/px", f"{ids[1]} at {mpps[1]:g} µm/px"
    return f"{ids[0]} (first)", f"{ids[1]} (second)"


def _tables(prediction: SlidePrediction, what: str) -> Mapping[float, PatchScores]:
    tables = {
        "attention": prediction.attention,
        "class attention": prediction.class_attention,
        "instances": prediction.instances,
    }[what]
    return {mpp: scores for mpp, scores in tables.items() if len(scores)}


def shared_class(first: SlidePrediction, second: SlidePrediction) -> str:
    """The class to compare where none is named: the positive class of the first where both know it."""
    for name in (first.positive_class, second.positive_class, *first.classes):
        if name in first.classes and name in second.classes:
            return name
    raise PredictionError(f"The models know no class in common: {', '.join(first.classes)}; {', '.join(second.classes)}.")


def matching_magnifications(first: SlidePrediction, second: SlidePrediction, what: What) -> tuple[float, float]:
    """The magnifications to compare where none are named: the finest in common; of one prediction its finest and coarsest."""
    one, other = (_found(prediction, what) for prediction in (first, second))
    if first is second:
        if len(one) == 1:
            raise PredictionError(
                f"This prediction has {what} at one magnification only ({one[0]:g} µm/px), so it can't be compared with itself."
            )
        return one[0], one[-1]
    shared = [mpp for mpp in one if mpp in other]
    return (shared[0], shared[0]) if shared else (one[0], other[0])


def _found(prediction: SlidePrediction, what: What) -> list[float]:
    found = magnifications(prediction, what)
    if not found:
        model = prediction.provenance.get("model", {}).get("id", "this model")
        raise PredictionError(f"The prediction of {model} has no {what}; compare something else.")
    return found


def known_scores(prediction: SlidePrediction, mpp: float, what: What, class_name: str | None) -> PatchScores:
    """The scores (N,) of the patches, those that are known."""
    found = _found(prediction, what)
    if mpp not in found:
        raise PredictionError(f"There is no {what} at {mpp:g} µm/px; there is at {', '.join(f'{one:g}' for one in found)}.")
    scores = _tables(prediction, what)[mpp]
    if class_name is not None:
        if class_name not in prediction.classes:
            raise PredictionError(f"There is no class {class_name!r}; there is {', '.join(prediction.classes)}.")
        if scores.values.ndim == 2:
            scores = scores.column(prediction.classes.index(class_name))
    known = np.isfinite(scores.values)
    return PatchScores(scores.xy[known], scores.size_level0, scores.values[known], scores.stride_level0)
