"""Interventions: run a model with attention weights other than its own.

>>> import torch
>>> from regard.layers import AttentionPooling
>>> from regard.layers.intervene import replaced_pooling
>>> pooling, states = AttentionPooling(2), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
>>> with replaced_pooling(pooling, torch.tensor([[[0.0, 1.0]]])):
...     pooled, weights = pooling(states)
>>> pooled.tolist(), weights.dense().tolist()
([[0.0, 1.0]], [[[[0.0, 1.0]]]])
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.attention.masks import Mask
from regard.layers.checks import as_tensor
from regard.layers.pooling import AttentionPooling, weighted_mean

__all__ = ["replaced_pooling"]


@contextmanager
def replaced_pooling(model: nn.Module, weights: Tensor) -> Iterator[None]:
    """Inside the context, every `AttentionPooling` of `model` uses these weights, not its own.

    The poolings take their heads from `weights` in the order in which the forward pass reaches
    them, so the context serves one forward pass. A hierarchical model pools twice, tokens to
    sentences and sentences to a document; the weights of its tokens are split between the two::

        weights of a document's tokens    .1  .2  .1  |  .4  .2      sum to 1
        pooling of the sentences                  .4  |  .6          the sum of each sentence
        pooling of the tokens            .25  .5 .25  | .67 .33      their shares of that sum

    Args:
        model: a module that contains the poolings, or is one.
        weights: `(batch, heads, length)`, one weight for each token; `heads` counts the heads of
            all poolings over tokens together. They are used as they are, not normalised.
    """
    replacement = _PoolingReplacement(weights)
    hooks = [
        part.register_forward_hook(replacement.hook, with_kwargs=True)
        for part in model.modules()
        if isinstance(part, AttentionPooling)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _PoolingReplacement:
    """Deals out token weights to poolings in the order of their calls.

    Between the two poolings of a hierarchical model it holds the weights of the sentences: set by the
    pooling of tokens, taken by the pooling of sentences, which is always the next call::

        pooling(tokens, mask per sentence)     token weights -> shares, sentence weights
        pooling(sentences, mask)               sentence weights -> None
    """

    def __init__(self, weights: Tensor) -> None:
        self._weights = weights
        self._heads_taken = 0
        self._sentence_weights: Tensor | None = None

    def hook(
        self,
        pooling: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: tuple[Tensor, AttentionMap],
    ) -> tuple[Tensor, AttentionMap]:
        """A forward hook of `AttentionPooling`: its output by the weights that are due."""
        sequence, mask = _pooling_arguments(*args, **kwargs)
        own_map = output[1]
        by_sentence = isinstance(mask, Tensor) and mask.ndim == 3
        if self._sentence_weights is not None:
            weights, self._sentence_weights = self._sentence_weights[:, :, None], None
        else:
            weights = self._next_heads(own_map.shape[1])[:, :, None].to(sequence)
            if isinstance(mask, Tensor) and by_sentence:
                weights, self._sentence_weights = _split_by_sentence(weights, mask)
        pooled = weighted_mean(weights, sequence)
        return (pooled if by_sentence else pooled[:, 0]), AttentionMap.from_dense(weights)

    def _next_heads(self, count: int) -> Tensor:
        first = self._heads_taken
        self._heads_taken += count
        return self._weights[:, first : first + count]


def _pooling_arguments(
    sequence: Tensor, mask: Mask | Tensor | None = None, *, bias: Any = None
) -> tuple[Tensor, Mask | Tensor | None]:
    """The arguments of `AttentionPooling.forward`, whether passed by position or by name."""
    return sequence, as_tensor(mask)


def _split_by_sentence(weights: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Split the weights of tokens into shares within a sentence and weights of the sentences.

    Args:
        weights: `(batch, heads, 1, length)`.
        mask: `(batch, sentences, length)` Boolean, `True` where a token belongs to a sentence.

    Returns:
        Shares `(batch, heads, sentences, length)` and sentence weights `(batch, heads, sentences)`.
    """
    by_sentence = weights * mask[:, None]
    sentence_weights = by_sentence.sum(-1)
    tiny = torch.finfo(weights.dtype).tiny  # a sentence of weight 0 gets shares of 0, not NaN
    return by_sentence / sentence_weights[..., None].clamp(min=tiny), sentence_weights
