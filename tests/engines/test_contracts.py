"""`Each` in this process."""

from __future__ import annotations

from operator import add

from regard.engines import Here


def test_items_are_taken_as_results_are_wanted() -> None:
    taken = []

    def items():
        for item in (1, 2, 3):
            taken.append(item)
            yield item

    found = Here(10)(add, items())
    assert next(found) == 11
    assert taken == [1]
    assert list(found) == [12, 13]
