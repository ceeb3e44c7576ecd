"""How well what a model saw on a slide agrees with what somebody drew there, patch by patch and region by region."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_wsimil.annotations.classes import same_name
from napari_wsimil.annotations.coverage import EXCLUDED, IGNORED, patch_labels, unmatched
from napari_wsimil.errors import AnnotationError, PredictionError
from napari_wsimil.inference.region_agreement import MIN_SHARE, Inside, RegionAgreement, insides, ratio

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_wsimil.annotations import Annotations
    from napari_wsimil.inference.prediction import PatchScores, SlidePrediction

By = Literal["instances", "attention"]

OTHER = "everything else"


@dataclass(frozen=True)
class Agreement:
    """One class against the rest, on the patches of one magnification.

    Attributes
    ----------
    class_name
        The class that was asked about.
    by
        "instances": scores are the probability of the class. "attention": they are attention, as its percentile on the slide.
    mpp
        µm per pixel of the patches.
    threshold
        From which score on a patch counts as found.
    auc
        Chance that a patch of the class has a higher score than one that is not; None where there is no patch of one of them.
    dice, sensitivity, specificity
        At the threshold; None where there is nothing to divide by.
    best_dice, best_threshold
        The highest Dice that any threshold gives, and that threshold; None without a patch of the class.
    positive, negative, ignored
        Numbers of patches of the class, of others, and of those that nobody can tell.
    note
        What a reader must know: why there is no AUC, what counts as the rest.
    regions
        Each region, in the order of the file.
    """

    class_name: str
    by: By
    mpp: float
    threshold: float
    auc: float | None
    dice: float | None
    sensitivity: float | None
    specificity: float | None
    best_dice: float | None
    best_threshold: float | None
    positive: int
    negative: int
    ignored: int
    note: str
    regions: tuple[RegionAgreement, ...]


@dataclass(frozen=True)
class Judged:
    """Patches with a score, and what was drawn over them; what `at` needs for one threshold after the other.

    Attributes
    ----------
    class_name, by, mpp, note
        As in `Agreement`.
    scores
        (N,) float32.
    truth
        (N,) 1 of the class, 0 not of it, -1 unknown.
    """

    class_name: str
    by: By
    mpp: float
    note: str
    scores: NDArray[np.float32]
    truth: NDArray[np.int64]
    regions: tuple[Inside, ...]

    @cached_property
    def _auc(self) -> float | None:
        return _auc(self.scores[self.truth == 1], self.scores[self.truth == 0])

    @cached_property
    def _best(self) -> tuple[float | None, float | None]:
        return _best(self.scores[self.truth == 1], self.scores[self.truth == 0])

    def at(self, threshold: float) -> Agreement:
        """The agreement for a threshold, 0 to 1."""
        if not 0 <= threshold <= 1:
            raise AnnotationError(f"A threshold of {threshold:g} makes no sense; give one from 0 to 1.")
        positive, negative = (self.scores[self.truth == kind] for kind in (1, 0))
        reached = np.float32(threshold)  # 0.9 as a score is a little less than 0.9
        hit, alarm = int((positive >= reached).sum()), int((negative >= reached).sum())
        best_dice, best_threshold = self._best
        return Agreement(
            class_name=self.class_name,
            by=self.by,
            mpp=self.mpp,
            threshold=threshold,
            auc=self._auc,
            dice=ratio(2 * hit, hit + alarm + len(positive)) if len(positive) else None,
            sensitivity=ratio(hit, len(positive)),
            specificity=ratio(len(negative) - alarm, len(negative)),
            best_dice=best_dice,
            best_threshold=best_threshold,
            positive=len(positive),
            negative=len(negative),
            ignored=int((self.truth < 0).sum()),
            note=self.note,
            regions=tuple(inside.at(threshold) for inside in self.regions),
        )


def agreement(
    prediction: SlidePrediction,
    annotations: Annotations,
    *,
    by: By | None = None,
    class_name: str | None = None,
    threshold: float = 0.5,
    mpp: float | None = None,
    rest: bool | None = None,
    names: Mapping[str, str] | None = None,
) -> Agreement:
    """Compare a prediction with what was drawn on its slide: one class against the rest.

    A patch is of the class that covers at least half of it, see `patch_labels`. Patches in "Ignore" are not judged.

    Parameters
    ----------
    prediction
        From `predict` or `load_prediction`.
    annotations
        From `read_annotations`, drawn on the same slide.
    by
        "instances": probability of the class for each patch. "attention": attention, as its percentile on the slide: 0.9 is the
        most attended tenth. None: the first of them that the model gives.
    class_name
        A class of the model; None: its positive class.
    threshold
        From which score on a patch counts as found, 0 to 1.
    mpp
        Of the patches; None: the finest magnification that has scores.
    rest
        Whether a patch that no region touches is known not to be of the class. None: where nothing but the class was drawn.
    names
        Name in the file -> class, "ignore" or "exclusion", where they differ.

    Raises
    ------
    AnnotationError
        No region is of the class, or an argument makes no sense.
    PredictionError
        The model does not give such scores.
    """
    judged = judge(prediction, annotations, by=by, class_name=class_name, mpp=mpp, rest=rest, names=names)
    return judged.at(threshold)


def judge(
    prediction: SlidePrediction,
    annotations: Annotations,
    *,
    by: By | None = None,
    class_name: str | None = None,
    mpp: float | None = None,
    rest: bool | None = None,
    names: Mapping[str, str] | None = None,
) -> Judged:
    """Scores and truth of the patches, for any threshold; the arguments are those of `agreement`."""
    wanted = prediction.positive_class if class_name is None else class_name
    if wanted not in prediction.classes:
        raise PredictionError(f"The model knows no class {wanted!r}; choose from {', '.join(prediction.classes)}.")
    chosen, at, table = _scores(prediction, by, wanted, mpp)
    others = _others(annotations, wanted, names)
    told = not any(others.values()) if rest is None else rest
    meant = {**(names or {}), **dict.fromkeys((name for name, is_other in others.items() if is_other), OTHER)}
    # "not stroma" says nothing of tumour, and must not be taken for "not the rest"
    telling = [region for region in annotations.regions if others.get(region.name) is not False]
    truth = patch_labels(telling, table, (OTHER, wanted), MIN_SHARE, rest=OTHER if told else None, names=meant)
    scores = _percentile(table.values) if chosen == "attention" else table.values.astype(np.float32)
    note = _note(wanted, truth, told=told)
    return Judged(
        wanted,
        chosen,
        at,
        note,
        scores,
        truth,
        insides(annotations.regions, table, scores, prediction.provenance.get("slide", {}).get("mpp")),
    )


def offered(prediction: SlidePrediction) -> list[By]:
    """What a prediction can be judged by, best first."""
    tables: dict[By, object] = {
        "instances": prediction.instances,
        "attention": prediction.attention or prediction.class_attention,
    }
    return [name for name, table in tables.items() if table]


def _scores(prediction: SlidePrediction, by: By | None, class_name: str, mpp: float | None) -> tuple[By, float, PatchScores]:
    """By what, at which magnification, and the (N,) scores that are there."""
    given = offered(prediction)
    if by is None and given:
        by = given[0]
    if by not in given:
        has = f"it gives {' and '.join(given)}" if given else "it gives no scores of patches"
        raise PredictionError(f"The model gives no {by or 'scores of patches'}; {has}.")
    tables = prediction.instances if by == "instances" else prediction.class_attention or prediction.attention
    at = min(tables) if mpp is None else mpp
    if at not in tables:
        raise PredictionError(
            f"There are no patches at {at:g} µm per pixel; choose from {', '.join(f'{m:g}' for m in tables)}."
        )
    table = tables[at]
    if table.values.ndim == 2:
        table = table.column(prediction.classes.index(class_name))
    elif by == "instances" and class_name != prediction.positive_class:
        # one column is the probability of the positive class, of two
        table = type(table)(table.xy, table.size_level0, 1 - table.values, table.stride_level0)
    known = np.isfinite(table.values)
    return by, at, type(table)(table.xy[known], table.size_level0, table.values[known], table.stride_level0)


def _percentile(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of the patches whose value is at most that of each patch, as in the exports."""
    share = np.searchsorted(np.sort(values), values, side="right") / max(1, len(values))
    return share.astype(np.float32)


def _others(annotations: Annotations, wanted: str, names: Mapping[str, str] | None) -> dict[str, bool]:
    """Names of regions that are not of the class -> whether they say that something else is there."""
    unknown = unmatched(annotations.regions, (OTHER, wanted), _for_one(wanted, names))
    if len(unknown) == len({region.name for region in annotations.regions}):
        drawn = f"; what is drawn is {', '.join(unknown)}" if unknown else ", and nothing else is drawn"
        raise AnnotationError(
            f"No region of {annotations.path} is of the class {wanted!r}{drawn}. Draw some, choose another class, or say which "
            "name means it."
        )
    return {name: not same_name(name).startswith(("!", "not ")) for name in unknown}


def _for_one(wanted: str, names: Mapping[str, str] | None) -> dict[str, str]:
    """Names for one class against the rest: those of other classes stand for the rest."""
    kept = {same_name(name): name for name in (wanted, IGNORED, EXCLUDED)}
    return {name: kept.get(same_name(meant), OTHER) for name, meant in (names or {}).items()}


def _note(wanted: str, truth: NDArray[np.int64], *, told: bool) -> str:
    rest = (
        f"Patches that no region touches count as not {wanted}." if told else "Patches that no region touches are not judged."
    )
    if not (truth == 1).any():
        return f"There is no AUC: no region of {wanted} covers half of a patch. {rest}"
    if not (truth == 0).any():
        return f"There is no AUC: every patch that is judged is {wanted}; draw where it is not, too. {rest}"
    return rest


def _auc(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float | None:
    if not len(positive) or not len(negative):
        return None
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(positive, negative, method="asymptotic").statistic) / (len(positive) * len(negative))


def _best(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> tuple[float | None, float | None]:
    """The highest Dice, and the highest threshold that gives it."""
    if not len(positive):
        return None, None
    scores = np.concatenate([positive, negative])
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.append(ranked[1:] != ranked[:-1], True)  # a threshold takes all patches of the same score
    hits, found = np.cumsum(order < len(positive))[ends], np.arange(1, len(ranked) + 1)[ends]
    dice = 2 * hits / (found + len(positive))
    best = int(dice.argmax())
    return float(dice[best]), float(ranked[ends][best])
