"""Dual-level anchor mining (AINet, section 3.3): instances that are typical of their region and of the whole bag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_wsimil.mil.chunks import CHUNK, in_chunks
from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_wsimil.mil.regions import Regions

EPSILON = 1e-8
"""Least length in a cosine, as in torch.nn.functional.cosine_similarity."""


@dataclass(frozen=True)
class Anchors:
    """What `DualLevelAnchorMining` found in a bag of N instances.

    Attributes
    ----------
    rows, scores
        (K,) int64 rows of the bag, best first, and their similarities.
    features
        (K, d) projected features of the anchors; gradients flow through them, not through their choice.
    similarity
        (N,) w of equation 3.
    kept
        What was asked to be kept of each projected instance, (N, ...); the (N, d) projected features if nothing was said.
    consistency
        Scalar, mean squared difference of projected and original features (equation 10).
    """

    rows: Tensor
    scores: Tensor
    features: Tensor
    similarity: Tensor
    kept: Tensor
    consistency: Tensor


class DualLevelAnchorMining(nn.Module):
    """DAM: h = W2 ReLU(W1 x + b1) + b2, and the K instances most similar to the means of h over their region and over the bag.

    The mean of h is W2 mean(ReLU(...)) + b2, so a bag of any length needs only the narrow hidden layer kept.

    Parameters
    ----------
    features
        Length d of a feature vector.
    bottleneck
        Width of the hidden layer.
    anchors
        K; 0: none.
    balance
        Lambda of equation 3: weight of the region's mean, the bag's has the rest.
    per_region
        Take the K / R best of each region (rounded, at least 1) instead of the K best of the bag.
    """

    def __init__(
        self, features: int, bottleneck: int, *, anchors: int = 10, balance: float = 0.7, per_region: bool = False
    ) -> None:
        super().__init__()
        self.compress = nn.Sequential(nn.Linear(features, bottleneck), nn.ReLU())
        self.expand = nn.Linear(bottleneck, features)
        self.anchors, self.balance, self.per_region = anchors, balance, per_region

    def forward(self, instances: Tensor, regions: Regions, keep: Callable[[Tensor], Tensor] | None = None) -> Anchors:
        """Find the anchors of a bag.

        Parameters
        ----------
        instances
            (N, d) features in the order of the bag.
        keep
            (n, d) projected instances -> (n, ...) what to keep of them; a bag of a million instances need not keep all of h.
        """
        hidden = in_chunks(self.compress, instances)
        typical = self._typical(hidden, regions)
        size = len(instances) if torch.is_grad_enabled() else CHUNK
        parts = [
            self._project(*part, typical, keep)
            for part in zip(hidden.split(size), instances.split(size), regions.labels().split(size), strict=True)
        ]
        kept, similarity = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        rows = self._choose(similarity, regions)
        consistency = torch.stack([part[2] for part in parts]).sum() / instances.numel()
        return Anchors(rows, similarity[rows], self.expand(hidden[rows]), similarity, kept, consistency)

    @torch.no_grad()
    def _typical(self, hidden: Tensor, regions: Regions) -> Tensor:
        """(R, d): for unit h, w = h . row of its region, as both cosines of equation 3 are products with unit means."""
        with torch.autocast(hidden.device.type, enabled=False):
            means = torch.stack([precise(hidden[rows]).mean(dim=0) for rows in regions.rows()])
            sizes = torch.tensor(regions.sizes, dtype=means.dtype, device=means.device)
            of_regions = self.expand(means)
            of_bag = self.expand((sizes @ means / sizes.sum())[None])
            return self.balance * _unit(of_regions) + (1 - self.balance) * _unit(of_bag)

    def _project(
        self, hidden: Tensor, instances: Tensor, labels: Tensor, typical: Tensor, keep: Callable[[Tensor], Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What is kept of a chunk, its similarities (n,) and its summed squared differences from the original."""
        projected: Tensor = self.expand(hidden)
        with torch.autocast(hidden.device.type, enabled=False):
            # in bfloat16 hundreds of cosines would tie
            similarity = torch.linalg.vecdot(_unit(precise(projected.detach())), typical[labels])
        difference = (precise(projected) - precise(instances)).square().sum()
        return keep(projected) if keep is not None else projected, similarity, difference

    def _choose(self, similarity: Tensor, regions: Regions) -> Tensor:
        """(K,) rows, best first; of equal ones the lower row."""
        if not self.per_region or self.anchors == 0:
            return best_rows(similarity, self.anchors)
        each = max(1, round(self.anchors / len(regions)))
        chosen = torch.cat([rows[best_rows(similarity[rows], each)] for rows in regions.rows()]).sort().values
        return chosen[best_rows(similarity[chosen], len(chosen))]


def best_rows(scores: Tensor, count: int) -> Tensor:
    """Rows of the `count` highest of (N,) scores, or of all where there are fewer; best first, of equal ones the lower row."""
    # topk would not say which of equal scores it takes
    return torch.sort(scores, descending=True, stable=True).indices[:count]


def _unit(vectors: Tensor) -> Tensor:
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_min(EPSILON)
