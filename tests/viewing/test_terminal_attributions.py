"""Explanations in the terminal: answer, text and a bar for every method, by hand."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from regard.viewing import AttentionRecord, Tokens, Track, terminal
from regard.viewing.data.explanation import Attribution, Explanation, Prediction

WORDS = ["I", "did", "not", "like", "it", "but", "loved", "the", "end"]
EFFECTS = [0.0, 0.01, -0.75, 0.2, 0.0, np.nan, 1.5, 0.0, -0.001]


def record(words: list[str] | None = None, members: int = 1) -> AttentionRecord:
    tokens = Tokens.of(words or WORDS)
    effects = np.resize(EFFECTS, len(tokens))
    shares = np.full(len(tokens), 1 / len(tokens))
    scores = (
        Attribution("leave-one-out", effects, True, "the fall without the word"),
        Attribution("attention", shares, False, "shares"),
    )
    explanation = Explanation(tokens, "good", 0.9, scores, "In front is what was measured.")
    prediction = Prediction(("good",), (("good", 0.9), ("bad", 0.1)))
    weights = np.tile(shares, (members, 1, 1))
    track = Track("pooling", "pooling", "reader", "text", weights, members=members)
    axes = {"reader": Tokens.of(["reader"], special=["reader"]), "text": tokens}
    return AttentionRecord(axes, (track,), prediction=prediction, explanation=explanation)


def printed(shown: AttentionRecord, *, width: int = 80, color: str | None = None, **options) -> str:  # type: ignore[no-untyped-def]
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        force_terminal=color is not None,
        color_system=color,  # type: ignore[arg-type]
    )
    terminal.show(shown, console=console, **options)
    return file.getvalue()


def test_label_and_probability_come_first() -> None:
    lines = printed(record()).splitlines()
    assert lines[0] == "answer: good 90.0%"
    assert lines[1] == "bad 10.0%"
    several = Prediction(("a", "b"), (("a", 0.9), ("b", 0.8), ("c", 0.1)))
    assert "answer: a, b" in printed(replace(record(), prediction=several))
    none = Prediction((), (("a", 0.3), ("b", 0.2)))
    assert "answer: no label" in printed(replace(record(), prediction=none))


def test_methods_stand_side_by_side_with_their_scales() -> None:
    lines = printed(record()).splitlines()
    (loved,) = [line for line in lines if line.lstrip().startswith("loved ")]
    (against,) = [line for line in lines if line.lstrip().startswith("not ")]
    # Log-odds of 0.9 are ln 9; those of the rest after a fall of 1.5 give 0.668.
    assert re.search(r"\+1\.50 →  66\.8% █+ +11\.1% █", loved)
    assert re.search(r"−0\.75 →  95\.0% ░+ ", against)
    assert re.search(r"full bar +1\.50 +44\.4% \(11\.1% even\)", printed(record()))
    assert any("not measured" in line and line.lstrip().startswith("but") for line in lines)
    assert "█ for, ░ against it" in printed(record())
    assert "In front is what was measured." in printed(record())
    assert "−0.00" not in printed(record())


def test_nearly_equal_attention_has_short_bars() -> None:
    for shown in (printed(record()), printed(record().select())):
        bars = [line.split("11.1%")[1].strip() for line in shown.splitlines() if "11.1% █" in line]
        assert bars
        assert all(len(bar) <= 9 for bar in bars)  # of 20 and 32 cells


def test_without_colour_marks_under_the_words_say_for_and_against() -> None:
    lines = printed(record()).splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith("I did not"))
    marks = lines[row + 1]
    assert marks[lines[row].index("loved") :].startswith("+++")
    assert marks[lines[row].index("not") :].startswith("--")


@pytest.mark.parametrize("width", [30, 50, 80, 120])
@pytest.mark.parametrize("color", [None, "256", "truecolor"])
def test_no_line_is_wider_than_the_terminal(
    odd_tokens: list[str], width: int, color: str | None
) -> None:
    for words in (None, odd_tokens, ["word"] * 3000):
        shown = printed(record(words), width=width, color=color)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        assert max(map(cell_len, plain.splitlines())) <= width


def test_a_verdict_says_that_it_is_of_attention() -> None:
    judged = replace(record(), verdict="Do not read this as an explanation.")
    assert "Attention: Do not read this" in printed(judged)
    assert "Attention" not in printed(judged.select())


def test_colours_tell_for_from_against() -> None:
    shown = printed(record(), color="truecolor")
    colors = {
        word: re.search(rf"48;2;(\d+);(\d+);(\d+)m{word}", shown) for word in ("loved", "not")
    }
    blue, orange = (tuple(map(int, found.groups())) for found in colors.values() if found)
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]


def test_members_are_named_and_one_can_be_shown() -> None:
    shown = record(members=3)
    assert "attention is the mean of member 1 to member 3" in printed(shown)
    assert "mean of 3 members" in printed(shown.select())
    assert "member 2" in printed(shown, heads=1)
