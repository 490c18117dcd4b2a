"""Signals that are recorded first and raise later."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from regard.training.interrupt import DeferredSignals, Interrupted, ended_by_signals


def test_the_first_signal_is_recorded_and_the_second_raises() -> None:
    with DeferredSignals() as signals:
        with signals.raising():
            pass
        signal.raise_signal(signal.SIGINT)
        assert signals.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_within_raising_the_first_signal_raises() -> None:
    with DeferredSignals() as signals, pytest.raises(KeyboardInterrupt), signals.raising():
        signal.raise_signal(signal.SIGTERM)
    assert signals.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is not signals._handle


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_closed_terminal_and_a_time_limit_end_a_run_as_sigterm(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # whatever ran the tests may ignore it
    try:
        with DeferredSignals() as signals:
            signal.raise_signal(number)
            assert signals.signal == number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
@pytest.mark.parametrize("other", [signal.SIG_IGN, lambda *_: None], ids=["ignored", "handled"])
def test_what_others_do_about_these_signals_stays(number: signal.Signals, other: Any) -> None:
    """`nohup` ignores SIGHUP; programs that put a job back into the queue wait for SIGUSR1."""
    before = signal.signal(number, other)
    try:
        with DeferredSignals() as signals:
            signal.raise_signal(number)
        assert signals.signal is None
        assert signal.getsignal(number) is other
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_context_that_signals_end(number: signal.Signals) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    outside = signal.getsignal(number)
    try:
        with pytest.raises(Interrupted) as stopped, ended_by_signals():
            _twice(number)
        assert (stopped.value.signal, stopped.value.folder) == (number, None)
        assert signal.getsignal(number) is outside
    finally:
        signal.signal(signal.SIGHUP, before)


def _twice(number: signal.Signals) -> None:
    with DeferredSignals() as inner:  # a loop inside, which stops when it wants to
        signal.raise_signal(number)
        assert inner.signal == number
    signal.raise_signal(number)


def test_what_was_interrupted_inside_stays_as_it_was_told() -> None:
    with pytest.raises(Interrupted) as stopped, ended_by_signals():
        raise Interrupted("runs/a", signal.SIGTERM)
    assert (stopped.value.signal, stopped.value.folder) == (signal.SIGTERM, "runs/a")
