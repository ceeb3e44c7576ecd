"""The patches of a prediction in order: by attention, by class, as anchors, as the model zoomed in, by how unsure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_wsimil.errors import PredictionError
from napari_wsimil.inference.uncertainty import can_disagree, patch_disagreement, patch_uncertainty
from napari_wsimil.patches.patch import Patch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.inference.prediction import PatchScores, SlidePrediction

By = Literal["attention", "class attention", "instances", "anchors", "zoom", "uncertainty", "disagreement", "similarity"]

_WHAT = {"uncertainty": "Uncertainty", "disagreement": "Disagreement of teacher and student"}

ROUNDED = 1.0
"""Level-0 pixels by which patches of a grid without overlap may overlap: their corners are rounded to whole pixels."""


@dataclass(frozen=True)
class Ranking:
    """What patches can be ranked by.

    Attributes
    ----------
    by
        Where the scores come from; "uncertainty" and "disagreement" are those of `inference.uncertainty`, "similarity" is that
        of `similar_patches`.
    class_name
        The class whose scores are meant; None where there is one score for all classes.
    mpp
        µm per pixel of the patches.
    label
        What a user reads, for example "Tumour probability" or "Attention at 0.5 µm/px".
    """

    by: By
    class_name: str | None
    mpp: float
    label: str


@dataclass(frozen=True)
class RankedPatch:
    """A patch and its place in a ranking.

    Attributes
    ----------
    rank
        1 is the first.
    patch
        Where it is.
    score
        By what it was ranked.
    ranking
        What the score means.
    """

    rank: int
    patch: Patch
    score: float
    ranking: Ranking


@dataclass(frozen=True)
class Scored:
    """Patches of one side with a score each.

    Attributes
    ----------
    xy
        (N, 2) top-left corners in level-0 pixels.
    size_level0
        Side in level-0 pixels.
    scores
        (N,) float; NaN where there is none.
    in_order
        Whether the patches stand in the order of the ranking already, best first.
    """

    xy: NDArray[np.int64]
    size_level0: float
    scores: NDArray[np.float32]
    in_order: bool = False


def rankings(prediction: SlidePrediction) -> list[Ranking]:
    """All that the patches of a prediction can be ranked by; what `rank_patches` takes by itself comes first.

    Attention comes before the probabilities of classes, fine magnifications before coarse ones, the positive class before the
    others, and last what a person should label next: where the model is least sure.
    """
    first = prediction.positive_class
    classes = sorted(prediction.classes, key=lambda name: name != first)
    found = _of_table("attention", prediction.attention, [None])
    # one column is the probability of the positive class
    one_column = any(table.values.ndim == 1 for table in prediction.instances.values())
    found += _of_table("instances", prediction.instances, [first] if one_column else classes)
    found += _of_table("class attention", prediction.class_attention, classes)
    if prediction.anchors is not None:
        found.append(Ranking("anchors", None, _mpp_of(prediction, prediction.anchors.size_level0), "Anchors"))
    found += [Ranking("zoom", None, mpp, f"Zoomed into at {mpp:g} µm/px") for mpp in sorted(prediction.zoom or {})]
    found += _of_table("uncertainty", prediction.instances, [None])
    return found + _of_table("disagreement", {mpp: prediction.instances[mpp] for mpp in can_disagree(prediction)}, [None])


def rank_patches(
    prediction: SlidePrediction,
    ranking: Ranking | str | None = None,
    *,
    count: int = 10,
    lowest: bool = False,
    apart: bool = True,
) -> list[RankedPatch]:
    """The patches that speak most for what a ranking is about, or least.

    Patches without a score (NaN) are left out; equal scores keep the order of the grid. Anchors, and the patches that the model
    zoomed into, keep the order in which the model chose them.

    Parameters
    ----------
    prediction
        From `predict` or `load_prediction`.
    ranking
        One of `rankings(prediction)` or its label; None: the first of them, which is attention at the finest magnification.
    count
        How many at most.
    lowest
        The least supportive ones, the lowest score first.
    apart
        Where patches overlap, leave out those that overlap one ranked before: ten patches are ten places.

    Raises
    ------
    PredictionError
        There is nothing to rank by, or no such ranking.
    """
    chosen = _chosen(prediction, ranking)
    return in_order(_scored(prediction, chosen), chosen, count=count, lowest=lowest, apart=apart)


def in_order(scored: Scored, ranking: Ranking, *, count: int, lowest: bool = False, apart: bool = True) -> list[RankedPatch]:
    """The first `count` of scored patches; see `rank_patches`."""
    rows = np.flatnonzero(np.isfinite(scored.scores))
    if not scored.in_order:
        values = scored.scores[rows]
        rows = rows[np.argsort(values if lowest else -values, kind="stable")]
    elif lowest:
        rows = rows[::-1]
    kept = _apart(scored.xy, scored.size_level0 - ROUNDED, rows) if apart else iter(rows.tolist())
    ranked = []
    for rank, row in zip(range(1, count + 1), kept, strict=False):
        x, y = scored.xy[row].tolist()
        patch = Patch(ranking.mpp, x, y, float(scored.size_level0))
        ranked.append(RankedPatch(rank, patch, float(scored.scores[row]), ranking))
    return ranked


def _chosen(prediction: SlidePrediction, ranking: Ranking | str | None) -> Ranking:
    offered = rankings(prediction)
    if not offered:
        raise PredictionError(
            f"{_model_of(prediction)} gives no score for patches, so there are none to rank; use a model with attention."
        )
    if ranking is None:
        return offered[0]
    label = ranking if isinstance(ranking, str) else ranking.label
    for one in offered:
        if one == ranking or (ranking is label and one.label.casefold() == label.casefold()):
            return one
    known = ", ".join(one.label for one in offered)
    raise PredictionError(f"The patches of this prediction can't be ranked by “{label}”; they can by {known}.")


def _scored(prediction: SlidePrediction, ranking: Ranking) -> Scored:
    chosen = {"anchors": prediction.anchors, "zoom": (prediction.zoom or {}).get(ranking.mpp)}.get(ranking.by)
    if chosen is not None:
        return Scored(chosen.xy, chosen.size_level0, chosen.scores, in_order=True)
    unsure = {"uncertainty": patch_uncertainty, "disagreement": patch_disagreement}.get(ranking.by)
    if unsure is not None:
        table = unsure(prediction, ranking.mpp)
        return Scored(table.xy, table.size_level0, table.values)
    table = _tables(prediction)[ranking.by][ranking.mpp]
    if table.values.ndim == 2:
        table = table.column(prediction.classes.index(ranking.class_name or ""))
    return Scored(table.xy, table.size_level0, table.values)


def _tables(prediction: SlidePrediction) -> dict[str, Mapping[float, PatchScores]]:
    return {
        "attention": prediction.attention,
        "instances": prediction.instances,
        "class attention": prediction.class_attention,
    }


def _apart(xy: NDArray[np.int64], side: float, rows: NDArray[np.int64]) -> Iterator[int]:
    """Rows in their order, without those whose square of `side` overlaps that of one before."""
    side = max(side, 1.0)
    taken: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for row in rows.tolist():
        x, y = xy[row].tolist()
        column, line = int(x // side), int(y // side)
        near = (place for dx in (-1, 0, 1) for dy in (-1, 0, 1) for place in taken.get((column + dx, line + dy), ()))
        if not any(abs(x - other_x) < side and abs(y - other_y) < side for other_x, other_y in near):
            taken.setdefault((column, line), []).append((x, y))
            yield row


def _of_table(by: By, tables: Mapping[float, PatchScores], classes: Sequence[str | None]) -> list[Ranking]:
    """Rankings by the scores of patches, by magnification from fine to coarse, and by class."""
    found = []
    for mpp in sorted(tables):
        scale = f" at {mpp:g} µm/px" if len(tables) > 1 else ""
        for name in classes:
            what = _WHAT.get(by) or ("attention" if name is None else f"attention for {name}")
            if by == "instances":
                what = f"{name} probability"
            found.append(Ranking(by, name, mpp, what[:1].upper() + what[1:] + scale))
    return found


def _mpp_of(prediction: SlidePrediction, size_level0: float) -> float:
    """Magnification of patches of a side: that of the table of patches that is nearest in size."""
    tables = {**prediction.instances, **prediction.regions, **prediction.attention}
    if tables:
        return min(tables, key=lambda mpp: abs(tables[mpp].size_level0 - size_level0))
    about = prediction.provenance.get("patches", {}).get("mpp")
    return float(min(about)) if about else float("nan")


def _model_of(prediction: SlidePrediction) -> str:
    name = prediction.provenance.get("model", {}).get("id")
    return f"The model {name}" if name else "The model"
