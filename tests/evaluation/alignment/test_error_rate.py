"""Alignment: the file format, the scorer by hand and on the shared set, the two baselines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.errors import DataError, InputError, ShapeError
from regard.evaluation.alignment.error_rate import (
    Gold,
    alignment_error_rate,
    diagonal,
    ibm_model_1,
    parse_gold,
    read_gold,
    read_sentence_pairs,
    symmetrize,
)

link = st.tuples(st.integers(0, 6), st.integers(0, 6))


def test_sure_links_are_possible_too():
    gold = parse_gold("3-1 2p7")
    assert gold.sure == {(2, 0)}
    assert gold.possible == {(2, 0), (1, 6)}


@pytest.mark.parametrize("item", ["0-1", "1-0", "1:2", "a-b", "1-", "-1-2", "1-2-3"])
def test_what_is_no_link_is_named(item):
    with pytest.raises(InputError, match="is not a link"):
        parse_gold(item)


def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path):
    path = tmp_path / "gold"
    path.write_text("1-1\n\n1x2\n")
    with pytest.raises(DataError, match=r"gold:3: '1x2' is not a link"):
        read_gold(path)


def test_a_pair_without_its_separator_is_named(tmp_path: Path):
    path = tmp_path / "pairs"
    path.write_text("a b ||| c\na b c\n")
    with pytest.raises(DataError, match=r"pairs:2: 0 separators"):
        read_sentence_pairs(path)


def test_an_empty_line_is_an_empty_alignment(tmp_path: Path):
    path = tmp_path / "gold"
    path.write_text("1-1\n\n2p2\n")
    assert [len(gold.possible) for gold in read_gold(path)] == [1, 0, 1]


def test_error_rate_by_hand():
    # A = 3 links: one sure, one only possible, one wrong; S = 2, of which one was found.
    gold = Gold(frozenset({(0, 0), (1, 1)}), frozenset({(0, 0), (1, 1), (2, 1)}))
    score = alignment_error_rate([{(0, 0), (2, 1), (2, 2)}], [gold])
    assert score.precision == pytest.approx(2 / 3)
    assert score.recall == pytest.approx(1 / 2)
    assert score.error_rate == pytest.approx(1 - (1 + 2) / (3 + 2))
    assert str(score) == "AER 40.0 (precision 66.7, recall 50.0, 3 links)"


def test_sums_over_the_corpus_before_dividing():
    one = Gold(frozenset({(0, 0)}), frozenset({(0, 0)}))
    three = Gold(frozenset({(0, 0), (1, 1), (2, 2)}), frozenset({(0, 0), (1, 1), (2, 2)}))
    score = alignment_error_rate([{(0, 0)}, set()], [one, three])
    assert score.error_rate == pytest.approx(1 - 2 / 5)


@given(sure=st.frozensets(link), extra=st.frozensets(link), predicted=st.frozensets(link))
def test_error_rate_lies_between_nought_and_one(sure, extra, predicted):
    gold = Gold(sure, sure | extra)
    assert 0 <= alignment_error_rate([predicted], [gold]).error_rate <= 1
    if sure:
        assert alignment_error_rate([sure], [gold]).error_rate == 0


def test_as_many_predictions_as_gold():
    with pytest.raises(ShapeError, match="1 predicted alignments for 2 gold"):
        alignment_error_rate([set()], [parse_gold(""), parse_gold("")])


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


def test_model_1_finds_the_dictionary_of_knights_example():
    # das Haus / das Buch / ein Buch: the textbook case that co-occurrence alone settles.
    pairs = [
        (["the", "house"], ["das", "Haus"]),
        (["the", "book"], ["das", "Buch"]),
        (["a", "book"], ["ein", "Buch"]),
    ]
    assert ibm_model_1(pairs, iterations=20) == [{(0, 0), (1, 1)}] * 3


def test_model_1_follows_words_not_places():
    pairs = [
        (["green", "house"], ["casa", "verde"]),
        (["house"], ["casa"]),
        (["green", "door"], ["puerta", "verde"]),
    ]
    assert ibm_model_1(pairs, iterations=20)[0] == {(0, 1), (1, 0)}


def test_model_1_survives_empty_sentences():
    assert ibm_model_1([([], ["a"]), (["b"], []), ([], [])]) == [set(), set(), set()]


def test_grow_diag_adds_what_touches_and_is_new():
    forward = {(0, 0), (1, 1), (5, 5)}
    backward = {(0, 0), (1, 2)}
    # (1,1) touches (0,0) by a corner; (1,2) then gives target 2 its first link; (5,5) is alone.
    assert symmetrize(forward, backward, method="grow-diag") == {(0, 0), (1, 1), (1, 2)}
    assert symmetrize(forward, backward) == {(0, 0)}
    assert symmetrize(forward, backward, method="union") == forward | backward


def test_grow_diag_leaves_out_links_between_linked_words():
    forward = {(0, 0), (1, 1)}
    assert symmetrize(forward, forward | {(0, 1)}, method="grow-diag") == forward


def test_grow_diag_takes_edges_before_corners():
    # From (1,1) both (0,1) and (0,2) touch; the edge comes first, the corner is new by its target.
    grown = symmetrize({(1, 1), (0, 2)}, {(1, 1), (0, 1), (1, 2)}, method="grow-diag")
    assert grown == {(1, 1), (0, 1), (1, 2)}


@given(forward=st.sets(link), backward=st.sets(link))
def test_grow_diag_lies_between_intersection_and_union(forward, backward):
    grown = symmetrize(forward, backward, method="grow-diag")
    assert forward & backward <= grown <= forward | backward
