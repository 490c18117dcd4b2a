"""Attention on tokens without content: special tokens and attention sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from regard.evaluation.faithfulness.contracts import ExplainableClassifier
from regard.evaluation.faithfulness.instances import Instance

__all__ = ["AttentionMass", "attention_mass"]


@dataclass(frozen=True)
class AttentionMass:
    """Fractions of all attention on special tokens and on the largest sink.

    Attributes:
        special_tokens: fraction of attention on special tokens.
        sink: the ordinary token that receives the most attention.
        sink_share: its fraction of all attention.
        sink_frequency: its fraction of all tokens.
    """

    special_tokens: float
    sink: str
    sink_share: float
    sink_frequency: float


def attention_mass(
    model: ExplainableClassifier,
    instances: Sequence[Instance],
    id_to_token: Callable[[int], str],
) -> AttentionMass:
    """Sum the attention on special tokens and on the ordinary token that receives the most."""
    tokens = np.concatenate([instance.text for instance in instances])
    weights = np.concatenate([instance.weights.mean(0) for instance in instances])
    weights = weights / (weights.sum() or 1.0)
    ordinary = ~np.isin(tokens, list(model.special_ids))
    vocabulary, index = np.unique(tokens[ordinary], return_inverse=True)
    received = np.bincount(index, weights[ordinary])
    sink = int(received.argmax())
    return AttentionMass(
        special_tokens=float(weights[~ordinary].sum()),
        sink=id_to_token(int(vocabulary[sink])),
        sink_share=float(received[sink]),
        sink_frequency=float((tokens == vocabulary[sink]).mean()),
    )
