"""The heads that teach in WENO: they see a slide and its label, and say how much they look at each patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from napari_wsimil.bags import FeatureBag
from napari_wsimil.mil.chunks import in_chunks
from napari_wsimil.mil.precision import precise
from napari_wsimil.mil.teaching import teacher_loss

if TYPE_CHECKING:
    from torch import Tensor

Teacher = Literal["abmil", "dsmil", "clam", "transmil"]


def make_teacher(name: Teacher, width: int, hidden: int, attention: int, dropout: float) -> nn.Module:
    """The head that attends: (N, width) and perhaps a target -> attention logits (N,), slide logits (2,), loss.

    It `judges_alone` where the logit of a patch does not depend on the others of the slide.
    """
    if name == "abmil":
        return _AttentionTeacher(width, hidden, attention, dropout)
    if name == "dsmil":
        return _DSMILTeacher(width, hidden, dropout)
    return _AnyTeacher(name, width)


def _trunk(width: int, hidden: int, dropout: float) -> nn.Sequential:
    trunk = nn.Sequential(
        nn.Dropout(dropout), nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU()
    )
    for layer in trunk:
        small_normal(layer)
    return trunk


class _AttentionTeacher(nn.Module):
    """ABMIL without a gate behind two layers, as published for WENO."""

    judges_alone = True

    def __init__(self, width: int, hidden: int, attention: int, dropout: float) -> None:
        super().__init__()
        self.trunk = _trunk(width, hidden, dropout)
        self.score = nn.Sequential(nn.Linear(hidden, attention), nn.Tanh(), nn.Linear(attention, 1))
        self.classifier = nn.Linear(hidden, 2)
        for layer in (*self.score, self.classifier):
            small_normal(layer)

    def forward(self, encoded: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        u = in_chunks(self.trunk, encoded)
        scores = in_chunks(self.score, u)[:, 0]
        logits = self.classifier(torch.softmax(precise(scores), dim=0) @ precise(u))
        return scores, logits, logits.sum() * 0 if target is None else teacher_loss(logits, target)


class _DSMILTeacher(nn.Module):
    """DSMIL behind two layers, as published for WENO: what teaches is the positive logit of its stream of patches."""

    judges_alone = True

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.trunk = _trunk(width, hidden, dropout)
        self.patches = nn.Linear(hidden, 2)
        self.query = nn.Linear(hidden, hidden)
        self.values = nn.Linear(hidden, hidden)
        self.classifier = nn.Conv1d(2, 2, kernel_size=hidden)
        for layer in (self.patches, self.query, self.values):
            small_normal(layer)

    def forward(self, encoded: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        u = in_chunks(self.trunk, encoded)
        each = self.patches(u)
        critical = self.query(u[each.argmax(dim=0)])
        likeness = torch.softmax(precise(in_chunks(self.query, u) @ critical.T) / u.shape[1] ** 0.5, dim=0)
        logits = self.classifier((likeness.T @ precise(in_chunks(self.values, u)))[None])[0, :, 0]
        telling = each[each[:, 1].argmax()]
        if target is None:
            return each[:, 1], logits, logits.sum() * 0
        return each[:, 1], logits, 0.5 * teacher_loss(logits, target) + 0.5 * teacher_loss(telling, target)


class _AnyTeacher(nn.Module):
    """Another method of this package. What teaches is log(a N) of its attention a: 0 where all patches weigh the same."""

    judges_alone = False

    def __init__(self, name: str, width: int) -> None:
        super().__init__()
        from napari_wsimil.mil.registry import build_mil  # the registry imports this module

        self.network = build_mil(name, width, 2)

    def forward(self, encoded: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        bag = FeatureBag({1.0: encoded})
        if target is None:
            output = self.network(bag)
            loss = output.logits.sum() * 0
        else:
            losses = self.network.losses(bag, target)
            output, loss = losses.output, losses.total
        attention = precise(output.attention[1.0])
        return torch.log(attention * len(encoded) + 1e-12), output.logits, loss


def small_normal(layer: nn.Module) -> None:
    """The published start of linear layers: weights of standard deviation 0.01, no bias."""
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
