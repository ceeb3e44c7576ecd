"""Whether probabilities mean what they say: of the slides given 80 %, are 80 % so? One temperature makes it more true.

The temperature is fitted on validation slides and judged on others: on few slides even a perfectly calibrated model shows an
expected calibration error above 0, which is told beside the model's own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import binomtest

from napari_wsimil.packages.calibration import Calibration, tempered
from napari_wsimil.training.evaluation.metrics import positive_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.training.evaluation.scoring import Scores

Binning = Literal["width", "mass"]

BINS = 10
PREDICTED = "the predicted class"
"""Whose probability it is where there are more than two classes."""
GROUP = 15
"""Slides in a group of the reliability diagram, where there are enough for more than three groups."""
LEAST_CASES = 10
"""Fewer slides than this say nothing about a temperature."""
COLDEST, HOTTEST = 0.05, 20.0
_SMALLEST = float(np.finfo(np.float64).tiny)


class Bin(TypedDict):
    """Slides with like probabilities: range, count, mean, and the share of them that came true with its 95 % interval."""

    low: float
    high: float
    cases: int
    probability: float
    share: float
    share_low: float
    share_high: float


def fit_temperature(scores: Scores, positive: str | None = None) -> Calibration:
    """The temperature with the least log loss on `scores`, which must be uncalibrated answers for validation slides.

    Where every slide is answered right, log loss falls without end as the temperature does, and nothing speaks for a higher
    one. The fit then aims at what Platt (1999, section 2.2) puts for certainty, (n + 1) / (n + C) for a class with n slides,
    and probabilities get no less sure: few slides make no model surer than they can show. Log loss never gets worse.

    Parameters
    ----------
    positive
        See `confidence`, for the calibration errors.

    Returns
    -------
    Its method is "none", and its note says why, where the slides say nothing about a temperature.
    """
    why_not = _why_not(scores)
    if why_not:
        return Calibration(method="none", cases=len(scores), note=why_not)
    separable = bool(np.all(scores.probabilities.argmax(axis=1) == scores.targets))
    aim = _platt_targets(scores) if separable else np.eye(len(scores.classes))[scores.targets]
    temperature = _best_temperature(scores.probabilities, aim)
    if separable and temperature >= 1:
        note = f"All {len(scores)} validation slides are answered right, so nothing shows how sure the model may be."
        return Calibration(method="none", cases=len(scores), note=note)
    before, after = scores.probabilities, tempered(scores.probabilities, temperature)
    return Calibration(
        temperature=temperature,
        cases=len(scores),
        log_loss_before=_log_loss(before, scores.targets),
        log_loss_after=_log_loss(after, scores.targets),
        ece_before=expected_calibration_error(*confidence(scores, positive)),
        ece_after=expected_calibration_error(*confidence(replace(scores, probabilities=after), positive)),
        note=_remark(temperature, separable=separable),
    )


def apply(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """(n, C) probabilities to the power of 1 / `temperature`, each row summing to 1."""
    return tempered(probabilities, temperature)


def calibrated(scores: Scores, calibration: Calibration | None) -> Scores:
    """The same answers with calibrated probabilities; the logits stay as the model gave them."""
    return scores if calibration is None else replace(scores, probabilities=calibration.apply(scores.probabilities))


def confidence(scores: Scores, positive: str | None = None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n,) probabilities that are to come true, and (n,) whether they did.

    For two classes the probability of the positive one; for more the probability of the predicted class, whichever it is.
    """
    column = positive_number(scores.classes, positive)
    if column is not None:
        return scores.probabilities[:, column], scores.targets == column
    return scores.probabilities.max(axis=1), scores.probabilities.argmax(axis=1) == scores.targets


def expected_calibration_error(
    probabilities: NDArray[np.float64], came_true: NDArray[np.bool_], *, bins: int = BINS, binning: Binning = "width"
) -> float:
    """Mean distance between probability and share of bins, weighted by their cases (Naeini et al. 2015).

    It depends on the bins, and is above 0 on few cases even for a perfectly calibrated model: see `chance_error`.

    Parameters
    ----------
    probabilities, came_true
        (n,) as `confidence` gives them.
    binning
        "width": bins as wide as each other; "mass": bins with as many cases as each other.
    """
    number = _bin_numbers(probabilities, bins, binning)
    gaps = np.bincount(number, probabilities - came_true, minlength=bins)
    return float(np.abs(gaps).sum() / len(probabilities))


def chance_error(
    probabilities: NDArray[np.float64], *, bins: int = BINS, binning: Binning = "width", draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Calibration error that these probabilities would show if they were perfectly calibrated: mean and 95th percentile.

    Outcomes are drawn from the probabilities themselves (consistency resampling, Bröcker and Smith 2007).
    """
    came_true = np.random.default_rng(seed).random((draws, len(probabilities))) < probabilities
    in_bin = np.eye(bins)[_bin_numbers(probabilities, bins, binning)]
    errors = np.abs((probabilities - came_true) @ in_bin).sum(axis=1) / len(probabilities)
    return float(errors.mean()), float(np.percentile(errors, 95))


def reliability(
    probabilities: NDArray[np.float64], came_true: NDArray[np.bool_], *, bins: int = BINS, binning: Binning = "width"
) -> list[Bin]:
    """The reliability diagram as a table: bins with at least one case, with Wilson's interval of the share that came true."""
    number = _bin_numbers(probabilities, bins, binning)
    return [
        _bin(probabilities[number == which], came_true[number == which], which, bins, binning) for which in np.unique(number)
    ]


def calibration_figures(scores: Scores, positive: str | None = None) -> dict[str, Any]:
    """All that a report says of the calibration of `scores`, JSON-able.

    Returns
    -------
    ``of`` (what the probabilities are of), ``bins``, ``ece`` and ``ece_equal_mass``, for both what perfect calibration would
    show (``chance``, ``chance_equal_mass``, and for the first its 95th percentile ``chance_high``), ``table`` of groups of as
    many slides each for the reliability diagram, and ``histogram``, the slides in each of the bins of like width.
    """
    probabilities, came_true = confidence(scores, positive)
    column = positive_number(scores.classes, positive)
    chance, chance_high = chance_error(probabilities)
    return {
        "of": PREDICTED if column is None else scores.classes[column],
        "cases": len(scores),
        "bins": BINS,
        "ece": expected_calibration_error(probabilities, came_true),
        "ece_equal_mass": expected_calibration_error(probabilities, came_true, binning="mass"),
        "chance": chance,
        "chance_high": chance_high,
        "chance_equal_mass": chance_error(probabilities, binning="mass")[0],
        "table": reliability(probabilities, came_true, bins=int(np.clip(len(scores) // GROUP, 3, BINS)), binning="mass"),
        "histogram": np.bincount(_bin_numbers(probabilities, BINS, "width"), minlength=BINS).tolist(),
    }


def _why_not(scores: Scores) -> str:
    if len(scores) < LEAST_CASES:
        return f"Slides to fit a temperature on: {len(scores)}; {LEAST_CASES} are needed."
    if len(np.unique(scores.targets)) == 1:
        return f"All {len(scores)} validation slides are of class {scores.classes[int(scores.targets[0])]}."
    return ""


def _platt_targets(scores: Scores) -> NDArray[np.float64]:
    classes = len(scores.classes)
    counts = np.bincount(scores.targets, minlength=classes)[scores.targets][:, None]
    own = np.eye(classes)[scores.targets]
    return (counts * own + 1) / (counts + classes)


def _best_temperature(probabilities: NDArray[np.float64], aim: NDArray[np.float64]) -> float:
    """The temperature between `COLDEST` and `HOTTEST` with the least cross-entropy, which is convex in 1 / temperature."""
    log = np.log(np.clip(probabilities, _SMALLEST, 1))

    def loss(log_temperature: float) -> float:
        return float(-(aim * log_softmax(log / np.exp(log_temperature), axis=1)).sum(axis=1).mean())

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def _log_loss(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    return float(-np.log(np.clip(probabilities[np.arange(len(targets)), targets], _SMALLEST, 1)).mean())


def _remark(temperature: float, *, separable: bool) -> str:
    if temperature > 0.99 * HOTTEST:
        return "The answers say next to nothing about the validation slides, so all probabilities are made nearly even."
    if temperature < 1.01 * COLDEST:
        return "The fit ran into its limit: the model is far less sure than the validation slides would allow."
    if separable:
        return "All validation slides are answered right: the model is made as sure as their number allows (Platt 1999)."
    return ""


def _bin_numbers(probabilities: NDArray[np.float64], bins: int, binning: Binning) -> NDArray[np.int64]:
    """(n,) bin of each case; of width: (low, high] but the first, which holds 0 as well."""
    if binning == "width":
        return np.clip(np.ceil(probabilities * bins).astype(np.int64) - 1, 0, bins - 1)
    rank = np.empty(len(probabilities), np.int64)
    rank[np.argsort(probabilities, kind="stable")] = np.arange(len(probabilities))
    return rank * bins // len(probabilities)


def _bin(probabilities: NDArray[np.float64], came_true: NDArray[np.bool_], which: int, bins: int, binning: Binning) -> Bin:
    edges = (which / bins, (which + 1) / bins) if binning == "width" else (probabilities.min(), probabilities.max())
    interval = binomtest(int(np.sum(came_true)), len(probabilities)).proportion_ci(method="wilson")
    return Bin(
        low=float(edges[0]),
        high=float(edges[1]),
        cases=len(probabilities),
        probability=float(probabilities.mean()),
        share=float(np.mean(came_true)),
        share_low=float(interval.low),
        share_high=float(interval.high),
    )
