"""The compiled scores of n-grams are those found with arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.models.classifiers.ngram_scoring import Known, score
from regard.models.classifiers.settings import WideSettings
from regard.models.classifiers.wide_and_deep import Wide
from regard.text import Tokenizer

TEXTS = ["Good case, good value!", "it's not good", "a  case 'at' all", "never again :(", "é 5'0"]


def by_arrays(wide: Wide, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    found = wide._features(wide._ngrams.occurrences(wide._ngrams.spell(ids, lengths)), len(ids))
    scores = np.zeros((len(ids), wide.labels))
    np.add.at(scores, found.row, found.value[:, None] * wide.weight.numpy()[found.ngram])
    return scores


def encoded() -> tuple[Tokenizer, list[list[int]]]:
    tokenizer = Tokenizer.train(TEXTS, kind="bpe", size=60, lowercase=True)
    return tokenizer, [encoding.ids for encoding in tokenizer.encode_batch(TEXTS)]


@pytest.fixture(
    scope="module", params=[(1, 0, 0), (2, 0, 0), (3, 2, 0), (2, 0, 1), (3, 2, 4)], ids=str
)
def wide(request: pytest.FixtureRequest) -> Wide:
    words, skips, leads = request.param
    tokenizer, ids = encoded()
    sizes = {"words": words, "skips": skips, "leads": leads}
    wide = Wide(WideSettings(size=len(tokenizer), labels=3, **sizes))
    wide.fit(tokenizer.spelling, ids, torch.tensor([0, 1, 2, 1, 0]))
    return wide


@settings(max_examples=100)
@given(data=st.data())
def test_any_ids(wide: Wide, data: st.DataObject) -> None:
    """Special ids, which spell nothing, and texts of no tokens among them."""
    one = st.lists(st.integers(0, len(wide.end) - 1), max_size=12)
    texts = data.draw(st.lists(one, min_size=1, max_size=3))
    lengths = np.array([len(text) for text in texts])
    ids = np.zeros((len(texts), max(1, lengths.max())), np.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    found = score(wide._ngrams, wide._known, ids, lengths)
    np.testing.assert_allclose(found, by_arrays(wide, ids, lengths), rtol=1e-12, atol=1e-12)


def test_texts_it_learned_from(wide: Wide) -> None:
    """Here every n-gram counts, of those drawn above few are known."""
    for text in encoded()[1]:
        ids, lengths = np.array([text]), np.array([len(text)])
        found = score(wide._ngrams, wide._known, ids, lengths)
        np.testing.assert_allclose(found, by_arrays(wide, ids, lengths), rtol=1e-12, atol=1e-12)


def test_long_texts(wide: Wide) -> None:
    ids = np.random.default_rng(0).integers(0, len(wide.end), (2, 3000))
    lengths = np.array([3000, 1])
    found = score(wide._ngrams, wide._known, ids, lengths)
    np.testing.assert_allclose(found, by_arrays(wide, ids, lengths), rtol=1e-9)


def test_nothing_known(wide: Wide) -> None:
    none = Known(np.empty(0, np.int64), np.empty(0), np.empty((0, 3), np.float32))
    assert not score(wide._ngrams, none, np.array([[5, 6]]), np.array([2])).any()
