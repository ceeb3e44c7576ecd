"""Runs a model and what was made of it on the same slides."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_wsimil.training.bag_sets import load_ahead
from napari_wsimil.training.evaluation.figures import figures
from napari_wsimil.training.evaluation.metrics import positive_number
from napari_wsimil.training.events import Event
from napari_wsimil.training.fine_tuning.before_after import FIGURES, BeforeAfter, RegionChange, SlideChange

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.bags import Bag
    from napari_wsimil.packages import Model
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.bag_sets.annotated import AnnotatedBags

    Table = NDArray[np.float64]

STAGE = "comparison"


@dataclass(frozen=True)
class _Seen:
    """What one model says of a slide: (C,) probabilities, and by magnification (N, C) evidence and (N,) attention."""

    probabilities: Table
    evidence: Mapping[float, Table]
    attention: Mapping[float, Table]


class _Eye:
    """A model on a device."""

    def __init__(self, model: Model, device: torch.device) -> None:
        self.model, self.network = model, deepcopy(model.mil).to(device).eval()

    def look(self, bag: Bag, *, closely: bool) -> _Seen:
        """Predict a slide; `closely` also tells what is said of its patches."""
        with torch.inference_mode():
            output = self.network(bag)
            table = self.network.probabilities(output.logits).double().cpu().numpy()
            found = (output.instance_logits if not output.rows else self.network.evidence(bag)) if closely else None
            evidence = {mpp: logits.double().cpu().numpy() for mpp, logits in (found or {}).items()}
            attention = {mpp: paid.double().cpu().numpy() for mpp, paid in output.attention.items()} if closely else {}
        calibration = self.model.spec.calibration
        return _Seen(table if calibration is None else calibration.apply(table), evidence, attention)


def compare_models(
    before: Model, after: Model, corrected: AnnotatedBags, judges: BagSet | None, device: torch.device
) -> Generator[Event, None, BeforeAfter]:
    """Look at corrected slides and at those that judge with both models, telling how far it is.

    Parameters
    ----------
    corrected
        The slides that were learned from, with what was drawn on them.
    judges
        Slides with a label; None where none but corrected ones judge.
    """
    eyes = _Eye(before, device), _Eye(after, device)
    total = len(corrected) + (0 if judges is None else len(judges))
    slides: list[SlideChange] = []
    regions: list[RegionChange] = []
    for row, bag in load_ahead(corrected, range(len(corrected))):
        yield _progress(corrected.names[row], len(slides), total)
        first, second = (eye.look(bag, closely=corrected.annotated(row)) for eye in eyes)
        wrong = _wrong(corrected, row, bag, before, (first, second))
        slides.append(_change(corrected, row, "corrected", before.classes, (first, second), wrong))
        regions += _regions(corrected, row, bag, (first, second))
    if judges is not None:
        for row, bag in load_ahead(judges, range(len(judges))):
            yield _progress(judges.names[row], len(slides), total)
            pair = (eyes[0].look(bag, closely=False), eyes[1].look(bag, closely=False))
            slides.append(_change(judges, row, "validation", before.classes, pair, (None, None)))
    split = "corrected" if judges is None else "validation"
    scored = [slide for slide in slides if slide.split == split and slide.label is not None] if judges is not None else []
    return BeforeAfter(
        classes=before.classes,
        positive_class=before.positive_class,
        slides=tuple(slides),
        regions=tuple(regions),
        judged=len(scored),
        metrics_before=_metrics(before, scored, [slide.before for slide in scored]),
        metrics_after=_metrics(before, scored, [slide.after for slide in scored]),
    )


def _progress(name: str, done: int, total: int) -> Event:
    return Event("progress", STAGE, data={"what": name, "done": done, "total": total})


def _change(
    bags: BagSet, row: int, split: str, classes: Sequence[str], seen: tuple[_Seen, _Seen], wrong: tuple[float | None, ...]
) -> SlideChange:
    target = int(bags.targets[row])
    before, after = (dict(zip(classes, one.probabilities.tolist(), strict=True)) for one in seen)
    return SlideChange(bags.names[row], classes[target] if target >= 0 else None, split, before, after, *wrong)


def _wrong(
    bags: AnnotatedBags, row: int, bag: Bag, model: Model, seen: tuple[_Seen, _Seen]
) -> tuple[float | None, float | None]:
    """Share of attention, before and after, on patches that are known not to be of the slide's class."""
    target = int(bags.targets[row])
    if target < 0 and model.positive_class is not None:
        target = model.classes.index(model.positive_class)
    if bags.annotations[row] is None or target < 0:
        return None, None
    known = bags.instance_classes(row, bag)
    found: list[list[float]] = []
    for mpp, allowed in known.items():
        denied = ~allowed[:, target]
        paid = [one.attention.get(mpp) for one in seen]
        if denied.any() and all(one is not None and len(one) == len(denied) for one in paid):
            found.append([float(one[denied].sum()) for one in paid if one is not None])
    if not found:
        return None, None
    before, after = np.mean(found, axis=0).tolist()
    return before, after


def _regions(bags: AnnotatedBags, row: int, bag: Bag, seen: tuple[_Seen, _Seen]) -> list[RegionChange]:
    """Agreement with each region, at the finest magnification of which something is said."""
    drawn = bags.annotations[row]
    mpp = next((mpp for mpp in reversed(bag.mpps) if all(mpp in one.evidence for one in seen)), None)
    if drawn is None or mpp is None:
        return []
    allowed = bags.instance_classes(row, bag)[mpp]
    agrees = [allowed[np.arange(len(allowed)), one.evidence[mpp].argmax(axis=1)] for one in seen]
    out = []
    for number, region in enumerate(drawn.regions):
        taught = bags.taught_by(row, region, bag, mpp) & ~allowed.all(axis=1)
        if taught.any():
            before, after = (float(one[taught].mean()) for one in agrees)
            out.append(RegionChange(bags.names[row], region.name, number, int(taught.sum()), before, after))
    return out


def _metrics(model: Model, slides: Sequence[SlideChange], answers: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    if not slides:
        return dict.fromkeys(FIGURES)
    targets = np.array([model.classes.index(str(slide.label)) for slide in slides])
    table = np.array([[answer[name] for name in model.classes] for answer in answers])
    found = figures(targets, table, positive_number(model.classes, model.positive_class))
    every_class = len(set(targets.tolist())) == len(model.classes)
    return {name: float(found[name]) if every_class and np.isfinite(found[name]) else None for name in FIGURES}
