"""The notice of a compilation."""

from __future__ import annotations

import threading

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
