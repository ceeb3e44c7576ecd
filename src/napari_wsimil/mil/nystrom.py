"""Nystrom attention (Xiong et al., AAAI 2021) as TransMIL uses it: self-attention through landmarks, linear in the tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 1 << 13
"""Tokens that all landmarks are compared with at once, where the comparison itself is wanted."""


class Factors(NamedTuple):
    """Self-attention of n' tokens (front padding included) in H heads of width E, through m landmarks.

    The attention matrix is softmax(query landmark_keys^T) inverse softmax(landmark_queries key^T); it is never written.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    landmark_queries: Tensor
    landmark_keys: Tensor
    inverse: Tensor


class NystromAttention(nn.Module):
    """Self-attention in which m means of neighbouring tokens stand for all of them, plus a convolution along the tokens.

    Tokens are padded with zeros in front to a multiple of m. Padding takes part in the attention, with key and value 0, as in
    the published code.

    Parameters
    ----------
    features
        Length of a token, a multiple of `heads`.
    heads
        H.
    landmarks
        m.
    iterations
        Steps towards the pseudo-inverse of the landmarks' attention to each other.
    kernel
        Tokens that the convolution of the values spans, odd.
    dropout
        On the result, in training.
    """

    def __init__(
        self,
        features: int,
        *,
        heads: int = 8,
        landmarks: int = 256,
        iterations: int = 6,
        kernel: int = 33,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.heads, self.landmarks, self.iterations = heads, landmarks, iterations
        self.scale = (features // heads) ** -0.5
        self.project = nn.Linear(features, 3 * features, bias=False)
        self.residual = nn.Conv2d(heads, heads, (kernel, 1), padding=(kernel // 2, 0), groups=heads, bias=False)
        self.mix = nn.Sequential(nn.Linear(features, features), nn.Dropout(dropout))

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, features) -> (n, features)."""
        return self.attend(self.factors(tokens), len(tokens))

    def factors(self, tokens: Tensor) -> Factors:
        """The parts of the attention of (n, features) tokens, each with a batch of 1 in front."""
        padded = functional.pad(tokens, (0, 0, -len(tokens) % self.landmarks, 0))
        query, key, value = self.project(padded)[None].unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query = query * self.scale
        queries, keys = (part.unflatten(2, (self.landmarks, -1)).mean(dim=3) for part in (query, key))
        with torch.autocast(tokens.device.type, enabled=False):
            # cubes of cubes of it follow: nothing is left of 8 bits
            mutual = torch.softmax(precise(queries) @ precise(keys).transpose(-1, -2), dim=-1)
            inverse = pseudo_inverse(mutual, self.iterations)
        return Factors(query, key, value, queries, keys, inverse)

    def attend(self, factors: Factors, count: int) -> Tensor:
        """(count, features): what the last `count` tokens see. Both softmaxes run in kernels that keep no matrix of them."""
        query, key, value, queries, keys, inverse = factors
        seen = functional.scaled_dot_product_attention(queries, key, value, scale=1.0)
        seen = functional.scaled_dot_product_attention(query, keys, (inverse @ precise(seen)).to(value.dtype), scale=1.0)
        mixed: Tensor = self.mix((seen + self.residual(value))[0].transpose(0, 1).flatten(1)[-count:])
        return mixed

    @torch.no_grad()
    def seen_by(self, factors: Factors, row: int, count: int) -> Tensor:
        """(count,) attention of one of the last `count` tokens to each of them, mean over heads; some of it may be negative.

        One row of the product of the three factors, some tokens at a time: memory grows with n, not with m n.
        """
        query, key, _, queries, keys, inverse = (precise(part[0]) for part in factors)
        place = query.shape[1] - count + row
        with torch.autocast(query.device.type, enabled=False):
            to_landmarks = torch.softmax(query[:, place, None] @ keys.transpose(1, 2), dim=-1) @ inverse
            chunks = key.split(CHUNK, dim=1)
            totals = torch.stack([torch.logsumexp(queries @ part.transpose(1, 2), dim=-1) for part in chunks])
            total = torch.logsumexp(totals, dim=0)[..., None]
            rows = [to_landmarks @ torch.exp(queries @ part.transpose(1, 2) - total) for part in chunks]
        return torch.cat(rows, dim=2)[:, 0].mean(dim=0)[-count:]


def pseudo_inverse(matrices: Tensor, iterations: int) -> Tensor:
    """Approximate Moore-Penrose inverse of (..., m, m) matrices by the third-order iteration of Razavi et al. (2014).

    Z <- Z (13 I - A Z (15 I - A Z (7 I - A Z))) / 4 from Z = A^T / (largest column sum * largest row sum), both taken over
    all matrices.
    """
    size = matrices.abs()
    estimate = matrices.transpose(-1, -2) / (size.sum(dim=-1).amax() * size.sum(dim=-2).amax())
    identity = torch.eye(matrices.shape[-1], device=matrices.device, dtype=matrices.dtype)
    for _ in range(iterations):
        product = matrices @ estimate
        inner = 15 * identity - product @ (7 * identity - product)
        estimate = 0.25 * estimate @ (13 * identity - product @ inner)
    return estimate
