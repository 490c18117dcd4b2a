"""IBM Model 1 on textbook examples and on the shared data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.evaluation.alignment.error_rate import alignment_error_rate
from regard.evaluation.alignment.gold import read_gold
from regard.evaluation.alignment.ibm_model1 import _align_one_way, ibm_model_1
from regard.evaluation.alignment.links import (
    SentencePair,
    diagonal,
    read_sentence_pairs,
)


def test_model_1_finds_the_dictionary_of_knights_example():
    # das Haus / das Buch / ein Buch: the textbook case that co-occurrence alone settles.
    pairs = [
        (["the", "house"], ["das", "Haus"]),
        (["the", "book"], ["das", "Buch"]),
        (["a", "book"], ["ein", "Buch"]),
    ]
    assert ibm_model_1(pairs, iterations=20) == [{(0, 0), (1, 1)}] * 3


def test_model_1_follows_words_not_positions():
    pairs = [
        (["green", "house"], ["casa", "verde"]),
        (["house"], ["casa"]),
        (["green", "door"], ["puerta", "verde"]),
    ]
    assert ibm_model_1(pairs, iterations=20)[0] == {(0, 1), (1, 0)}


def test_model_1_survives_empty_sentences():
    assert ibm_model_1([([], ["a"]), (["b"], []), ([], [])]) == [set(), set(), set()]


def by_loops(pairs: Sequence[SentencePair], iterations: int) -> dict[tuple[str | None, str], float]:
    """Probabilities t(f | e) of Model 1, as its equations are written."""
    table: dict[tuple[str | None, str], float] = {}
    for source, target in pairs:
        table |= {(e, f): 1.0 for e in [*source, None] for f in target}
    for _ in range(iterations):
        counts, totals = dict.fromkeys(table, 0.0), dict[str | None, float]()
        for source, target in pairs:
            for f in target:
                whole = sum(table[e, f] for e in [*source, None])
                for e in [*source, None]:
                    counts[e, f] += table[e, f] / whole
                    totals[e] = totals.get(e, 0.0) + table[e, f] / whole
        table = {(e, f): count / totals[e] for (e, f), count in counts.items()}
    return table


@given(
    pairs=st.lists(
        st.tuples(
            st.lists(st.sampled_from("abcd"), max_size=4),
            st.lists(st.sampled_from("wxyz"), max_size=4),
        ),
        max_size=6,
    )
)
def test_model_1_against_loops(pairs):
    table = by_loops(pairs, 3)
    for (source, target), links in zip(pairs, _align_one_way(pairs, 3), strict=True):
        source_of = {t: s for s, t in links}
        assert len(source_of) == len(links)
        for t, f in enumerate(target):
            weights = [table[e, f] for e in [*source, None]]
            # Ties are broken by the last digit, which depends on the order of the sums.
            chosen = weights[source_of.get(t, len(source))]
            assert chosen == pytest.approx(max(weights), rel=1e-9)


def test_scores_of_the_shared_set(shared_data: Path):
    folder = shared_data / "word-alignment-en-fr"
    gold = read_gold(folder / "enfr.gold")
    pairs = read_sentence_pairs(folder / "enfr.src-tgt")
    assert len(gold) == len(pairs) == 447
    assert 100 * alignment_error_rate(diagonal(pairs), gold).error_rate == pytest.approx(
        68.6, abs=0.05
    )
    model_1 = 100 * alignment_error_rate(ibm_model_1(pairs), gold).error_rate
    assert model_1 == pytest.approx(38.8, abs=0.1)
