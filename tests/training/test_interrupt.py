"""Signals that are recorded first and raise later."""

from __future__ import annotations

import signal

import pytest

from regard.training.interrupt import DeferredSignals


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
