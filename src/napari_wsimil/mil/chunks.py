"""Bags of any length in bounded memory: instances in chunks, pooled as they pass.

A million embeddings of 512 numbers take 2 GB, and a network makes several such tables in passing. Without gradients nothing of
them must be kept but what is asked for.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import torch

from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

CHUNK = 1 << 16
"""Instances in one chunk: large enough that nothing is lost on a GPU, 128 MB for a table of 512 columns."""


class Pooled(NamedTuple):
    """What `attention_pool` gives: `values` (K, L), softmaxed `weights` (N, K), and the other tables, each (N, ...)."""

    values: Tensor
    weights: Tensor
    others: tuple[Tensor, ...]


def in_chunks(function: Callable[[Tensor], Tensor], instances: Tensor, size: int = CHUNK) -> Tensor:
    """`function` of all instances, (N, D) -> (N, ...), one chunk after another where no gradients are wanted."""
    if torch.is_grad_enabled() or len(instances) <= size:
        return function(instances)
    return torch.cat([function(part) for part in instances.split(size)])


def attention_pool(function: Callable[[Tensor], tuple[Tensor, ...]], instances: Tensor, size: int = CHUNK) -> Pooled:
    """Softmax-weighted sums over a bag: K sums of L values, whatever the length of the bag.

    Parameters
    ----------
    function
        (n, D) instances -> attention logits (n, K), values (n, L), and tables of which all rows are wanted, (n, ...) each.
    instances
        (N, D).
    size
        Instances in one chunk; with gradients there is one chunk only.

    The sum over chunks is the one-pass form of softmax (Milakov and Gimelshein 2018): each chunk is weighted by
    exp(s - largest s so far), and what was summed before is scaled down when a larger s comes. The softmax is computed in
    float32 whatever the precision of the network.
    """
    if torch.is_grad_enabled() or len(instances) <= size:
        scores, values, *others = function(instances)
        weights = torch.softmax(precise(scores), dim=0)
        return Pooled(_weighted(weights, values), weights, tuple(others))
    tables: list[tuple[Tensor, ...]] = []
    sums: list[_Sums] = []
    for part in instances.split(size):
        scores, values, *others = function(part)
        scores = precise(scores)
        largest = scores.amax(dim=0)
        weights = torch.exp(scores - largest)
        sums.append(_Sums(largest, weights.sum(dim=0), _weighted(weights, values)))
        tables.append((scores, *others))
    all_sums = reduce(_joined, sums)
    scores, *rest = (torch.cat(parts) for parts in zip(*tables, strict=True))
    weights = scores.sub_(all_sums.largest).exp_().div_(all_sums.total)
    return Pooled(all_sums.values / all_sums.total[:, None], weights, tuple(rest))


def _weighted(weights: Tensor, values: Tensor) -> Tensor:
    """(K, L) sums in float32: over thousands of patches bfloat16 keeps two digits."""
    with torch.autocast(weights.device.type, enabled=False):
        return weights.T @ precise(values)


class _Sums(NamedTuple):
    """Largest logit (K,), and the sums of exp(s - largest) (K,) and of that times the values (K, L)."""

    largest: Tensor
    total: Tensor
    values: Tensor


def _joined(one: _Sums, other: _Sums) -> _Sums:
    largest = torch.maximum(one.largest, other.largest)
    first, second = torch.exp(one.largest - largest), torch.exp(other.largest - largest)
    return _Sums(
        largest,
        one.total * first + other.total * second,
        one.values * first[:, None] + other.values * second[:, None],
    )
