"""Anchor-guided region correction (AINet, section 3.4): each region looks at itself, at the next one and at the anchors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_wsimil.mil.anchors import best_rows
from napari_wsimil.mil.attention import GatedAttention
from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.mil.regions import Regions


@dataclass(frozen=True)
class Corrected:
    """Tokens of a bag after correction and masking; those of one region stand together: its anchors first, then its instances.

    Attributes
    ----------
    tokens
        (T, width).
    logits
        (T,) attention logits, by which tokens were kept.
    sizes
        How many of them each region has.
    rows
        (T,) int64 row of the bag that each token is; each region has anchors of its own, so a row may come more than once.
    instances
        (N, width) all corrected instances in the order of the bag, masked ones included, copies of anchors not.
    """

    tokens: Tensor
    logits: Tensor
    sizes: tuple[int, ...]
    rows: Tensor
    instances: Tensor


class AnchorGuidedRegionCorrection(nn.Module):
    """ARC: one-head attention of [A; H_r] to [A; H_r; A; H_(r+1)], then the least attended tokens of each region are masked.

    Parameters
    ----------
    features
        Length d of a projected feature vector.
    width
        Length d_a of the tokens.
    mask_ratio
        Rho: share of each region's tokens that is dropped, floor(rho n) of n; at least one stays.
    attend
        Without it tokens are the values alone: nothing looks at anything, which is the ablation of table 4.
    neighbour
        Look at the next region too; the last one's next is the first.
    dedupe_anchors
        Show the anchors once; as published they come with both regions, which adds log 2 to their logits.
    """

    def __init__(
        self,
        features: int,
        width: int,
        *,
        mask_ratio: float = 0.3,
        attend: bool = True,
        neighbour: bool = True,
        dedupe_anchors: bool = False,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(features, 3 * width, bias=False)
        self.scorer = GatedAttention(width, max(1, width // 2))
        self.mask_ratio, self.attend = mask_ratio, attend
        self.neighbour, self.dedupe_anchors = neighbour, dedupe_anchors

    def forward(self, projected: Tensor, anchors: Tensor, anchor_rows: Tensor, regions: Regions) -> Corrected:
        """Correct a bag of (N, d) projected instances with its (K, d) anchors, which are the rows `anchor_rows` of the bag."""
        return self.correct(self.project(projected), self.project(anchors), anchor_rows, regions)

    def correct(self, instances: Tensor, anchors: Tensor, anchor_rows: Tensor, regions: Regions) -> Corrected:
        """As `forward`, of what `project` made: (N, 3 width) and (K, 3 width) queries, keys and values side by side."""
        parts = instances[regions.order].split(regions.sizes)
        whole = [self._attend(anchors, part, parts[(r + 1) % len(parts)]) for r, part in enumerate(parts)]
        with torch.autocast(instances.device.type, enabled=False):
            # the mask ranks these: bfloat16 would make many equal
            logits = [self.scorer(precise(tokens))[:, 0] for tokens in whole]
        kept = [self._unmasked(scores) for scores in logits]
        rows = [torch.cat([anchor_rows, of_region])[k] for of_region, k in zip(regions.rows(), kept, strict=True)]
        in_region_order = torch.cat([tokens[len(anchors) :] for tokens in whole])
        return Corrected(
            tokens=torch.cat([tokens[k] for tokens, k in zip(whole, kept, strict=True)]),
            logits=torch.cat([scores[k] for scores, k in zip(logits, kept, strict=True)]),
            sizes=tuple(len(k) for k in kept),
            rows=torch.cat(rows),
            instances=in_region_order[torch.argsort(regions.order)],
        )

    def _attend(self, anchors: Tensor, own: Tensor, following: Tensor) -> Tensor:
        """Equations 5 to 7: (K + M_r, width) tokens of a region. A region that follows itself is shown once."""
        seen = [anchors, own]
        if self.neighbour and following is not own:
            seen += [following] if self.dedupe_anchors else [anchors, following]
        query, _, value = torch.cat(seen[:2]).chunk(3, dim=1)
        if not self.attend:
            return value
        _, key, value = torch.cat(seen).chunk(3, dim=1)
        # with batch and head, as the kernels that do not write the whole attention matrix want it
        return functional.scaled_dot_product_attention(query[None, None], key[None, None], value[None, None])[0, 0]

    def _unmasked(self, logits: Tensor) -> Tensor:
        """Equations 8 and 9: ascending rows of the tokens that stay; a softmax over the region would not change their rank."""
        count = len(logits)
        masked = math.floor(self.mask_ratio * count + 1e-9)  # 0.29 * 100 is a little less than 29
        return best_rows(logits.detach(), max(1, count - masked)).sort().values
