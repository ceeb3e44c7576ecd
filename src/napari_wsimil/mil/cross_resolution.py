"""Teach an encoder to see in coarse patches what it sees in their finer children (LRMIL, Shin and Jeong, MICCAI 2026, stage 1).

A coarse patch covers a square of k x k finer ones, for 5x and 20x four by four. The encoder of the finer patches is frozen; its
copy learns on the coarse ones that (a) the mean of its tokens over a child's place is that child's own vector, at some layers,
and (b) its final feature is the mean of the children's, weighted by the attention that a teacher paid to them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn
from torch.nn import functional

from napari_wsimil.mil.precision import precise
from napari_wsimil.patches.grid import child_offsets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True)
class Taps:
    """What an encoder gives on the way.

    Attributes
    ----------
    grids
        For each tapped layer the spatial tokens, (n, g, g, D_l).
    vectors
        For each tapped layer one vector of the whole patch, (n, D_l).
    final
        (n, D) the feature.
    """

    grids: tuple[Tensor, ...]
    vectors: tuple[Tensor, ...]
    final: Tensor


class Tapped(Protocol):
    """An encoder that tells what it gives on the way."""

    def __call__(self, pixels: Tensor) -> Taps:
        """(n, 3, h, w) normalised pixels."""


class ViTTaps(nn.Module):
    """A vision transformer of Hugging Face's `transformers`: vectors are the class token after a block, tokens the rest.

    Position embeddings are interpolated, so that patches need not have the size that the encoder was trained on: cut off
    instead, as in the official code, tokens of 256-px patches would sit at wrong places of a grid made for 448 px.

    Parameters
    ----------
    vit
        For example `transformers.ViTModel`.
    blocks
        Which blocks to tap, from 0. Published: first, second and last but one.
    """

    def __init__(self, vit: nn.Module, blocks: Sequence[int]) -> None:
        super().__init__()
        self.vit, self.blocks = vit, tuple(blocks)

    def forward(self, pixels: Tensor) -> Taps:
        """Taps of (n, 3, h, w) pixels."""
        output = self.vit(pixels, output_hidden_states=True, interpolate_pos_encoding=True)
        states = [output.hidden_states[block + 1] for block in self.blocks]
        side = math.isqrt(states[0].shape[1] - 1)
        # before the spatial tokens stand the class token and, in some networks, registers
        grids = tuple(state[:, -side * side :].unflatten(1, (side, side)) for state in states)
        return Taps(grids, tuple(state[:, 0] for state in states), output.last_hidden_state[:, 0])


class CNNTaps(nn.Module):
    """A convolutional network in stages: vectors are spatial means, tokens the feature maps brought to one size.

    Parameters
    ----------
    stages
        Applied one after another; all are tapped. The feature is the mean of the last one.
    side
        Tokens in each direction, a multiple of the children in each direction.
    """

    def __init__(self, stages: Sequence[nn.Module], side: int = 16) -> None:
        super().__init__()
        self.stages, self.side = nn.ModuleList(stages), side

    def forward(self, pixels: Tensor) -> Taps:
        """Taps of (n, 3, h, w) pixels."""
        maps = []
        for stage in self.stages:
            pixels = stage(pixels)
            maps.append(pixels)
        grids = tuple(functional.adaptive_avg_pool2d(found, self.side).permute(0, 2, 3, 1) for found in maps)
        vectors = tuple(found.mean(dim=(2, 3)) for found in maps)
        return Taps(grids, vectors, vectors[-1])


def child_means(tokens: Tensor, k: int) -> Tensor:
    """Mean of the tokens over the place of each child: (n, g, g, D) -> (n, k k, D), in the order of `PatchGrid.children`."""
    side = tokens.shape[1]
    if side % k or tokens.shape[2] != side:
        raise ValueError(f"{tuple(tokens.shape[1:3])} tokens can't be cut into {k} x {k} equal windows.")
    windows = tokens.unflatten(2, (k, side // k)).unflatten(1, (k, side // k)).mean(dim=(2, 4))
    right, down = torch.tensor(child_offsets(k), device=tokens.device).T
    return windows[:, down, right]


@dataclass(frozen=True)
class PatchDistillation:
    """The losses of stage 1; all are means over the coarse patches that have a child.

    Attributes
    ----------
    layers, final
        L_layer and L_attn.
    """

    layers: Tensor
    final: Tensor

    def total(self, layer_weight: float = 1.0, attention_weight: float = 1.0) -> Tensor:
        """L_patch. The published code gives no weights: 1 and 1 are ours."""
        return layer_weight * self.layers + attention_weight * self.final


def patch_distillation(coarse: Taps, fine: Taps, present: Tensor, attention: Tensor) -> PatchDistillation:
    """Losses of n coarse patches with r = k k children each.

    Parameters
    ----------
    coarse
        Of the encoder that learns, on the coarse patches.
    fine
        Of the frozen encoder on the children: vectors (n, r, D_l) and final (n, r, D), anything where a child is absent.
    present
        (n, r) bool, which children there are.
    attention
        (n, r) what the teacher paid to them: softmaxed over the slide, so at least 0.

    L_layer is the mean over layers and children of the mean squared difference. L_attn weights the children by their attention
    among those that are there; where that is 0 for all of them, equally.
    """
    k = math.isqrt(present.shape[1])
    there = present.to(torch.float32)
    count = there.sum(dim=1)
    useful = count > 0
    each = (there / count.clamp(min=1)[:, None])[useful]
    layers = [
        _weighted(child_means(tokens, k)[useful], vectors[useful], each)
        for tokens, vectors in zip(coarse.grids, fine.vectors, strict=True)
    ]
    paid = torch.where(present, precise(attention), 0.0)[useful]
    total = paid.sum(dim=1, keepdim=True)
    share = torch.where(total > 0, paid / total.clamp(min=torch.finfo(paid.dtype).tiny), each)
    final = _weighted(coarse.final[useful][:, None].expand(-1, present.shape[1], -1), fine.final[useful], share)
    of_layers = torch.stack(layers).mean() if layers else final * 0
    return PatchDistillation(of_layers, final)


def _weighted(given: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Mean over n of the weighted sum over r of mean squared differences (n, r, D); 0 for n = 0."""
    # what is absent may be anything, not a number among it
    difference = torch.where(weights[..., None] > 0, precise(given) - precise(wanted).detach(), 0.0)
    of_child = difference.square().mean(dim=2)
    return (weights * of_child).sum() / max(1, len(weights))


class FeatureAdapter(nn.Module):
    """The light form for encoders that must stay frozen: h + W2 ReLU(W1 h) on coarse features, taught by L_attn alone.

    Parameters
    ----------
    features
        Length D; the layer between has D / 4.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Linear(features, max(1, features // 4)), nn.ReLU(), nn.Linear(max(1, features // 4), features)
        )
        # starts as the identity: before training the features are those that the frozen encoder gives
        last = self.change[2]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """(n, D) -> (n, D)."""
        adapted: Tensor = features + self.change(features)
        return adapted
