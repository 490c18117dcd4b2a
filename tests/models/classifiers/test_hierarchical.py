"""The hierarchical classifier: sentences, and attention within and over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from regard.models import Classifier
from regard.models.classifiers.hierarchical import split_sentences

NewClassifier: TypeAlias = Callable[..., Classifier]
NewBatch: TypeAlias = Callable[..., tuple[Tensor, Tensor]]


def test_split_sentences_by_hand() -> None:
    """`a b . c ? ! d` | `a . b` | padding, at most three tokens a sentence."""
    stops = torch.tensor([[0, 0, 1, 0, 1, 1, 0], [0, 1, 0, 0, 0, 0, 0], [0] * 7]).bool()
    mask = torch.arange(7) < torch.tensor([[7], [3], [0]])
    found = split_sentences(stops, mask, 3)
    assert found.sentence.tolist() == [
        [0, 0, 0, 1, 1, 1, 2],
        [0, 0, 1, -1, -1, -1, -1],
        [-1] * 7,
    ]
    assert found.position[0].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert found.position[1, :3].tolist() == [0, 1, 0]
    assert found.total.tolist() == [3, 2, 0]
    assert found.lengths.tolist() == [[3, 3, 1], [2, 1, 0], [0, 0, 0]]
    long = split_sentences(
        torch.zeros(1, 7, dtype=torch.bool), torch.ones(1, 7, dtype=torch.bool), 3
    )
    assert long.sentence.tolist() == [[0, 0, 0, 1, 1, 1, 2]]


def test_each_sentence_attends_to_its_own_words(
    new_classifier: NewClassifier, new_batch: NewBatch
) -> None:
    network = new_classifier("hierarchical").eval()
    ids, lengths = new_batch()
    maps = network(ids, lengths).maps
    words, over = maps["words"][0].dense(), maps["sentences"][0].dense()
    assert words.shape == (3, 1, 3, 13)  # stops at 3 and 8
    sums = torch.tensor([[1.0, 1, 1], [1, 1, 0], [1, 0, 0]])
    torch.testing.assert_close(words.sum(-1)[:, 0], sums)
    assert not words[0, 0, 1, :4].any()
    assert not words[0, 0, 1, 9:].any()
    assert not over[1, 0, 0, 2:].any()


def test_documents_of_one_sentence_as_beside_longer_ones(
    new_classifier: NewClassifier, new_batch: NewBatch
) -> None:
    network = new_classifier("hierarchical").eval()
    ids, lengths = new_batch((4, 3, 13))  # sentences: 1, 1, 3
    expected, found = network(ids, lengths), network(ids[:2, :4], lengths[:2])
    torch.testing.assert_close(found.logits, expected.logits[:2])
    words = (output.maps["words"][0].dense() for output in (found, expected))
    torch.testing.assert_close(next(words), next(words)[:2, :, :1, :4])


def test_sentence_ends_are_found_by_their_spelling(
    new_classifier: NewClassifier, surfaces: list[str]
) -> None:
    network = new_classifier("hierarchical")
    stops = network.state_dict()["readers.0.stops"]
    assert [surfaces[i] for i in stops.nonzero()[:, 0]] == [".", " !?", ' ."']
