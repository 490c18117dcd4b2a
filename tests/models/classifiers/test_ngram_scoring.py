"""Compiled scores of n-grams equal those computed with arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from regard.models.classifiers.ngram_hash import NgramTable
from regard.models.classifiers.ngram_linear import NgramLinear
from regard.models.classifiers.ngram_scoring import score
from regard.models.classifiers.settings import WideSettings
from regard.text import Tokenizer

TEXTS = ["Good case, good value!", "it's not good", "a  case 'at' all", "never again :(", "é 5'0"]


def by_arrays(
    linear: NgramLinear, ids: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    extractor = linear._extractor
    found = linear._features(extractor.occurrences(extractor.characters(ids, lengths)), len(ids))
    scores = np.zeros((len(ids), linear.labels))
    np.add.at(scores, found.row, found.value[:, None] * linear.weight.numpy()[found.ngram])
    return scores


def compiled(
    linear: NgramLinear,
    ids: NDArray[np.int64],
    lengths: NDArray[np.int64],
    table: NgramTable | None = None,
) -> NDArray[np.float64]:
    return score(linear._extractor.alphabet, linear.limits, table or linear._table, ids, lengths)


def encoded() -> tuple[Tokenizer, list[list[int]]]:
    tokenizer = Tokenizer.train(TEXTS, kind="bpe", size=60, lowercase=True)
    return tokenizer, [encoding.ids for encoding in tokenizer.encode_batch(TEXTS)]


@pytest.fixture(
    scope="module", params=[(1, 0, 0), (2, 0, 0), (3, 2, 0), (2, 0, 1), (3, 2, 4)], ids=str
)
def linear(request: pytest.FixtureRequest) -> NgramLinear:
    words, skip_bigrams, lead_pairs = request.param
    tokenizer, ids = encoded()
    limits = {"words": words, "skip_bigrams": skip_bigrams, "lead_pairs": lead_pairs}
    linear = NgramLinear(WideSettings(size=len(tokenizer), labels=3, **limits))
    linear.fit(tokenizer.spelling, ids, torch.tensor([0, 1, 2, 1, 0]))
    return linear


@settings(max_examples=100)
@given(data=st.data())
def test_any_ids(linear: NgramLinear, data: st.DataObject) -> None:
    """Special ids, which spell nothing, and texts of no tokens among them."""
    one = st.lists(st.integers(0, len(linear.end) - 1), max_size=12)
    texts = data.draw(st.lists(one, min_size=1, max_size=3))
    lengths = np.array([len(text) for text in texts])
    ids = np.zeros((len(texts), max(1, lengths.max())), np.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    found = compiled(linear, ids, lengths)
    np.testing.assert_allclose(found, by_arrays(linear, ids, lengths), rtol=1e-12, atol=1e-12)


def test_texts_it_learned_from(linear: NgramLinear) -> None:
    """Here every n-gram counts, of those drawn above few are known."""
    for text in encoded()[1]:
        ids, lengths = np.array([text]), np.array([len(text)])
        found = compiled(linear, ids, lengths)
        np.testing.assert_allclose(found, by_arrays(linear, ids, lengths), rtol=1e-12, atol=1e-12)


def test_long_texts(linear: NgramLinear) -> None:
    ids = np.random.default_rng(0).integers(0, len(linear.end), (2, 3000))
    lengths = np.array([3000, 1])
    found = compiled(linear, ids, lengths)
    np.testing.assert_allclose(found, by_arrays(linear, ids, lengths), rtol=1e-9)


def test_nothing_known(linear: NgramLinear) -> None:
    none = NgramTable.of(np.empty(0, np.int64), np.empty(0), np.empty((0, 3), np.float32))
    assert not compiled(linear, np.array([[5, 6]]), np.array([2]), none).any()


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40),
    st.integers(0, 62),
    st.sampled_from([-(2**63), -1, 0, 2**63 - 1]),
)
def test_the_index_leads_to_every_key(drawn: list[int], crowded: int, extreme: int) -> None:
    """Also where many keys share their first bits."""
    key = np.unique(np.array([*drawn, *(k >> crowded for k in drawn), extreme], np.int64))
    first = NgramTable.of(key, np.ones(len(key)), np.ones((len(key), 1), np.float32)).first
    bits = (len(first) - 1).bit_length() - 1
    assert len(first) == 2**bits + 1
    prefix = (key >> (64 - bits)) + 2 ** (bits - 1)
    row = np.arange(len(key))
    assert (first[prefix] <= row).all()
    assert (row < first[prefix + 1]).all()
