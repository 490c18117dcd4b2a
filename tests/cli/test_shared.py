"""Parts that the commands share: options with several values, lines in and out."""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path

import pytest
import typer

from regard.cli import shared
from regard.cli.shared import repeat_options
from regard.training import Interrupted


def test_names_up_to_the_next_option_belong_to_the_one_before() -> None:
    assert repeat_options(["x", "--train", "a", "b", "--out", "c", "--test", "d"]) == [
        *("x", "--train", "a", "--train", "b", "--out", "c", "--test", "d")
    ]
    assert repeat_options(["--valid", "-", "--json", "x"]) == ["--valid", "-", "--json", "x"]


def test_a_prompt_answers_each_line(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    typed = iter(["3. Mai 2018", ""])

    def ask(_: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", ask)
    assert list(shared.read_input("Type.")) == ["3. Mai 2018", ""]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["train"], "the same command and --resume (m)"),
        (["train", "--overwrite"], "the same command and --resume in place of --overwrite (m)"),
    ],
)
def test_an_interrupted_command_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    hint: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["regard", *arguments])

    def command() -> None:
        raise Interrupted("m", signal.SIGHUP)

    with pytest.raises(typer.Exit) as ended:
        shared.report_errors(command)()
    assert ended.value.exit_code == 129
    assert hint in capsys.readouterr().err
