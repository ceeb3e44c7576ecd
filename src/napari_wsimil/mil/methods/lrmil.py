"""LRMIL (Shin and Jeong, MICCAI 2026): a student that reads coarse patches only, taught by a teacher that read fine ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional

from napari_wsimil.mil.attention import GatedAttention
from napari_wsimil.mil.chunks import attention_pool
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.output import Losses, MILModel, MILOutput, finest_features, label_loss
from napari_wsimil.mil.parameters import Parameters, parameter
from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.bags import Bag

CODE = "LRMIL, official code (hvcl/LRMIL 5455aa3)"
OURS = "ours: neither paper nor code gives a value"


class LRMILParameters(Parameters):
    """Hyper-parameters of `LRMIL`."""

    attention: int = parameter(128, "Width of the attention.", CODE, ge=1, le=8192)
    gated: bool = parameter(False, "Gate the attention with a sigmoid.", CODE)
    projection: int = parameter(
        0,
        "Width of a layer before everything; 0: none. With it, sure patches teach what predictions use.",
        "ours: without it the published hard loss reaches nothing that predicts",
        ge=0,
        le=8192,
    )
    student: bool = parameter(
        True, "Have a head for the patches that the teacher is surest of; the teacher itself has none.", CODE
    )
    temperature: float = parameter(2.0, "Softens both predictions before they are compared.", OURS, guess=True, gt=0, le=100)
    attention_temperature: float = parameter(
        1.0, "Softens both attentions before they are compared.", OURS, guess=True, gt=0, le=100
    )
    slide_weight: float = parameter(1.0, "Weight of the slide's label.", OURS, guess=True, ge=0)
    teacher_weight: float = parameter(1.0, "Weight of the teacher's prediction.", OURS, guess=True, ge=0)
    attention_weight: float = parameter(1.0, "Weight of the teacher's attention.", OURS, guess=True, ge=0)
    sure_weight: float = parameter(0.0, "Weight of the patches that the teacher is surest of.", OURS, guess=True, ge=0)
    sure: int = parameter(
        4, "Patches taken from either end of the teacher's attention.", CODE + ", function default", ge=1, le=512
    )
    gather: Literal["mean", "sum", "max"] = parameter(
        "mean", "How the attention of the fine patches becomes that of the coarse patch around them.", CODE
    )


@dataclass(frozen=True)
class Lesson:
    """What the teacher says of one slide.

    Attributes
    ----------
    logits
        (C,) its logits.
    attention
        (N,) for each coarse patch, at least 0; sums to 1 over those that have a fine patch.
    present
        (N,) bool, which coarse patches have a fine one.
    """

    logits: Tensor
    attention: Tensor
    present: Tensor


def lesson(logits: Tensor, attention: Tensor, children: Tensor, gather: Literal["mean", "sum", "max"] = "mean") -> Lesson:
    """What a teacher that saw the fine patches tells a student of the coarse ones.

    Parameters
    ----------
    logits, attention
        The teacher's (C,) logits and (N_fine,) attention, softmaxed over the slide.
    children
        (N, r) rows of the fine patches in each coarse one, -1 where there is none.
    gather
        Mean, sum or largest over the children that there are.

    The result is divided by its sum, not softmaxed: a softmax of what is softmaxed already would be all but even.
    """
    there = children >= 0
    of_child = torch.where(there, precise(attention.detach())[children.clamp(min=0)], 0.0)
    if gather == "max":
        gathered = of_child.max(dim=1).values
    else:
        gathered = of_child.sum(dim=1)
        if gather == "mean":
            gathered = gathered / there.sum(dim=1).clamp(min=1)
    return Lesson(precise(logits.detach()), gathered / gathered.sum().clamp(min=1e-12), there.any(dim=1))


class LRMIL(MILModel):
    """Attention directly on the features, without an embedding; the same network serves as teacher and as student.

    The classifier is linear, so its answer for a patch is that patch's evidence: the slide's logits are their weighted mean.
    The student asks for the coarse patches only: its bag has one magnification.

    Parameters
    ----------
    in_features, classes
        Length D of a feature vector, number of classes C.
    attention, gated, projection, student, temperature, attention_temperature, slide_weight, teacher_weight
        See `LRMILParameters`, as for the next four.
    attention_weight, sure_weight, sure, gather
        See there.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        attention: int = 128,
        gated: bool = False,
        projection: int = 0,
        student: bool = True,
        temperature: float = 2.0,
        attention_temperature: float = 1.0,
        slide_weight: float = 1.0,
        teacher_weight: float = 1.0,
        attention_weight: float = 1.0,
        sure_weight: float = 0.0,
        sure: int = 4,
        gather: Literal["mean", "sum", "max"] = "mean",
    ) -> None:
        super().__init__()
        self.temperature, self.attention_temperature = temperature, attention_temperature
        self.weights = {"bag": slide_weight, "teacher": teacher_weight, "attention": attention_weight, "sure": sure_weight}
        self.sure, self.gather = sure, gather
        self.embed: nn.Module = nn.Sequential(nn.Linear(in_features, projection), nn.ReLU()) if projection else nn.Identity()
        width = projection or in_features
        self.attention = GatedAttention(width, attention, gated=gated)
        self.classifier = nn.Linear(width, classes)
        self.sure_classifier = nn.Linear(width, 2) if student else None

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for the finest magnification of the bag, which for the student is the coarse one."""
        return self._answer(bag)[0]

    def distillation_losses(self, bag: Bag, target: Tensor, taught: Lesson, class_weights: Tensor | None = None) -> Losses:
        """Losses of the student on one slide (stage 2).

        Parts: "bag" (cross-entropy with the label), "teacher" (T^2 KL of the predictions), "attention" (T^2 KL of the
        attentions over the coarse patches that have fine ones) and "sure" (both ends of the teacher's attention). The
        divergences are sums: a mean over patches would make them vanish on large slides.
        """
        output, scores, features = self._answer(bag)
        parts = {
            "bag": label_loss(output.logits, target, class_weights),
            "teacher": _divergence(torch.softmax(taught.logits / self.temperature, dim=0), output.logits, self.temperature),
            "attention": self._attention_loss(scores, taught),
        }
        if self.weights["sure"] and self.sure_classifier is not None:
            parts["sure"] = self._sure_loss(features, taught, self.sure_classifier)
        total = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
        return Losses(total, parts, output)

    def _answer(self, bag: Bag) -> tuple[MILOutput, Tensor, Tensor]:
        """The output, attention logits (N,) and features (N, D)."""
        mpp, features = finest_features(bag, self.classifier.weight)

        def look(part: Tensor) -> tuple[Tensor, ...]:
            embedded = self.embed(part)
            scores = self.attention(embedded)
            return scores, embedded, self.classifier(embedded), scores

        pooled = attention_pool(look, features)
        evidence, scores = pooled.others
        output = MILOutput(self.classifier(pooled.values)[0], {mpp: pooled.weights[:, 0]}, instance_logits={mpp: evidence})
        return output, scores[:, 0], features

    def _attention_loss(self, scores: Tensor, taught: Lesson) -> Tensor:
        rows = taught.present.nonzero()[:, 0]
        if not len(rows):
            return scores.sum() * 0.0
        wanted = taught.attention[rows] ** (1 / self.attention_temperature)
        return _divergence(wanted / wanted.sum().clamp(min=1e-12), scores[rows], self.attention_temperature)

    def _sure_loss(self, features: Tensor, taught: Lesson, classify: nn.Linear) -> Tensor:
        rows = taught.present.nonzero()[:, 0]
        count = min(self.sure, len(rows) // 2)
        if not count:
            return classify.weight.sum() * 0.0
        order = taught.attention[rows].argsort(descending=True, stable=True)
        chosen = rows[torch.cat([order[:count], order[-count:]])]
        truth = torch.cat([torch.ones(count), torch.zeros(count)]).to(chosen)
        return functional.cross_entropy(precise(classify(self.embed(features[chosen]))), truth)


def _divergence(wanted: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(wanted || softmax(logits / T)), summed."""
    log = torch.log_softmax(precise(logits) / temperature, dim=0)
    return temperature**2 * functional.kl_div(log, wanted, reduction="sum")


METHOD = Method(
    name="lrmil",
    title="Coarse student of a fine teacher (LRMIL)",
    source="https://arxiv.org/abs/2606.06864",
    summary="Reads a slide at 5x only, a sixteenth of the patches, with a student taught by what a teacher saw at 20x.",
    network=LRMIL,
    parameters=LRMILParameters,
    shows=frozenset({"instance_logits"}),
    head=("classifier", "sure_classifier"),
)
