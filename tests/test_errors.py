"""Errors cross from one process to another, as a pool of workers sends them."""

from __future__ import annotations

import pickle

import pytest

from regard.errors import DataError, InputError, MissingExtraError, RegardError
from regard.training import Interrupted


@pytest.mark.parametrize(
    "error",
    [
        InputError("x"),
        DataError("3 columns, expected 2", path="a.tsv", line=7, remedy="remove the tab"),
        DataError("an empty file"),
        MissingExtraError("regard serve", "serve"),
        Interrupted("runs/x", 15),
        Interrupted(None, 2),
    ],
)
def test_an_error_is_the_same_after_pickle(error: RegardError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
