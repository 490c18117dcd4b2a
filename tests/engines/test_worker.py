"""A worker's results, and errors that are results."""

from __future__ import annotations

import os
import pickle

import pytest

from regard.engines.worker import Failure, Worker
from regard.errors import DataError
from tests.engines.shard_work import Sent, Where


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    return Worker(pickle.dumps(Sent()))


def test_a_worker_has_one_thread(worker: Worker) -> None:
    assert worker.do(5) == Where(5, os.getpid(), "1")


def test_an_error_of_ours_comes_back_as_itself(worker: Worker) -> None:
    failure = pickle.loads(pickle.dumps(worker.do(-1)))
    assert isinstance(failure, Failure)
    with pytest.raises(DataError, match=r"^a\.tsv:7: 3 columns, expected 2$") as raised:
        failure.reraise()
    assert raised.value.line == 7
    assert not hasattr(raised.value, "__notes__")


def test_any_other_error_says_where_it_was_raised(worker: Worker) -> None:
    failure = worker.do(-2)
    with pytest.raises(ZeroDivisionError, match="by zero") as raised:
        failure.reraise()
    assert "in where" in raised.value.__notes__[0]


def test_work_that_cannot_begin_is_a_failure_too() -> None:
    assert isinstance(Worker(b"no pickle").do(1), Failure)
