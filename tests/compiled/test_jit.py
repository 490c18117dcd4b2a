"""The notice of a compilation, and machine code by the types of arguments."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

from regard.compiled import jit


def test_waiting_users_are_told_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jit, "NOTICE_SECONDS", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with jit._notice():
        threading.Event().wait(0.2)
    notice = capsys.readouterr().err
    assert "compiling numerical code" in notice
    assert "done in" in notice


class Pair(NamedTuple):
    first: Any
    second: Any


def test_machine_code_is_that_of_the_types_of_the_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arguments are told apart where Numba's types are: numbers, kinds and axes of arrays, named tuples."""
    monkeypatch.setattr(jit, "specialize", lambda kernel, types: types)
    single, kernel = np.zeros(3, np.float32), object()
    arguments = (
        *(single, np.zeros(3), np.zeros(3, np.int32), single[None], single[None, None]),
        *(1, 1.0, True, np.uint32(1), Pair(single, 1), Pair(single, 1.0), Pair(1, single)),
    )
    types = [jit.machine_code(kernel, (argument,)) for argument in arguments]
    assert types == [(jit.numba_type(argument),) for argument in arguments]  # type: ignore[comparison-overlap]
    assert len(set(types)) == len(arguments)
    assert jit.machine_code(kernel, (np.ones(7, np.float32),)) is types[0]
