"""Interventions: poolings that use given weights, in one level, by sentence, and one after another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regard.layers import AttentionPooling
from regard.layers.intervene import replaced_pooling

TOKENS = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [2.0, 2.0], [4.0, 0.0], [0.0, 8.0]]])
WEIGHTS = torch.tensor([[[0.1, 0.2, 0.1, 0.4, 0.2]]])
TWO_SENTENCES = torch.tensor(
    [[[True, True, True, False, False], [False, False, False, True, True]]]
)


def test_a_pooling_uses_the_weights_it_is_given() -> None:
    pooling = AttentionPooling(2)
    with replaced_pooling(pooling, WEIGHTS):
        pooled, weights = pooling(TOKENS)
    torch.testing.assert_close(pooled, torch.tensor([[1.9, 2.0]]))
    torch.testing.assert_close(weights.dense(), WEIGHTS[:, :, None])


def test_the_pooling_is_its_own_again_afterwards() -> None:
    pooling = AttentionPooling(2)
    before = pooling(TOKENS)[0]
    with replaced_pooling(pooling, WEIGHTS):
        assert not torch.equal(pooling(TOKENS)[0], before)
    assert torch.equal(pooling(TOKENS)[0], before)


def test_weights_of_tokens_are_split_between_the_levels() -> None:
    """Shares of .4 in the first sentence and of .6 in the second, which weigh .4 and .6."""
    words, sentences = AttentionPooling(2), AttentionPooling(2)
    with replaced_pooling(nn.ModuleList([words, sentences]), WEIGHTS):
        vectors, shares = words(TOKENS, TWO_SENTENCES)
        document, weights = sentences(vectors, mask=None)
    expected = torch.tensor([[0.25, 0.5, 0.25, 0, 0], [0, 0, 0, 2 / 3, 1 / 3]])
    torch.testing.assert_close(shares.dense(), expected[None, None])
    torch.testing.assert_close(weights.dense(), torch.tensor([[[[0.4, 0.6]]]]))
    torch.testing.assert_close(document, torch.tensor([[1.9, 2.0]]))


def test_a_sentence_of_no_weight_gives_zeros_not_nan() -> None:
    words = AttentionPooling(2)
    with replaced_pooling(words, WEIGHTS * TWO_SENTENCES[:, :1]):
        vectors, _ = words(TOKENS, TWO_SENTENCES)
    assert torch.equal(vectors[0, 1], torch.zeros(2))


def test_poolings_take_their_heads_in_the_order_of_their_calls() -> None:
    class Vote(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second = AttentionPooling(2)
            self.first = AttentionPooling(2, heads=2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.first(x)[0], self.second(x)[0]

    model, weights = Vote(), torch.eye(5)[None, :3]
    with replaced_pooling(model, weights):
        first, second = model(TOKENS)
    assert torch.equal(first, TOKENS[:, :2].flatten(1))
    assert torch.equal(second, TOKENS[:, 2])
