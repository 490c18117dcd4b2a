"""N-gram scores in operations that a graph can hold equal those of compiled code."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from regard.data import pad
from regard.models.classifiers import ngram_hash
from regard.models.classifiers.ngram_graph import _mix
from regard.models.classifiers.ngram_linear import NgramLinear
from regard.models.classifiers.settings import WideSettings
from regard.text import Tokenizer

TEXTS = ["Good case, good value!", "it's not good", "a  case 'at' all", "never again :(", "é 5'0"]
TOKENIZER = Tokenizer.train(TEXTS, kind="bpe", size=60, lowercase=True)


@pytest.fixture(
    scope="module", params=[(1, 0, 0), (2, 0, 1), (3, 2, 4)], ids=["words", "leads", "all"]
)
def linear(request: pytest.FixtureRequest) -> NgramLinear:
    words, skip_bigrams, lead_pairs = request.param
    limits = {"words": words, "skip_bigrams": skip_bigrams, "lead_pairs": lead_pairs}
    linear = NgramLinear(WideSettings(size=len(TOKENIZER), labels=3, **limits))
    ids = [encoding.ids for encoding in TOKENIZER.encode_batch(TEXTS)]
    linear.fit(TOKENIZER.spelling, ids, torch.tensor([0, 1, 2, 1, 0]))
    return linear


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(
        st.lists(st.integers(0, len(TOKENIZER) - 1), max_size=12), min_size=1, max_size=3
    )
)
@example(texts=[[], [0]])
@example(texts=[TOKENIZER.encode("good case, good case, it's good, good!").ids, [5]])
def test_against_compiled_scores(linear: NgramLinear, texts: list[list[int]]) -> None:
    """Special ids, which spell nothing, and texts of no tokens among them."""
    ids, lengths = map(torch.from_numpy, pad([*texts, [7]]))
    found = linear.graph()(ids, lengths)
    torch.testing.assert_close(found, linear(ids, lengths), atol=5e-6, rtol=0)


def test_without_any_ngram():
    linear = NgramLinear(WideSettings(size=9, labels=2))
    linear.bias = torch.tensor([0.5, -1.0])
    assert (
        linear.graph()(torch.ones(3, 4, dtype=torch.int64), torch.ones(3)).tolist()
        == [[0.5, -1.0]] * 3
    )


def test_bits_of_signed_numbers():
    numbers = torch.tensor([0, 1, -1, 1 << 40, -(1 << 63), 12345678901234567])
    expected = ngram_hash.mix(numbers.numpy().view("uint64")).view("int64")
    assert _mix(numbers).tolist() == expected.tolist()
