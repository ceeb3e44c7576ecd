"""Differentiable top-K (Cordonnier et al., CVPR 2021; Berthet et al., NeurIPS 2020) as ZoomMIL uses it, in sparse form.

The choice of the K largest of N numbers has no gradient. Averaged over S draws of Gaussian noise it has one: row k of the
(K, N) matrix T is the distribution of the k-th chosen index, in the order of the indices, not of the scores (ZoomMIL, equations
4 and 5).

T has at most S K entries that are not 0, whatever N. The published code keeps S one-hot matrices of K x N and multiplies by the
Kronecker product of T with an identity; here only the entries themselves are kept, and children move with their parents by a
reshape. Both give the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch.autograd import Function

if TYPE_CHECKING:
    from torch import Tensor

_PAIRS = 1024
"""Entries of T whose rows are multiplied at once: some megabytes for 4 children of 1024 numbers each."""

_ROWS = 16
"""Rows of T in one block."""

_EMPTIEST = 32
"""How much larger than what is in them blocks may be until single entries are the cheaper way."""


class SoftSelection(NamedTuple):
    """The matrix T (K, N) by its entries: `weights` (n,) at rows `chosen` (n,) and columns `candidates` (n,), rows in order."""

    chosen: Tensor
    candidates: Tensor
    weights: Tensor
    shape: tuple[int, int]

    def dense(self) -> Tensor:
        """T itself, (K, N)."""
        return self.weights.new_zeros(self.shape).index_put((self.chosen, self.candidates), self.weights)

    def mix(self, table: Tensor) -> Tensor:
        """(N, ...) rows -> (K, ...): row k is the mean of the rows that may be the k-th choice, weighted by T."""
        mixed: Tensor = _Mix.apply(  # type: ignore[no-untyped-call]
            self.weights, table.flatten(1), self.chosen, self.candidates, self.shape[0]
        )
        return mixed.unflatten(1, table.shape[1:])


def perturbed_topk(
    scores: Tensor,
    k: int,
    noise: Tensor,
    sigma: float,
    *,
    jacobian: Literal["diag", "full"] = "diag",
    control_variate: bool = True,
) -> SoftSelection:
    """The K largest scores, softly.

    Parameters
    ----------
    scores
        (N,), N > K; taken in float32 at least: in bfloat16 the noise would be rounded away.
    k
        K, how many to choose.
    noise
        (S, N) standard normal.
    sigma
        Scale of the noise.
    jacobian
        "diag": derivative of a choice by its own score only, as in ZoomMIL's code; of low variance. "full": equation 5,
        unbiased, and at S = 100 mostly noise.
    control_variate
        Subtract the mean over the draws before multiplying by their noise, which is right on average and less noisy. Off
        reproduces the published estimator exactly.
    """
    perturbed = scores.detach()[None] + sigma * noise.to(scores.dtype)
    picks = perturbed.topk(k, dim=1).indices.sort(dim=1).values
    draws, count = noise.shape
    flat = torch.arange(k, device=scores.device) * count + picks
    entries, which, times = torch.unique(flat, return_inverse=True, return_counts=True)
    chosen, candidates = entries // count, entries % count
    weights: Tensor = _Perturbed.apply(  # type: ignore[no-untyped-call]
        scores, times.to(scores.dtype) / draws, which, candidates, noise, sigma, jacobian, control_variate
    )
    return SoftSelection(chosen, candidates, weights, (k, count))


class _Perturbed(Function):
    """Entries of T as a function of the scores; forward they are given, backward is the score-function estimator."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        weights: Tensor,
        which: Tensor,
        candidates: Tensor,
        noise: Tensor,
        sigma: float,
        jacobian: str,
        control_variate: bool,
    ) -> Tensor:
        ctx.sigma, ctx.jacobian, ctx.control_variate = sigma, jacobian, control_variate
        ctx.count, ctx.draws = len(scores), len(noise)
        if jacobian == "full":
            ctx.save_for_backward(weights, which, candidates, noise)
            return weights.clone()
        # only the noise at the chosen places counts, summed over the draws that chose them
        at = noise.to(scores.dtype).gather(1, candidates[which])
        summed = torch.zeros_like(weights).index_add_(0, which.flatten(), at.flatten())
        ctx.save_for_backward(weights, candidates, summed, noise.to(scores.dtype).mean(dim=0))
        return weights.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        draws, rest = ctx.draws, (None,) * 7
        unbiased = draws / (draws - 1) if ctx.control_variate and draws > 1 else 1.0
        if ctx.jacobian == "full":
            weights, which, _, noise = ctx.saved_tensors
            of_draw = gradient[which].sum(dim=1)
            if ctx.control_variate:
                of_draw = of_draw - (gradient * weights).sum()
            return (of_draw @ noise.to(gradient.dtype)) * (unbiased / (draws * ctx.sigma)), *rest
        weights, candidates, summed, mean_noise = ctx.saved_tensors
        each = gradient * summed / draws
        if ctx.control_variate:
            each = each - gradient * weights * mean_noise[candidates]
        total = gradient.new_zeros(ctx.count).index_add_(0, candidates, each)
        return total * (unbiased / ctx.sigma), *rest


class _Mix(Function):
    """Sparse matrix times table; its gradient is taken at the entries of the matrix only."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, table: Tensor, chosen: Tensor, candidates: Tensor, k: int) -> Tensor:
        ctx.save_for_backward(weights, table, chosen, candidates)
        ctx.k = k
        return _product(weights, table, chosen, candidates, k)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        weights, table, chosen, candidates = ctx.saved_tensors
        gradient = gradients[0].to(weights.dtype)
        to_weights = to_table = None
        if ctx.needs_input_grad[0]:
            to_weights = _products_at(gradient, table, chosen, candidates)
        if ctx.needs_input_grad[1]:
            order = candidates.argsort(stable=True)
            to_table = _product(weights[order], gradient, candidates[order], chosen[order], len(table)).to(table.dtype)
        return to_weights, to_table, None, None, None


class _Band(NamedTuple):
    """Some following rows of a sparse matrix: its `entries`, all of them in the columns `first` to `last`."""

    rows: slice
    entries: slice
    columns: slice


def _bands(rows: Tensor, columns: Tensor, count: int) -> list[_Band] | None:
    """The matrix with entries at (rows, columns), `count` rows and sorted by them, as bands; None where these are too empty.

    The k-th smallest of the chosen indices varies little between the draws, so that the entries of T lie along its diagonal.
    Dense products of blocks there need no copies of rows of the table, which sparse ones do for every entry.
    """
    starts = torch.arange(0, count + _ROWS, _ROWS, device=rows.device)
    lowest, highest = (
        torch.full((len(starts),), fill, device=rows.device).scatter_reduce(0, rows // _ROWS, columns, reduce)
        for fill, reduce in ((torch.iinfo(columns.dtype).max, "amin"), (-1, "amax"))
    )
    edges = torch.searchsorted(rows, starts)
    numbers = zip(*torch.stack([starts[:-1], edges[:-1], edges[1:], lowest[:-1], highest[:-1] + 1]).tolist(), strict=True)
    bands = [
        _Band(slice(row, min(row + _ROWS, count)), slice(begin, end), slice(low, high))
        for row, begin, end, low, high in numbers
        if end > begin
    ]
    return bands if _ROWS * sum(b.columns.stop - b.columns.start for b in bands) <= _EMPTIEST * len(rows) else None


def _product(weights: Tensor, table: Tensor, rows: Tensor, columns: Tensor, count: int) -> Tensor:
    """(count, d) product of the sparse matrix with entries `weights`, sorted by `rows`, and a table (n, d)."""
    with torch.autocast(weights.device.type, enabled=False):
        bands = _bands(rows, columns, count)
        if bands is None:
            size = (count, len(table))
            matrix = torch.sparse_coo_tensor(
                torch.stack([rows, columns]), weights, size, is_coalesced=True, check_invariants=False
            )
            return matrix @ table.to(weights.dtype)
        product = weights.new_zeros(count, table.shape[1])
        for band in bands:
            block = weights.new_zeros(band.rows.stop - band.rows.start, band.columns.stop - band.columns.start)
            block[rows[band.entries] - band.rows.start, columns[band.entries] - band.columns.start] = weights[band.entries]
            torch.mm(block, table[band.columns].to(weights.dtype), out=product[band.rows])
        return product


def _products_at(left: Tensor, right: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(n,) products of rows of `left` (k, d) and of `right` (m, d): the entries (rows, columns) of left right^T."""
    with torch.autocast(left.device.type, enabled=False):
        bands = _bands(rows, columns, len(left))
        if bands is None:
            pairs = zip(rows.split(_PAIRS), columns.split(_PAIRS), strict=True)
            return torch.cat([torch.linalg.vecdot(left[row], right[column].to(left.dtype)) for row, column in pairs])
        found = left.new_empty(len(rows))
        for band in bands:
            block = left[band.rows] @ right[band.columns].to(left.dtype).T
            found[band.entries] = block[rows[band.entries] - band.rows.start, columns[band.entries] - band.columns.start]
        return found
