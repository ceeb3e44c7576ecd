"""Each MIL method as its equations stand: everything written out, nothing in chunks, no fused kernel.

A reference uses the weights of our network and gives the logits of a slide, in training and in evaluation. Where ours gives
more than the logits (evidence, attention to look at), the reference does not: that is to our disadvantage.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from napari_wsimil.mil.nystrom import pseudo_inverse
from napari_wsimil.mil.regions import bag_regions

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.bags import Bag

    Reference = Callable[[Any, list[Tensor], Any], Tensor]


def tables(bag: Bag) -> list[Tensor]:
    """Features of each magnification; of the finer ones parent by parent, as published feature files have them."""
    first = bag.mpps[0]
    finer = [bag.features(mpp)[torch.from_numpy(bag.children(first, mpp)).flatten()] for mpp in bag.mpps[1:]]
    return [bag.features(first), *finer]


def prepared(name: str, network: Any, bag: Bag) -> Any:
    """What a reference may know beforehand: AINet's regions, which both sides remember."""
    if name != "ainet":
        return None
    mpp = bag.mpps[-1]
    return bag_regions(bag, mpp, network.regions, network.regioning, network.largest_region).to(bag.features(mpp).device)


def mean(network: Any, features: list[Tensor], _: Any) -> Tensor:
    return network.classifier(features[0]).mean(dim=0)


def largest(network: Any, features: list[Tensor], _: Any) -> Tensor:
    return network.classifier(features[0]).max(dim=0).values


def attention(network: Any, features: list[Tensor], _: Any) -> Tensor:
    """ABMIL, CLAM with one branch, LRMIL."""
    embedded = network.embed(features[0])
    return network.classifier(torch.softmax(network.attention(embedded), dim=0).T @ embedded)[0]


def dsmil(network: Any, features: list[Tensor], _: Any) -> Tensor:
    x = features[0]
    order = torch.sort(network.patch_classifier(x), dim=0, descending=True).indices
    weights = torch.softmax(network.query(x) @ network.query(x[order[0]]).T * network.scale, dim=0)
    logits = network.classifier((weights.T @ network.values(x))[None])[0, :, 0]
    return functional.pad(logits, (1, 0)) if network.negative_class else logits


def acmil(network: Any, features: list[Tensor], _: Any) -> Tensor:
    x = features[0]
    embedded = network.embed(x)
    scores = network.attention(embedded)
    if network.training:
        top = scores.topk(min(network.masked, len(scores)), dim=0).indices
        hidden = top.gather(0, torch.rand(top.shape, device=x.device).argsort(dim=0)[: int(len(top) * network.mask_share)])
        scores = scores.scatter(0, hidden, -1e9)
    weights = torch.softmax(scores, dim=0)
    for branch, classify in enumerate(network.branch_classifiers):
        classify(weights[:, branch] @ embedded)
    return network.classifier(weights.mean(dim=1) @ embedded)


def dtfd(network: Any, features: list[Tensor], _: Any) -> Tensor:
    """Each split embeds its pseudo-bags anew, as a loop over them does."""
    x, answers = features[0], []
    generator = torch.Generator().manual_seed(0)
    for _split in range(1 if network.training else network.groupings):
        groups = torch.randperm(len(x), generator=generator).tensor_split(min(network.groups, len(x)))
        pooled = []
        for rows in groups:
            embedded = network.embed(x[rows])
            pooled.append(torch.softmax(network.attention(embedded), dim=0).T @ embedded)
            network.group_classifier(pooled[-1])
        handed = torch.cat(pooled)
        answers.append(network.classifier(torch.softmax(network.slide_attention(handed), dim=0).T @ handed)[0])
    return torch.stack(answers).mean(dim=0)


def transmil(network: Any, features: list[Tensor], _: Any) -> Tensor:
    patches = network.embed(features[0])
    side = math.ceil(math.sqrt(len(patches)))
    tokens = torch.cat([network.class_token, patches, patches[: side**2 - len(patches)]])
    tokens = tokens + _nystrom(network.first, network.norms[0](tokens))
    square = tokens[1:].T.reshape(1, -1, side, side)
    square = square + sum(convolve(square) for convolve in network.positions)
    tokens = torch.cat([tokens[:1], square[0].flatten(1).T])
    tokens = tokens + _nystrom(network.last, network.norms[1](tokens))
    return network.classifier(network.norms[2](tokens)[0])


def _nystrom(layer: Any, tokens: Tensor) -> Tensor:
    """All three softmaxes written out: two of them have heads x landmarks x tokens numbers."""
    padded = functional.pad(tokens, (0, 0, -len(tokens) % layer.landmarks, 0))
    query, key, value = (
        part.reshape(len(padded), layer.heads, -1).transpose(0, 1) for part in layer.project(padded).chunk(3, dim=1)
    )
    query = query * layer.scale
    queries, keys = (part.reshape(layer.heads, layer.landmarks, -1, part.shape[-1]).mean(dim=2) for part in (query, key))
    to_landmarks = torch.softmax(query @ keys.transpose(1, 2), dim=-1)
    mutual = torch.softmax(queries @ keys.transpose(1, 2), dim=-1)
    to_tokens = torch.softmax(queries @ key.transpose(1, 2), dim=-1)
    seen = to_landmarks @ pseudo_inverse(mutual, layer.iterations) @ (to_tokens @ value)
    seen = seen + layer.residual(value[None])[0]
    return layer.mix(seen.transpose(0, 1).flatten(1)[-len(tokens) :])


def ilra(network: Any, features: list[Tensor], _: Any) -> Tensor:
    tokens = features[0]
    for layer in network.layers:
        gathered = _block(layer.gathering, layer.latents, tokens)
        tokens = _block(layer.spreading, tokens, gathered)
    return network.classifier(_block(network.pooling, network.query, tokens))[0]


def _block(block: Any, queries: Tensor, keys: Tensor) -> Tensor:
    query, key, value = block.fc_q(queries), block.fc_k(keys), block.fc_v(keys)
    tokens = block.norms[0](query + block.attention(query, key, value)[0])
    tokens = block.norms[1](tokens + torch.relu(block.fc_o(tokens)))
    return tokens if block.gate is None else tokens * functional.silu(block.gate(queries))


def ainet(network: Any, features: list[Tensor], regions: Any) -> Tensor:
    """Equations 2 to 9 region by region, each region's tokens projected for itself and for the region before it."""
    x, mining, correction = features[0], network.mining, network.correction
    projected = mining.expand(mining.compress(x))
    of_region = torch.stack([projected[rows].mean(dim=0) for rows in regions.rows()])[regions.labels()]
    of_bag = projected.mean(dim=0, keepdim=True)
    similar = mining.balance * functional.cosine_similarity(projected, of_region)
    similar = similar + (1 - mining.balance) * functional.cosine_similarity(projected, of_bag)
    anchors = projected[similar.topk(min(mining.anchors, len(x))).indices]
    parts = [torch.cat([anchors, projected[rows]]) for rows in regions.rows()]
    tokens, scores = [], []
    for r, part in enumerate(parts):
        query, key, value = correction.project(part).chunk(3, dim=1)
        if len(parts) > 1:
            _, next_key, next_value = correction.project(parts[(r + 1) % len(parts)]).chunk(3, dim=1)
            key, value = torch.cat([key, next_key]), torch.cat([value, next_value])
        corrected = torch.softmax(query @ key.T / math.sqrt(query.shape[1]), dim=1) @ value
        logits = correction.scorer(corrected)[:, 0]
        kept = len(logits) - math.floor(correction.mask_ratio * len(logits) + 1e-9)
        best = logits.topk(max(1, kept)).indices
        tokens.append(corrected[best])
        scores.append(logits[best])
    return network.head(torch.softmax(torch.cat(scores), dim=0) @ torch.cat(tokens))


def weno(network: Any, features: list[Tensor], _: Any) -> Tensor:
    encoded = network.encoder(features[0])
    logits = network.student(encoded)
    u = network.teacher.trunk(encoded)
    torch.softmax(network.teacher.score(u), dim=0)
    return logits[(logits[:, 1] - logits[:, 0]).argmax()]


def zoommil(network: Any, features: list[Tensor], _: Any) -> Tensor:
    """T as the mean of S one-hot matrices (K, N), children moved by its Kronecker product with an identity."""
    levels, pooled = list(features), 0
    for m in range(len(levels)):
        embedded = network.embed[m](levels[m])
        pooled = pooled + torch.softmax(network.attention[m](embedded), dim=0).T @ embedded
        if m == len(levels) - 1:
            break
        zoom = torch.softmax(network.zoom[m](embedded)[:, 0], dim=0)
        count, k = len(zoom), min(network.selected, len(zoom))
        if network.training and k < count:
            choice = _DenseTopK.apply(zoom, k, network.samples, network.sigma)
        else:
            choice = functional.one_hot(zoom.topk(k).indices.sort().values, count).to(zoom.dtype)
        for q in range(m + 1, len(levels)):
            children = len(levels[q]) // count
            levels[q] = torch.kron(choice, torch.eye(children, device=zoom.device)) @ levels[q]
    return network.classifier(pooled)[0]


class _DenseTopK(Function):
    """The diagonal form of equation 5 by its einsum over one-hot matrices."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, k: int, samples: int, sigma: float) -> Tensor:
        noise = torch.randn(samples, len(scores), device=scores.device)
        picks = (scores[None] + sigma * noise).topk(k, dim=1, sorted=False).indices.sort(dim=1).values
        chosen = functional.one_hot(picks, len(scores)).float()
        ctx.sigma = sigma
        ctx.save_for_backward(chosen, noise)
        return chosen.mean(dim=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        chosen, noise = ctx.saved_tensors
        weight = 1 / (len(noise) * ctx.sigma)
        return torch.einsum("kj,skj,sj->j", gradients[0], chosen, noise) * weight, None, None, None


REFERENCES: dict[str, Reference] = {
    "abmil": attention,
    "acmil": acmil,
    "ainet": ainet,
    "clam": attention,
    "dsmil": dsmil,
    "dtfd": dtfd,
    "ilra": ilra,
    "lrmil": attention,
    "max": largest,
    "mean": mean,
    "transmil": transmil,
    "weno": weno,
    "zoommil": zoommil,
}
