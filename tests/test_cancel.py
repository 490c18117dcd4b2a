"""Cancellation: a condition that every step asks, for one thread and what that starts."""

import contextvars
import threading

import pytest

from regard.cancel import AbandonedError, cancelled_if, check_cancelled


def test_a_step_stops_once_the_condition_holds() -> None:
    steps, most = 0, 3

    def work() -> None:
        nonlocal steps
        while True:
            check_cancelled()
            steps += 1

    with pytest.raises(AbandonedError, match="nobody waits"), cancelled_if(lambda: steps >= most):
        work()
    assert steps == most
    check_cancelled()  # outside there is no condition


def test_the_innermost_condition_counts_and_the_outer_one_comes_back() -> None:
    with cancelled_if(lambda: True):
        with cancelled_if(lambda: False):
            check_cancelled()
        with pytest.raises(AbandonedError):
            check_cancelled()


def test_other_threads_have_conditions_of_their_own() -> None:
    found: list[str] = []

    def check(name: str) -> None:
        try:
            check_cancelled()
        except AbandonedError:
            found.append(name)

    with cancelled_if(lambda: True):
        context = contextvars.copy_context()
        for target in (lambda: check("other"), lambda: context.run(check, "same context")):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert found == ["same context"]
