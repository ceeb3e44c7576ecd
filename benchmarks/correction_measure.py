"""How well a model finds tumour and its place on slides whose truth is known, and how much it looks at the confounder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from napari_wsimil.training.bag_sets import SlideBags
from napari_wsimil.training.data.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from correction_slides import MadeSlide
    from numpy.typing import NDArray

    from napari_wsimil.bags import Bag
    from napari_wsimil.packages import Model

HALF = 0.5
"""A patch is tumour, or confounder, where at least this much of it is."""


@dataclass(frozen=True)
class View:
    """What a model says of one slide; tables of N patches.

    Attributes
    ----------
    probability
        Of tumour.
    attention, instance
        Attention, and probability of tumour of single patches.
    tumour, planted
        Whether a patch is tumour, or confounder.
    xy, side
        (N, 2) corners of the patches and their side, px.
    """

    slide: MadeSlide
    probability: float
    attention: NDArray[np.float64]
    instance: NDArray[np.float64]
    tumour: NDArray[np.bool_]
    planted: NDArray[np.bool_]
    xy: NDArray[np.int64]
    side: float

    @property
    def wrong_focus(self) -> float:
        """Share of the attention that lies on the confounder."""
        return float(self.attention[self.planted].sum())


@dataclass(frozen=True)
class Figures:
    """Figures of a set of slides.

    Attributes
    ----------
    slide_auc
        Of the slides' probabilities.
    attention_auc, instance_auc
        Mean over the slides with tumour of the area under the curve of their patches.
    attention_pooled, instance_pooled
        The same of the patches of all slides with tumour together.
    wrong_focus
        Mean share of attention on the confounder, slides with tumour.
    covered
        Mean share of patches that are confounder, slides with tumour.
    accuracy
        Of the slides at 0.5.
    """

    slide_auc: float
    attention_auc: float
    instance_auc: float
    attention_pooled: float
    instance_pooled: float
    wrong_focus: float
    covered: float
    accuracy: float

    def told(self) -> dict[str, float]:
        """For the record."""
        return asdict(self)


def view(model: Model, slides: Sequence[MadeSlide], manifest: Path, store: Path) -> list[View]:
    """Run a model on the stored features of slides that a manifest names."""
    cases = {case.path.resolve(): case for case in read_manifest(manifest).cases}
    chosen = [cases[slide.path.resolve()] for slide in slides]
    bags = SlideBags(chosen, [0] * len(chosen), model.encoder, model.spec.patch_specs(), store=store)
    model.mil.eval()
    with torch.inference_mode():
        return [_view(model, slide, bags.bag(row)) for row, slide in enumerate(slides)]


def _view(model: Model, slide: MadeSlide, bag: Bag) -> View:
    positive = model.classes.index(str(model.positive_class))
    grid = bag.grid(bag.mpps[-1])
    tumour, planted = slide.shares(grid.xy, grid.size_level0)
    output = model.mil(bag)
    evidence: Any = output.instance_logits or model.mil.evidence(bag)
    mpp = bag.mpps[-1]
    return View(
        slide,
        float(model.mil.probabilities(output.logits)[positive]),
        output.attention[mpp].double().numpy(),
        torch.softmax(evidence[mpp].double(), dim=1)[:, positive].numpy(),
        tumour >= HALF,
        planted >= HALF,
        grid.xy,
        grid.size_level0,
    )


def figures(views: Sequence[View]) -> Figures:
    """Figures of some slides, of which some have tumour and some have none."""
    labels = np.array([one.slide.label == "tumour" for one in views])
    said = np.array([one.probability for one in views])
    ill = [one for one in views if one.tumour.any() and not one.tumour.all()]
    together = np.concatenate([one.tumour for one in ill])

    def mean(scores: str) -> float:
        return float(np.mean([roc_auc_score(one.tumour, getattr(one, scores)) for one in ill]))

    def pooled(scores: str) -> float:
        # attention sums to 1 on each slide: against its mean, so that large slides count as small ones do
        return float(roc_auc_score(together, np.concatenate([getattr(one, scores) * _scale(one, scores) for one in ill])))

    return Figures(
        slide_auc=float(roc_auc_score(labels, said)),
        attention_auc=mean("attention"),
        instance_auc=mean("instance"),
        attention_pooled=pooled("attention"),
        instance_pooled=pooled("instance"),
        wrong_focus=float(np.mean([one.wrong_focus for one in ill])),
        covered=float(np.mean([one.planted.mean() for one in ill])),
        accuracy=float(((said >= HALF) == labels).mean()),
    )


def _scale(one: View, scores: str) -> int:
    return len(one.tumour) if scores == "attention" else 1
