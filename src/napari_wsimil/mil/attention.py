"""Attention that several methods share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class GatedAttention(nn.Module):
    """Attention logits s = w (tanh(V h + b) * sigmoid(U h + b)) + b (Ilse et al. 2018).

    2(LD + D) + B(D + 1) parameters.

    Parameters
    ----------
    features
        Length L of an instance's embedding h.
    hidden
        Width D of the attention.
    gated
        Without the gate, s = w tanh(V h + b) + b.
    dropout
        After tanh and after sigmoid.
    branches
        How many attentions B share V and U.
    """

    def __init__(self, features: int, hidden: int, *, gated: bool = True, dropout: float = 0.0, branches: int = 1) -> None:
        super().__init__()
        self.content = nn.Linear(features, hidden)
        self.gate = nn.Linear(features, hidden) if gated else None
        self.score = nn.Linear(hidden, branches)
        self.dropout = nn.Dropout(dropout)

    def forward(self, instances: Tensor) -> Tensor:
        """(N, L) embeddings -> (N, B) attention logits; softmax over the bag is the caller's."""
        content: Tensor = self.dropout(torch.tanh(self.content(instances)))
        if self.gate is not None:
            content = content * self.dropout(torch.sigmoid(self.gate(instances)))
        return self.score(content)


def of_predicted_class(class_attention: Tensor, logits: Tensor) -> Tensor:
    """(N,) attention of the class that wins, from (N, C): the one map to show where each class has its own."""
    return class_attention[:, int(logits.argmax())]
