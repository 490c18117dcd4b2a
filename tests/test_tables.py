"""Plain-text tables of numbers."""

from __future__ import annotations

import math

from regard.tables import format_number, format_vector, number_table


def test_columns_are_aligned_under_their_names() -> None:
    table = number_table([[1, 0.5], [-10, 2]], ["a", "longer"], ["x", "wide name"], title="T")
    assert table == (
        "  T\n            x  wide name\n  a         1     0.5000\n  longer  -10          2\n"
    )


def test_a_table_without_names_of_columns() -> None:
    assert number_table([[1.0]], ["k1"]) == "  k1  1\n"


def test_numbers() -> None:
    assert format_number(3.0) == "3"
    assert format_number(2 / 3) == "0.6667"
    assert format_number(math.inf) == "inf"
    assert format_vector([5, 0.5]) == "[5, 0.5000]"
