"""Two predictions of one slide beside each other: where they differ, and how well they agree.

Two models, one model before and after fine-tuning, or two magnifications of one prediction: all that counts is that both looked
at the same slide.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from napari_wsimil.errors import PredictionError
from napari_wsimil.inference.common_grid import on_common_grid
from napari_wsimil.inference.comparable import What, known_scores, matching_magnifications, shared_class, tell_apart
from napari_wsimil.inference.prediction import PatchScores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.inference.prediction import SlidePrediction

Scale = Literal["percentile", "times average"]

TOP = 0.1
"""Share of the places that count as the highest."""

FEWEST = 3
"""A correlation of fewer places says nothing."""

_AGREEMENT = ((0.8, "agree closely"), (0.5, "agree in most places"), (0.2, "agree a little"), (-0.2, "have little in common"))


class Row(NamedTuple):
    """A line of the table: what, both values, and first minus second; None where there is none."""

    what: str
    first: float | None
    second: float | None
    difference: float | None


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    names
        What the two are called, so that they can be told apart.
    by, class_name, scale
        What was compared, of which class (or None), and in which unit: "percentile", "times average" or "probability".
    mpps
        µm per pixel of the patches of each.
    patches
        How many patches each looked at.
    first, second
        The scores of both at the places that both looked at: `PatchScores` with the same `xy`.
    spearman, pearson
        Rank correlation and correlation of `first` and `second`; None where one of them is the same everywhere.
    overlap
        Of the highest places of both together, the share that both have (Jaccard index); None likewise.
    top
        What counts as highest: a share of the places (0.1) or their number (50).
    probabilities
        Class name -> (first, second); None where a model does not know the class.
    """

    names: tuple[str, str]
    by: str
    class_name: str | None
    scale: str
    mpps: tuple[float, float]
    patches: tuple[int, int]
    first: PatchScores
    second: PatchScores
    spearman: float | None
    pearson: float | None
    overlap: float | None
    top: float
    probabilities: Mapping[str, tuple[float | None, float | None]]

    @property
    def difference(self) -> PatchScores:
        """First minus second at each place."""
        return PatchScores(self.first.xy, self.first.size_level0, self.first.values - self.second.values)

    @property
    def places(self) -> int:
        """How many places were compared."""
        return len(self.first)

    @property
    def verdict(self) -> str:
        """One sentence: "The two agree closely: rank correlation 0.91"; it says so where there is no correlation."""
        if self.spearman is None:
            return f"No rank correlation: {self._why_not()}."
        words = next((words for least, words in _AGREEMENT if self.spearman >= least), "contradict each other")
        return f"The two {words}: rank correlation {self.spearman:.2f}."

    def table(self) -> list[Row]:
        """Probability of each class, magnification and number of patches, of both."""
        rows = [Row(f"probability of {name}", *both, _minus(*both)) for name, both in self.probabilities.items()]
        rows += [Row("µm per pixel", *self.mpps, None)]
        return [*rows, Row("patches", float(self.patches[0]), float(self.patches[1]), None)]

    def figures(self) -> dict[str, float | None]:
        """How well they agree, with names for people; None where that can't be said."""
        return {
            "places compared": float(self.places),
            "rank correlation (Spearman)": self.spearman,
            "correlation (Pearson)": self.pearson,
            f"overlap of the {top_words(self.top)}": self.overlap,
        }

    def record(self) -> dict[str, Any]:
        """Flat and JSON-able: a line of a CSV. Numbers that are not known are None."""
        found: dict[str, Any] = {"first": self.names[0], "second": self.names[1], "by": self.by, "class": self.class_name}
        found |= {"scale": self.scale, "mpp_first": self.mpps[0], "mpp_second": self.mpps[1]}
        found |= {"patches_first": self.patches[0], "patches_second": self.patches[1], "places": self.places}
        found |= {"spearman": self.spearman, "pearson": self.pearson, "overlap": self.overlap, "top": self.top}
        for name, (one, other) in self.probabilities.items():
            found |= {f"prob_{name}_first": one, f"prob_{name}_second": other, f"prob_{name}_difference": _minus(one, other)}
        return found

    def _why_not(self) -> str:
        if self.places < FEWEST:
            return f"both looked at {'one place' if self.places == 1 else f'{self.places} places'} only"
        alike = [name for name, scores in zip(self.names, (self.first, self.second), strict=True) if _constant(scores.values)]
        return f"{' and '.join(alike)} gave every place the same score"


def compare(
    first: SlidePrediction,
    second: SlidePrediction,
    *,
    by: What = "attention",
    class_name: str | None = None,
    mpps: tuple[float, float] | None = None,
    scale: Scale = "percentile",
    top: float = TOP,
    names: tuple[str, str] | None = None,
) -> Comparison:
    """Compare two predictions of one slide, or two magnifications of one prediction.

    Attention sums to 1 over the patches, so with more patches each has less: it is brought to a common scale among the patches
    of its own prediction first. Then both are averaged, by area, onto the finer of their grids (`on_common_grid`), and whatever
    is said is said of the places that both looked at.

    Parameters
    ----------
    first, second
        From `predict` or `load_prediction`; the same one twice compares its magnifications.
    by
        "attention", "class attention", or "instances" (the probability of a class in each patch).
    class_name
        For the latter two; the positive class of the first where None.
    mpps
        Which magnifications (µm per pixel); None: the finest that both have, else the finest of each; of one prediction its
        finest and its coarsest.
    scale
        Of attention: "percentile", the share of the patches that have less (half of those that have as much), from 0 to 1; or
        "times average", attention times the number of patches, 1 being an even share. A few patches hold most of softmaxed
        attention, so that a difference of multiples shows only them. Probabilities are compared as they are.
    top
        What counts as the highest for `overlap`: a share below 1, or a number of places. Places as high as the last are in.
    names
        What to call the two; by default after their models.

    Raises
    ------
    PredictionError
        The predictions are of different slides, or have nothing of the kind in common; one sentence says what is wrong.
    """
    _check(first, second, by, scale, top)
    of_class = None if by == "attention" else class_name or shared_class(first, second)
    chosen = mpps or matching_magnifications(first, second, by)
    scores = [known_scores(prediction, mpp, by, of_class) for prediction, mpp in zip((first, second), chosen, strict=True)]
    if by != "instances":
        scores = [_scaled(one, scale) for one in scores]
    one, other = on_common_grid(*scores)
    if not len(one):
        raise PredictionError("The two predictions have not looked at any place in common; compare other magnifications.")
    told = len(one) >= FEWEST and not _constant(one.values) and not _constant(other.values)
    values = one.values.astype(np.float64), other.values.astype(np.float64)
    return Comparison(
        names=names or tell_apart(first, second, chosen),
        by=by,
        class_name=of_class,
        scale="probability" if by == "instances" else scale,
        mpps=chosen,
        patches=(len(scores[0]), len(scores[1])),
        first=one,
        second=other,
        spearman=_rank_correlation(*values) if told else None,
        pearson=float(np.corrcoef(*values)[0, 1]) if told else None,
        overlap=_overlap(*values, top) if told else None,
        top=top,
        probabilities=_probabilities(first, second),
    )


def numbered(names: Sequence[str]) -> list[str]:
    """The names, those that come more than once with a number behind."""
    seen = Counter[str]()
    told = []
    for name in names:
        seen[name] += 1
        told.append(f"{name} ({seen[name]})" if names.count(name) > 1 else name)
    return told


def top_words(top: float) -> str:
    """For example "highest 10 %" or "50 highest"."""
    return f"highest {100 * top:g} %" if top < 1 else f"{top:g} highest"


def _check(first: SlidePrediction, second: SlidePrediction, by: str, scale: str, top: float) -> None:
    slides = [one.provenance.get("slide", {}) for one in (first, second)]
    prints = [slide.get("fingerprint") for slide in slides]
    if prints[0] != prints[1] or not prints[0]:
        paths = " and ".join(str(slide.get("path", "a slide that is not named")) for slide in slides)
        raise PredictionError(f"Only predictions of the same slide can be compared, and these are of {paths}.")
    if by not in get_args(What):
        raise PredictionError(f"{by!r} can't be compared; choose from {', '.join(get_args(What))}.")
    if scale not in get_args(Scale):
        raise PredictionError(f"There is no scale {scale!r}; choose from {', '.join(get_args(Scale))}.")
    if not 0 < top < float("inf"):
        raise PredictionError(f"The highest places are a share (0.1) or a number (50), not {top:g}.")


def _scaled(scores: PatchScores, scale: Scale) -> PatchScores:
    """Attention in a unit that does not depend on the number of patches."""
    values: NDArray[Any]
    if scale == "percentile":
        ordered = np.sort(scores.values)
        below, up_to = (np.searchsorted(ordered, scores.values, side=side) for side in ("left", "right"))
        values = (below + up_to) / (2 * max(1, len(scores)))
    else:
        values = scores.values * len(scores)
    return PatchScores(scores.xy, scores.size_level0, values.astype(np.float32), scores.stride_level0)


def _constant(values: NDArray[Any]) -> bool:
    return bool(np.ptp(values) <= 1e-6 * np.abs(values).max(initial=0.0))


def _rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    from scipy.stats import spearmanr  # takes most of a second, and opening the dock must not

    return float(spearmanr(first, second).statistic)


def _overlap(first: NDArray[np.float64], second: NDArray[np.float64], top: float) -> float:
    count = min(len(first), max(1, round(top * len(first) if top < 1 else top)))
    one, other = (values >= np.partition(values, -count)[-count] for values in (first, second))
    return float((one & other).sum() / (one | other).sum())


def _probabilities(first: SlidePrediction, second: SlidePrediction) -> dict[str, tuple[float | None, float | None]]:
    names = dict.fromkeys([*first.classes, *second.classes])
    return {name: (first.probabilities.get(name), second.probabilities.get(name)) for name in names}


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second
