"""WENO (Qu et al., NeurIPS 2022): a teacher that attends to slides and a student that judges patches teach each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional

from napari_wsimil.errors import ModelError
from napari_wsimil.mil.chunks import in_chunks
from napari_wsimil.mil.encoding import encoded_patches
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.output import Losses, MILModel, MILOutput, finest_features
from napari_wsimil.mil.parameters import Parameters, parameter
from napari_wsimil.mil.precision import precise
from napari_wsimil.mil.teachers import Teacher, make_teacher, small_normal
from napari_wsimil.mil.teaching import LogitRange, hard_rows, pseudo_labels, student_loss

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.bags import Bag

CODE = "WENO, official code (miccaiif/WENO 483ddae)"
Answer = Literal["student", "teacher"]


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
    answer: Answer = parameter(
        "student",
        "Who judges: the student, or the teacher without any student, the plain method that WENO is compared with.",
        "Qu et al. 2022, table 1",
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
    teacher, projection, hidden, attention, student, dropout, negative_weight, mine_above, answer
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
        answer: Answer = "student",
    ) -> None:
        super().__init__()
        if classes != 2:
            raise ModelError(f"WENO tells two classes apart, negative and positive, not {classes}; choose another method.")
        self.negative_weight, self.mine_above, self.answer = negative_weight, mine_above, answer
        self.encoder: nn.Module = _Projection(in_features, projection) if projection else nn.Identity()
        width = projection or in_features
        self.teacher = make_teacher(teacher, width, hidden, attention, dropout)
        self.student = nn.Sequential(
            nn.Linear(width, student), nn.ReLU(), nn.Linear(student, student), nn.ReLU(), nn.Linear(student, 2)
        )
        for layer in self.student:
            small_normal(layer)

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for the finest magnification of the bag."""
        mpp, encoded = encoded_patches(self.encoder, bag, next(self.student.parameters()))
        scores, of_slide, _ = self.teacher(encoded)
        attention = {mpp: torch.softmax(precise(scores), dim=0)}
        if self.answer == "teacher":
            # its attention logits, against 0, are all that it says of single patches
            return MILOutput(of_slide, attention, instance_logits={mpp: functional.pad(scores[:, None], (1, 0))})
        logits = in_chunks(self.student, encoded)
        most = (logits[:, 1] - logits[:, 0]).argmax()
        return MILOutput(logits[most], attention, instance_logits={mpp: logits})

    def teacher_losses(self, bag: Bag, target: Tensor, *, mine: bool = False) -> tuple[Losses, Tensor]:
        """One slide of the teacher's pass: `taught` on its encoded patches."""
        mpp, features = finest_features(bag, next(self.student.parameters()))
        return self.taught(mpp, self.encoder(features), target, mine=mine)

    def taught(self, mpp: float, encoded: Tensor, target: Tensor, *, mine: bool = False) -> tuple[Losses, Tensor]:
        """The teacher's loss on a slide, and the attention logits (N,) for the range of the epoch.

        Parameters
        ----------
        mpp, encoded, target
            Magnification, what the shared encoder gave for the patches (N, width), and label, () int64.
        mine
            Leave out the patches of a positive slide that the student finds easy; their logits are the least of the others.
        """
        rows = torch.arange(len(encoded), device=encoded.device)
        if mine and int(target):
            rows = hard_rows(self.student_probabilities(encoded), threshold=self.mine_above)
        scores, logits, loss = self.teacher(encoded[rows], target)
        seen = torch.full((len(encoded),), float(scores.detach().min()), device=scores.device).index_copy(
            0, rows, precise(scores.detach())
        )
        output = MILOutput(logits, {mpp: torch.softmax(seen, dim=0)})
        return Losses(loss, {"teacher": loss}, output), seen

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
        small_normal(self.linear)

    def forward(self, features: Tensor) -> Tensor:
        """(n, D) -> (n, width)."""
        projected: Tensor = self.linear(features)
        # a single patch has no spread of its own
        alone = self.training and len(features) == 1
        if alone:
            norm = self.norm
            return functional.batch_norm(projected, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        return self.norm(projected)


METHOD = Method(
    name="weno",
    title="Teacher and student (WENO)",
    source="https://arxiv.org/abs/2210.03664",
    summary="Learns to judge single patches from slide labels: for maps that mark all of a lesion, not only parts of it.",
    network=WENO,
    parameters=WENOParameters,
    shows=frozenset({"instance_logits"}),
    # the student's last layer, and what classifies slides (and patches) in each kind of teacher
    head=(
        "student.4",
        "teacher.classifier",
        "teacher.patches",
        "teacher.network.classifier",
        "teacher.network.patch_classifiers",
    ),
)
