"""What single patches teach."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_wsimil.mil.precision import precise


def patch_loss(logits: Tensor, allowed: Tensor) -> Tensor | None:
    """-log of the probability that each patch is of one of the classes it may be of; None where nothing is known of any.

    Parameters
    ----------
    logits
        (N, C) evidence, whose softmax are the probabilities.
    allowed
        (N, C) bool, which classes a patch may be of; patches that may be of any take no part.

    Patches that are told the same have equal weight together, whether many or few: the region that somebody marked as wrong is
    often much smaller than what was marked as right.
    """
    known = ~allowed.all(dim=1)
    if not bool(known.any()):
        return None
    rows = allowed[known]
    log = torch.log_softmax(precise(logits[known]), dim=1)
    each = -torch.logsumexp(log.masked_fill(~rows, -torch.inf), dim=1)
    _, kind, counts = torch.unique(rows, dim=0, return_inverse=True, return_counts=True)
    return (each / counts[kind]).sum() / len(counts)


def attention_loss(attention: Tensor, allowed: Tensor, target: int) -> Tensor | None:
    """-log of the share of attention that is not where it should not be; None where nothing says where that is.

    Of the patches of which something is known, wanted are those that may be of the slide's class only, unwanted those that may
    not be of it. With both, the share is that of the wanted among these; with unwanted ones alone, it is all but theirs.

    Parameters
    ----------
    attention
        (N,), sums to 1.
    allowed
        (N, C) bool.
    target
        The slide's class.
    """
    unwanted = ~allowed[:, target]
    if not bool(unwanted.any()):
        return None
    wanted = ~unwanted & (allowed.sum(dim=1) == 1)
    paid = precise(attention)
    bad = paid[unwanted].sum()
    good = paid[wanted].sum() if bool(wanted.any()) else paid[~unwanted].sum()
    least = torch.finfo(paid.dtype).tiny
    return torch.log(good + bad + least) - torch.log(good + least)
