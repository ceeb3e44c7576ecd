"""WENO (Qu et al., NeurIPS 2022): a teacher that attends to slides and a student that judges patches teach each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional

from napari_wsimil.bags import FeatureBag
from napari_wsimil.errors import ModelError
from napari_wsimil.mil.chunks import in_chunks
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.output import Losses, MILModel, MILOutput, finest_features
from napari_wsimil.mil.parameters import Parameters, parameter
from napari_wsimil.mil.precision import precise
from napari_wsimil.mil.teaching import LogitRange, hard_rows, pseudo_labels, student_loss, teacher_loss

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.bags import Bag

CODE = "WENO, official code (miccaiif/WENO 483ddae)"
Teacher = Literal["abmil", "dsmil", "clam", "transmil"]


class WENOParameters(Parameters):
    """Hyper-parameters of `WENO`."""

    teacher: Teacher = parameter(
        "abmil", "Method whose attention teaches: it alone sees the slide's label.", "Qu et al. 2022, table 3"
    )
    projection: int = parameter(
        512,
        "Width of the layer that both share and both train; 0: the features themselves.",
        CODE + ", feature scripts",
        ge=0,
        le=8192,
    )
    hidden: int = parameter(1024, "Width of the teacher.", CODE, ge=1, le=8192)
    attention: int = parameter(512, "Width of the teacher's attention.", CODE, ge=1, le=8192)
    student: int = parameter(4096, "Width of the student.", CODE, ge=1, le=16384)
    dropout: float = parameter(0.5, "Share of activations dropped in the teacher in training.", CODE, ge=0, lt=1)
    negative_weight: float = parameter(
        0.1, "Weight of negative patches when the student learns, 1 minus it of positive ones.", CODE, gt=0, lt=1
    )
    mine_above: float = parameter(
        0.5,
        "Patches that the student finds more positive than this are easy: the teacher learns without them.",
        CODE + ", feature scripts",
        ge=0,
        le=1,
    )


class WENO(MILModel):
    """Two classes only. The slide is as positive as its most positive patch is to the student: the logits of that patch.

    Attention is the teacher's, evidence (instance logits) the student's.

    As published, training alternates by epochs: `teacher_losses` for each slide, then `student_losses` over patches of all
    slides mixed, with labels stretched over the range of the epoch (`mil.teaching`). `losses` takes both steps on one slide,
    with labels stretched over that slide: for trainers that know no epochs.

    Parameters
    ----------
    in_features, classes
        Length D of a feature vector; two classes, the second of which is positive.
    teacher, projection, hidden, attention, student, dropout, negative_weight, mine_above
        See `WENOParameters`.

    Raises
    ------
    ModelError
        There are more or fewer than two classes.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        teacher: Teacher = "abmil",
        projection: int = 512,
        hidden: int = 1024,
        attention: int = 512,
        student: int = 4096,
        dropout: float = 0.5,
        negative_weight: float = 0.1,
        mine_above: float = 0.5,
    ) -> None:
        super().__init__()
        if classes != 2:
            raise ModelError(f"WENO tells two classes apart, negative and positive, not {classes}; choose another method.")
        self.negative_weight, self.mine_above = negative_weight, mine_above
        self.encoder: nn.Module = _Projection(in_features, projection) if projection else nn.Identity()
        width = projection or in_features
        self.teacher = make_teacher(teacher, width, hidden, attention, dropout)
        self.student = nn.Sequential(
            nn.Linear(width, student), nn.ReLU(), nn.Linear(student, student), nn.ReLU(), nn.Linear(student, 2)
        )
        for layer in self.student:
            _small_normal(layer)

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for the finest magnification of the bag."""
        mpp, features = finest_features(bag, next(self.student.parameters()))
        encoded = in_chunks(self.encoder, features)
        logits = in_chunks(self.student, encoded)
        most = (logits[:, 1] - logits[:, 0]).argmax()
        attention = torch.softmax(precise(self.teacher(encoded)[0]), dim=0)
        return MILOutput(logits[most], {mpp: attention}, instance_logits={mpp: logits})

    def teacher_losses(self, bag: Bag, target: Tensor, *, mine: bool = False) -> tuple[Losses, Tensor]:
        """One slide of the teacher's pass: its loss, and the attention logits (N,) for the range of the epoch.

        Parameters
        ----------
        bag, target
            The slide and its label, () int64.
        mine
            Leave out the patches of a positive slide that the student finds easy; their logits are the least of the others.
        """
        mpp, features = finest_features(bag, next(self.student.parameters()))
        encoded = self.encoder(features)
        rows = torch.arange(len(features), device=features.device)
        if mine and int(target):
            rows = hard_rows(self.student_probabilities(encoded), threshold=self.mine_above)
        scores, logits, loss = self.teacher(encoded[rows], target)
        seen = torch.full((len(features),), float(scores.detach().min()), device=scores.device).index_copy(
            0, rows, precise(scores)
        )
        output = MILOutput(logits, {mpp: torch.softmax(seen, dim=0)})
        return Losses(loss, {"teacher": loss}, output), seen.detach()

    @torch.no_grad()
    def attention_logits(self, features: Tensor) -> Tensor:
        """(N,) logits of the teacher for features (N, D) as it is now, for labels of the student's pass."""
        scores: Tensor = self.teacher(self.encoder(features))[0]
        return precise(scores)

    def student_losses(self, features: Tensor, labels: Tensor) -> Tensor:
        """Loss of the student's pass on patches (n, D) of any slides with soft labels (n,)."""
        return student_loss(self.student(self.encoder(features)), labels, self.negative_weight)

    @torch.no_grad()
    def student_probabilities(self, encoded: Tensor) -> Tensor:
        """(n,) probabilities of being positive, from what the shared encoder gave."""
        return torch.softmax(precise(self.student(encoded)), dim=1)[:, 1]

    def losses(self, bag: Bag, target: Tensor, class_weights: Tensor | None = None) -> Losses:
        """Both steps on one slide, see the class; `class_weights` weigh the slide in the teacher's step."""
        taught, scores = self.teacher_losses(bag, target)
        _, features = finest_features(bag, next(self.student.parameters()))
        alone = LogitRange()
        alone.add(scores)
        learned = self.student_losses(features, pseudo_labels(scores, alone, bool(target)))
        of_bag = taught.total if class_weights is None else taught.total * class_weights[target]
        return Losses(of_bag + learned, {"teacher": taught.total, "student": learned}, taught.output)


class _Projection(nn.Module):
    """The shared encoder over stored features: a linear layer and batch normalisation over the patches of a step."""

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, width)
        self.norm = nn.BatchNorm1d(width)
        _small_normal(self.linear)

    def forward(self, features: Tensor) -> Tensor:
        """(n, D) -> (n, width)."""
        projected: Tensor = self.linear(features)
        # a single patch has no spread of its own
        alone = self.training and len(features) == 1
        if alone:
            norm = self.norm
            return functional.batch_norm(projected, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        return self.norm(projected)


def make_teacher(name: Teacher, width: int, hidden: int, attention: int, dropout: float) -> nn.Module:
    """The head that attends: (N, width) and perhaps a target -> attention logits (N,), slide logits (2,), loss."""
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
        _small_normal(layer)
    return trunk


class _AttentionTeacher(nn.Module):
    """ABMIL without a gate behind two layers, as published for WENO."""

    def __init__(self, width: int, hidden: int, attention: int, dropout: float) -> None:
        super().__init__()
        self.trunk = _trunk(width, hidden, dropout)
        self.score = nn.Sequential(nn.Linear(hidden, attention), nn.Tanh(), nn.Linear(attention, 1))
        self.classifier = nn.Linear(hidden, 2)
        for layer in (*self.score, self.classifier):
            _small_normal(layer)

    def forward(self, encoded: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        u = in_chunks(self.trunk, encoded)
        scores = in_chunks(self.score, u)[:, 0]
        logits = self.classifier(torch.softmax(precise(scores), dim=0) @ precise(u))
        return scores, logits, logits.sum() * 0 if target is None else teacher_loss(logits, target)


class _DSMILTeacher(nn.Module):
    """DSMIL behind two layers, as published for WENO: what teaches is the positive logit of its stream of patches."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.trunk = _trunk(width, hidden, dropout)
        self.patches = nn.Linear(hidden, 2)
        self.query = nn.Linear(hidden, hidden)
        self.values = nn.Linear(hidden, hidden)
        self.classifier = nn.Conv1d(2, 2, kernel_size=hidden)
        for layer in (self.patches, self.query, self.values):
            _small_normal(layer)

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


def _small_normal(layer: nn.Module) -> None:
    """The published start of linear layers: weights of standard deviation 0.01, no bias."""
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)


METHOD = Method(
    name="weno",
    title="Teacher and student (WENO)",
    source="https://arxiv.org/abs/2210.03664",
    summary="Learns to judge single patches from slide labels: for maps that mark all of a lesion, not only parts of it.",
    network=WENO,
    parameters=WENOParameters,
    shows=frozenset({"instance_logits"}),
)
