"""Links: files of sentence pairs, and how two directions are combined."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.errors import DataError
from regard.evaluation.alignment.links import read_sentence_pairs, symmetrize

link = st.tuples(st.integers(0, 6), st.integers(0, 6))


def test_a_pair_without_its_separator_is_named(tmp_path: Path):
    path = tmp_path / "pairs"
    path.write_text("a b ||| c\na b c\n")
    with pytest.raises(DataError, match=r"pairs:2: 0 separators"):
        read_sentence_pairs(path)


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
