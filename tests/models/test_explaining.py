"""Attention over tokens, from the maps of a forward pass, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.errors import InputError
from regard.layers import AttentionPooling
from regard.models import Explainable, token_attention

LENGTHS = torch.tensor([3, 2])


def map_of(weights: Tensor) -> AttentionMap:
    return AttentionMap.from_dense(weights)


def test_pooling_weights_of_an_ensemble_are_heads() -> None:
    one, two = torch.rand(2, 1, 1, 3), torch.rand(2, 2, 1, 3)
    found = token_attention({"pooling": [map_of(one), map_of(two)]}, LENGTHS)
    torch.testing.assert_close(found, torch.cat([one, two], 1)[:, :, 0])


def test_words_are_weighted_by_their_sentence() -> None:
    words = torch.tensor([[[[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]]])
    sentences = torch.tensor([[[[0.2, 0.8]]]])
    found = token_attention({"words": [map_of(words)], "sentences": [map_of(sentences)]}, LENGTHS)
    torch.testing.assert_close(found, torch.tensor([[[0.1, 0.1, 0.8]]]))


def test_without_pooling_a_token_counts_by_what_real_tokens_give_it() -> None:
    rows = torch.tensor([[[[0.6, 0.4, 0.0], [0.2, 0.8, 0.0], [9.0, 9.0, 9.0]]]])
    found = token_attention({"encoder": [map_of(rows)]}, torch.tensor([2]))
    torch.testing.assert_close(found, torch.tensor([[[0.4, 0.6, 0.0]]]))


def test_other_maps_are_refused_by_name() -> None:
    maps = {"cross": [map_of(torch.rand(2, 1, 4, 3))]}
    with pytest.raises(InputError, match=r"\['cross'\]; expected 'pooling', 'words' or 'encoder'"):
        token_attention(maps, LENGTHS)


def test_a_module_knows_whether_it_pools_by_attention() -> None:
    class Plain(Explainable):
        def __init__(self, part: nn.Module) -> None:
            super().__init__()
            self.part = part

    assert Plain(AttentionPooling(4)).pools_by_attention
    assert not Plain(nn.Linear(4, 4)).pools_by_attention
    assert Plain(nn.Linear(4, 4)).linear_contributions(torch.ones(1, 3), LENGTHS) is None


def test_without_pooling_every_member_of_an_ensemble_counts() -> None:
    first, second = torch.rand(2, 2, 1, 3, 3).softmax(-1)
    below = map_of(torch.rand(2, 1, 3, 3)).of_member(0)  # the layer before the last of member 0
    maps = [below, map_of(first).of_member(0), map_of(second).of_member(1)]
    found = token_attention({"encoder": maps}, LENGTHS)
    alone = [token_attention({"encoder": [map_of(x)]}, LENGTHS) for x in (first, second)]
    torch.testing.assert_close(found, torch.cat(alone, 1))


def test_no_matrix_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, words, sentences = torch.rand(2, 1, 3, 3), torch.rand(2, 1, 2, 3), torch.rand(2, 1, 1, 2)
    maps = {"words": [map_of(words)], "sentences": [map_of(sentences)]}
    expected = (sentences @ words)[:, :, 0]
    dense = AttentionMap.dense

    def refuse(weights: AttentionMap) -> Tensor:
        assert weights.shape[-2] == 1, f"dense weights of {weights.shape}"
        found: Tensor = dense(weights)
        return found

    monkeypatch.setattr(AttentionMap, "dense", refuse)
    torch.testing.assert_close(token_attention(maps, LENGTHS), expected)
    assert token_attention({"encoder": [map_of(rows)]}, LENGTHS).shape == (2, 1, 3)
