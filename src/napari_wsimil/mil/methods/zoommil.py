"""ZoomMIL (Thandiackal et al., ECCV 2022): learn where to look closer, and look there only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from napari_wsimil.errors import ModelError
from napari_wsimil.mil.attention import GatedAttention
from napari_wsimil.mil.chunks import attention_pool
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.output import MILModel, MILOutput, Selection
from napari_wsimil.mil.parameters import Parameters, parameter
from napari_wsimil.mil.precision import precise
from napari_wsimil.mil.topk import SoftSelection, perturbed_topk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.bags import Bag

CODE = "ZoomMIL, official code (histocartography/zoommil da7bb7f)"
_LEAST = 1e-6
"""A child that is less likely than this to be among the selected is not there."""


class ZoomMILParameters(Parameters):
    """Hyper-parameters of `ZoomMIL`."""

    magnifications: int = parameter(3, "Magnifications, each a power of two finer than the one before.", CODE, ge=1, le=8)
    selected: int = parameter(
        16,
        "Patches to look closer at, at each magnification but the last.",
        "paper: 16 for CRC, 12 BRIGHT, 300 CAMELYON16",
        ge=1,
    )
    hidden: int = parameter(512, "Width of the embedding of a patch.", CODE, ge=1, le=8192)
    attention: int = parameter(256, "Width of both attentions.", CODE, ge=1, le=8192)
    dropout: float = parameter(0.25, "Share of activations dropped in training.", CODE, ge=0, lt=1)
    sigma: float = parameter(0.002, "Noise on the attention while choosing in training.", CODE + ", configuration", gt=0)
    relative_sigma: float = parameter(
        0.0,
        "Noise as a share of the mean attention 1/N instead, which suits slides of very different size; 0: use sigma.",
        "ours: the published noise was tuned on slides of some 60 patches",
        ge=0,
    )
    samples: int = parameter(100, "Draws of noise in each training step.", CODE + ", configuration", ge=1, le=10000)
    jacobian: Literal["diag", "full"] = parameter(
        "diag", "Derivative of the choice: by a patch's own attention (as in the code), or by all (equation 5).", CODE
    )
    control_variate: bool = parameter(
        True,
        "Make the derivative less noisy without changing its mean.",
        "ours: of 100 draws it points closer to the true derivative; off in the published code",
    )
    choice: Literal["learned", "top", "random"] = parameter(
        "learned",
        "How patches are chosen in training: so that choosing is learned, by attention as it is, or blindly (also afterwards).",
        "paper; the others are its ablations, table 4",
    )
    dual: bool = parameter(True, "An attention of its own for choosing, besides the one for pooling.", "paper, table 4")


class ZoomMIL(MILModel):
    """From coarse to fine: pool all patches, choose K of them by a second attention, go on with the children of these.

    The pooled embeddings of all magnifications are added and classified by one linear layer, so that the logits are the sum
    over the magnifications of attention times evidence, W E + b/M for each patch looked at.

    In training the choice is soft (`perturbed_topk`) and all children are read. In evaluation it is the K largest, and of the
    finer magnifications only the children of what was chosen are asked for. Children that a grid does not have count nothing;
    a patch without any child can't be chosen.

    Parameters
    ----------
    in_features, classes
        Length D of a feature vector, number of classes C.
    magnifications, selected, hidden, attention, dropout, sigma, relative_sigma, samples, jacobian, control_variate, choice, \
    dual
        See `ZoomMILParameters`.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        magnifications: int = 3,
        selected: int = 16,
        hidden: int = 512,
        attention: int = 256,
        dropout: float = 0.25,
        sigma: float = 0.002,
        relative_sigma: float = 0.0,
        samples: int = 100,
        jacobian: Literal["diag", "full"] = "diag",
        control_variate: bool = True,
        choice: Literal["learned", "top", "random"] = "learned",
        dual: bool = True,
    ) -> None:
        super().__init__()
        self.selected, self.sigma, self.relative_sigma, self.samples = selected, sigma, relative_sigma, samples
        self.jacobian: Literal["diag", "full"] = jacobian
        self.control_variate, self.choice = control_variate, choice
        self.embed = nn.ModuleList(
            nn.Sequential(nn.Linear(in_features, hidden), nn.ReLU(), nn.Dropout(dropout)) for _ in range(magnifications)
        )
        self.attention = nn.ModuleList(GatedAttention(hidden, attention, dropout=dropout) for _ in range(magnifications))
        # weights of its own: with one attention for both, pooling and zooming pull it apart (table 4 of the paper)
        zooms = magnifications - 1 if dual else 0
        self.zoom = nn.ModuleList(GatedAttention(hidden, attention, dropout=dropout) for _ in range(zooms))
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for all magnifications of the bag.

        Raises
        ------
        ModelError
            The bag does not have as many magnifications as the model.
        """
        if len(bag.mpps) != len(self.embed):
            listed = ", ".join(f"{mpp:g}" for mpp in bag.mpps)
            raise ModelError(
                f"This ZoomMIL model looks at {len(self.embed)} magnifications, but the slide was given at {len(bag.mpps)} "
                f"({listed} µm per pixel); give one feature table for each."
            )
        return self._train_on(bag) if self.training else self._look(bag)

    def evidence(self, bag: Bag) -> dict[float, Tensor]:
        """See `MILModel`: of all patches at all magnifications, whether the model would look at them or not."""
        device = self.classifier.weight.device
        steps = enumerate(bag.mpps)
        return {mpp: self._judged(self.embed[step](bag.features(mpp).to(device))) for step, mpp in steps}

    def provisional(self, bag: Bag, step: int) -> Tensor:
        """See `MILModel`: each magnification has an attention of its own."""
        features = bag.features(bag.mpps[0]).to(self.classifier.weight.device)
        pooled = attention_pool(lambda part: self._both(step, part), features)
        return pooled.weights[:, 0]

    def _judged(self, embedded: Tensor) -> Tensor:
        """(n, C) evidence of patches by their embeddings (n, hidden)."""
        return nn.functional.linear(embedded, self.classifier.weight) + self.classifier.bias / len(self.embed)

    # -- evaluation: only what was chosen is asked for --------------------------------------------------------------------

    def _look(self, bag: Bag) -> MILOutput:
        attention: dict[float, Tensor] = {}
        evidence: dict[float, Tensor] = {}
        zoom: dict[float, Selection] = {}
        visited: dict[float, Tensor] = {}
        device = self.classifier.weight.device
        embeddings: list[Tensor] = []
        rows: NDArray[np.int64] | None = None
        for step, mpp in enumerate(bag.mpps):
            features = bag.features(mpp, rows).to(device)
            pooled = attention_pool(lambda part, step=step: self._both(step, part), features)  # type: ignore[misc]
            embeddings.append(pooled.values[0])
            attention[mpp], evidence[mpp] = pooled.weights[:, 0], pooled.others[0]
            if rows is not None:
                visited[mpp] = torch.from_numpy(rows)
            if step == len(bag.mpps) - 1:
                break
            finer = bag.mpps[step + 1]
            children = _children(bag, mpp, finer, rows)
            parents = torch.from_numpy((children >= 0).any(axis=1)).to(device)
            logits = precise(pooled.others[1][:, 0])
            ranked, scores = _largest(_blind(logits) if self.choice == "random" else logits, parents, self.selected)
            if not len(ranked):
                break
            zoom[mpp] = Selection(mpp, ranked.cpu() if rows is None else torch.from_numpy(rows)[ranked.cpu()], scores)
            rows = children[ranked.sort().values.cpu().numpy()].reshape(-1)
            rows = rows[rows >= 0]
        return MILOutput(self.classifier(sum(embeddings)), attention, zoom=zoom or None, instance_logits=evidence, rows=visited)

    def _both(self, step: int, features: Tensor) -> tuple[Tensor, ...]:
        """Attention logits (n, 1), embeddings (n, hidden), evidence (n, C) and, but at the last step, zoom logits (n, 1)."""
        embedded = self.embed[step](features)
        evidence = self._judged(embedded)
        scores = self.attention[step](embedded)
        if step == len(self.embed) - 1:
            return scores, embedded, evidence
        return scores, embedded, evidence, self.zoom[step](embedded) if self.zoom else scores

    # -- training: all children, mixed softly -----------------------------------------------------------------------------

    def _train_on(self, bag: Bag) -> MILOutput:
        mpps = bag.mpps
        tables, present = self._tables(bag)
        attention: list[Tensor] = []
        embeddings: list[Tensor] = []
        for step in range(len(mpps)):
            embedded = self.embed[step](tables[step])
            scores, there = precise(self.attention[step](embedded)[:, 0]), present[step]
            attention.append(torch.softmax(scores + _log(there), dim=0))
            embeddings.append(attention[-1] @ precise(embedded))
            if step < len(mpps) - 1:
                candidates = there * (present[step + 1].unflatten(0, (len(there), -1)).sum(dim=1) > 0)
                if not bool(candidates.any()):
                    break
                wanted = precise(self.zoom[step](embedded)[:, 0]) if self.zoom else scores
                self._select(torch.softmax(wanted + _log(candidates), dim=0), step, tables, present)
        # of the finer magnifications there is no patch with an attention of its own, only mixtures
        return MILOutput(self.classifier(sum(embeddings)), {mpps[0]: attention[0]})

    def _tables(self, bag: Bag) -> tuple[list[Tensor], list[Tensor]]:
        """Features (N r, D) of each magnification, parent by parent of the coarsest, and which of them there are (N r,)."""
        device = self.classifier.weight.device
        coarsest = bag.mpps[0]
        tables = [bag.features(coarsest).to(device)]
        present = [torch.ones(len(tables[0]), device=device)]
        for mpp in bag.mpps[1:]:
            children = torch.from_numpy(_children(bag, coarsest, mpp)).to(device).flatten()
            there = (children >= 0).float()
            features = bag.features(mpp).to(device)
            tables.append(features[children.clamp(min=0)])
            if not bool(there.all()):
                tables[-1] *= there[:, None].to(features.dtype)
            present.append(there)
        return tables, present

    def _select(self, zoom: Tensor, step: int, tables: list[Tensor], present: list[Tensor]) -> None:
        """Replace all finer tables by those of the chosen patches (equations 4 to 7); nothing to do where all fit."""
        count = len(zoom)
        if count <= self.selected:
            return
        choice = self._choice(zoom)
        for finer in range(step + 1, len(tables)):
            children = tables[finer].unflatten(0, (count, -1))
            there = present[finer].unflatten(0, (count, -1))
            if bool((there == 1).all()):
                # equations 4 to 7 as they stand; the rows of T sum to 1
                mixed, mass = choice.mix(children), there[: self.selected]
            else:
                mass = choice.mix(there)
                mixed = choice.mix(children * there[..., None].to(children.dtype)) / mass.clamp(min=_LEAST)[..., None]
            tables[finer], present[finer] = mixed.flatten(0, 1).to(tables[finer].dtype), mass.flatten()

    def _choice(self, zoom: Tensor) -> SoftSelection:
        """T of equation 4; where choosing is not learned its rows are single patches, without gradient."""
        count = len(zoom)
        if self.choice == "learned":
            noise = torch.randn(self.samples, count, device=zoom.device)
            sigma = self.relative_sigma / count if self.relative_sigma else self.sigma
            return perturbed_topk(
                zoom, self.selected, noise, sigma, jacobian=self.jacobian, control_variate=self.control_variate
            )
        liked = zoom.detach() if self.choice == "top" else (zoom > 0) * (1 + torch.rand_like(zoom))
        rows = liked.topk(self.selected).indices.sort().values
        return SoftSelection(
            torch.arange(self.selected, device=rows.device), rows, torch.ones_like(zoom[rows]), (len(rows), count)
        )


def _children(bag: Bag, mpp: float, finer: float, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """`bag.children`, out of the compiler's sight: it would take NumPy's arithmetic for torch's."""
    if torch.compiler.is_compiling():
        return torch.compiler.disable(bag.children)(mpp, finer, rows)
    return bag.children(mpp, finer, rows)


def _log(present: Tensor) -> Tensor:
    """What to add to attention logits of patches that are there with a probability: -inf where they are not."""
    return torch.where(present > _LEAST, present, 0.0).log()


def _blind(logits: Tensor) -> Tensor:
    """Logits by chance, the same for every slide with as many patches: predictions do not vary from one time to the next."""
    drawn = torch.rand(len(logits), generator=torch.Generator().manual_seed(len(logits)))
    return drawn.to(logits)


def _largest(logits: Tensor, allowed: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Rows of the K largest logits among the allowed ones, best first (of equals the first), and their softmax among these."""
    rows = allowed.nonzero()[:, 0]
    scores, order = torch.softmax(logits[rows], dim=0).sort(descending=True, stable=True)
    return rows[order[:k]], scores[:k]


METHOD = Method(
    name="zoommil",
    title="Learned zooming (ZoomMIL)",
    source="https://arxiv.org/abs/2204.12454",
    summary="Looks at the whole slide coarsely and at a few places closely: a fraction of the patches and of the time.",
    network=ZoomMIL,
    parameters=ZoomMILParameters,
    shows=frozenset({"zoom", "instance_logits"}),
    magnifications=(1, None),
)
