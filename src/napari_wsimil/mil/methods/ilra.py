"""ILRA (Xiang and Zhang, ICLR 2023): patches exchange what they know through a few latent tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from napari_wsimil.errors import ModelError
from napari_wsimil.mil.chunks import attention_pool, in_chunks
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.output import MILModel, MILOutput, finest_features
from napari_wsimil.mil.parameters import Parameters, parameter
from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.bags import Bag

CODE = "ILRA, official code (jinxixiang/low_rank_wsi bb45b9b)"


class ILRAParameters(Parameters):
    """Hyper-parameters of `ILRA`."""

    hidden: int = parameter(256, "Width of the tokens, a multiple of the heads.", CODE, ge=1, le=8192)
    rank: int = parameter(
        1, "Latent tokens through which patches exchange what they know.", CODE + ", configuration", ge=1, le=1024
    )
    layers: int = parameter(2, "How often they do.", CODE, ge=1, le=16)
    heads: int = parameter(8, "Attentions side by side.", CODE, ge=1, le=64)
    normalised: bool = parameter(True, "Normalise tokens after each attention.", CODE + ", configuration")


class GatedBlock(nn.Module):
    """Multi-head attention of queries Q to keys K, a residual layer, and a gate by Q: MHA_g of section 3.

    q, k, v = fc_q Q, fc_k K, fc_v K; A = MHA(q, k, v), which has projections of its own; O = LN(q + A);
    O = LN(O + ReLU(fc_o O)); the result is O * SiLU(gate Q).
    """

    def __init__(self, queries: int, keys: int, hidden: int, heads: int, *, normalised: bool, gated: bool = True) -> None:
        super().__init__()
        self.fc_q, self.fc_k, self.fc_v = nn.Linear(queries, hidden), nn.Linear(keys, hidden), nn.Linear(keys, hidden)
        # holds the inner projections, which are used below in forms that never keep an attention of each head to each patch
        self.attention = nn.MultiheadAttention(hidden, heads)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) if normalised else nn.Identity() for _ in range(2))
        self.fc_o = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(queries, hidden) if gated else None

    def gather(self, queries: Tensor, instances: Tensor) -> tuple[Tensor, Tensor]:
        """Few queries (r, Q) look at a bag (N, K): (r, hidden), and attention (N, r), mean over the heads."""
        query = self.fc_q(queries)
        inner = self._split(self._inner(query, 0)) * self._scale
        pooled = attention_pool(lambda part: self._scores(inner, part), instances)
        heads, rank = self.attention.num_heads, len(queries)
        # each head pooled the values of all heads: its own lie on the diagonal
        values = pooled.values.unflatten(0, (heads, rank)).unflatten(2, (heads, -1)).diagonal(dim1=0, dim2=2)
        mixed = self._outer(values.transpose(1, 2).flatten(1))
        return self._finish(query, mixed, queries), pooled.weights.unflatten(1, (heads, rank)).mean(dim=1)

    def spread(self, instances: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Each instance of (n, Q) looks at few keys (r, K): (n, hidden), and attention (n, r), mean over the heads."""
        query = self.fc_q(instances)
        inner = self._split(self._inner(query, 0))
        key, value = (self._split(part) for part in self._keys_and_values(keys))
        weights = torch.softmax(precise(inner @ key.transpose(1, 2) * self._scale), dim=-1)
        mixed = self._outer((weights.to(value.dtype) @ value).transpose(0, 1).flatten(1))
        return self._finish(query, mixed, instances), weights.mean(dim=0)

    def alone(self, query: Tensor, instances: Tensor) -> Tensor:
        """(n, hidden): for each of (n, K) instances what `gather` would give one query (1, Q), were it alone in the bag."""
        mixed = self._outer(self._keys_and_values(instances)[1])
        return self._finish(self.fc_q(query), mixed, query)

    @property
    def _scale(self) -> float:
        return float(self.attention.head_dim**-0.5)

    def _scores(self, inner: Tensor, instances: Tensor) -> tuple[Tensor, Tensor]:
        """Attention logits (n, heads * r) and values (n, hidden) of a chunk."""
        key, value = self._keys_and_values(instances)
        return (self._split(key) @ inner.transpose(1, 2)).transpose(0, 1).flatten(1), value

    def _keys_and_values(self, instances: Tensor) -> tuple[Tensor, Tensor]:
        return self._inner(self.fc_k(instances), 1), self._inner(self.fc_v(instances), 2)

    def _inner(self, tokens: Tensor, which: int) -> Tensor:
        """The inner projection of queries (0), keys (1) or values (2)."""
        weight, bias = self.attention.in_proj_weight.chunk(3)[which], self.attention.in_proj_bias.chunk(3)[which]
        return functional.linear(tokens, weight, bias)

    def _outer(self, tokens: Tensor) -> Tensor:
        """The inner attention's own last projection."""
        return functional.linear(tokens, self.attention.out_proj.weight, self.attention.out_proj.bias)

    def _split(self, tokens: Tensor) -> Tensor:
        """(n, hidden) -> (heads, n, hidden / heads)."""
        return tokens.unflatten(1, (self.attention.num_heads, -1)).transpose(0, 1)

    def _finish(self, query: Tensor, mixed: Tensor, gate: Tensor) -> Tensor:
        tokens = self.norms[0](query + mixed)
        tokens = self.norms[1](tokens + torch.relu(self.fc_o(tokens)))
        return tokens if self.gate is None else tokens * functional.silu(self.gate(gate))


class Layer(NamedTuple):
    """Attention of a layer, mean over heads: `to_latents` (N, r), each row sums to 1; `to_patches` (N, r), each column does."""

    to_latents: Tensor
    to_patches: Tensor


class LowRankLayer(nn.Module):
    """GAB: latent tokens gather from the patches, then each patch looks at what they gathered."""

    def __init__(self, features: int, hidden: int, heads: int, rank: int, *, normalised: bool) -> None:
        super().__init__()
        self.latents = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rank, hidden)))
        self.gathering = GatedBlock(hidden, features, hidden, heads, normalised=normalised)
        self.spreading = GatedBlock(features, hidden, hidden, heads, normalised=normalised)

    def forward(self, instances: Tensor) -> tuple[Tensor, Layer]:
        """(N, features) -> (N, hidden)."""
        gathered, to_patches = self.gathering.gather(self.latents, instances)
        width = self.gathering.fc_o.out_features
        both = in_chunks(lambda part: torch.cat(self.spreading.spread(part, gathered), dim=1), instances)
        return both[:, :width], Layer(both[:, width:], to_patches)


class ILRA(MILModel):
    """Layers of low-rank exchange, then one learned query pools the patches.

    Attention follows the exchange back to the patches (attention rollout, Abnar and Zuidema 2020): a patch's token is half its
    own and half what latent tokens brought it, so each layer turns the pooling's attention a into (a + P L^T a) / 2, with L the
    patches' attention to the latent tokens and P the latent tokens' to the patches, heads averaged. It sums to 1, and is for
    looking only: no gradient flows through it. Evidence is the answer that the pooling would give had it seen this patch's
    token only; in training, where nobody looks at it, there is none.

    Parameters
    ----------
    in_features, classes
        Length D of a feature vector, number of classes C.
    hidden, rank, layers, heads, normalised
        See `ILRAParameters`.

    Raises
    ------
    ModelError
        The width is not a multiple of the heads.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        hidden: int = 256,
        rank: int = 1,
        layers: int = 2,
        heads: int = 8,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ModelError(f"ILRA's width of {hidden} can't be shared by {heads} heads; use a multiple of {heads}.")
        widths = [in_features, *[hidden] * (layers - 1)]
        self.layers = nn.ModuleList(LowRankLayer(width, hidden, heads, rank, normalised=normalised) for width in widths)
        self.query = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, hidden)))
        self.pooling = GatedBlock(hidden, hidden, hidden, heads, normalised=normalised, gated=False)
        self.classifier = nn.Linear(hidden, classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for the finest magnification of the bag."""
        mpp, tokens, exchanged = self._exchange(bag)
        pooled, attention = self.pooling.gather(self.query, tokens)
        return MILOutput(
            logits=self.classifier(pooled)[0],
            attention={mpp: _followed_back(attention[:, 0], exchanged)},
            instance_logits=None if self.training else {mpp: in_chunks(self._evidence, tokens)},
        )

    def evidence(self, bag: Bag) -> dict[float, Tensor]:
        """See `MILModel`."""
        mpp, tokens, _ = self._exchange(bag)
        return {mpp: in_chunks(self._evidence, tokens)}

    def _exchange(self, bag: Bag) -> tuple[float, Tensor, list[Layer]]:
        """The magnification, the tokens (N, hidden) after all layers, and what each layer attended to."""
        mpp, tokens = finest_features(bag, self.classifier.weight)
        exchanged: list[Layer] = []
        for layer in self.layers:
            tokens, seen = layer(tokens)
            exchanged.append(seen)
        return mpp, tokens, exchanged

    def _evidence(self, tokens: Tensor) -> Tensor:
        """(n, C)."""
        return self.classifier(self.pooling.alone(self.query, tokens))


@torch.no_grad()
def _followed_back(attention: Tensor, exchanged: list[Layer]) -> Tensor:
    """(N,) attention of the pooling to the patches, from its attention to their tokens."""
    with torch.autocast(attention.device.type, enabled=False):
        for layer in reversed(exchanged):
            attention = (attention + precise(layer.to_patches) @ (precise(layer.to_latents).T @ attention)) / 2
    return attention


METHOD = Method(
    name="ilra",
    title="Low-rank exchange (ILRA)",
    source="https://openreview.net/forum?id=01KmhBsEPFO",
    summary="Patches learn of each other through a few shared tokens: context at a cost that grows with the patches only.",
    network=ILRA,
    parameters=ILRAParameters,
    shows=frozenset({"instance_logits"}),
)
