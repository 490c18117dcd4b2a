"""Little data: settings that follow from it, what chooses the weights, and what is said about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import regard
from regard.api import Translator, training_run
from regard.data import Example
from regard.errors import SettingsError
from regard.training import Callback

TINY = {"width": 16, "heads": 2, "feedforward": 16, "tokenizer": "word", "vocabulary": 50}
GREETINGS = [("hello", "hola"), ("bye", "adiós"), ("thanks", "gracias")]
SHORT = [(f"das {noun} ist {color}", f"{color} {noun}") for noun in "abcdef" for color in "xyz"]


class Listener(Callback):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_message(self, message: str) -> None:
        self.messages.append(message)


def train(pairs: list[tuple[str, str]], out: Path | None = None, **options: Any) -> Any:
    """A tiny transformer; returns it with the messages of its training."""
    listener = Listener()
    settings = {**TINY, **options.pop("settings", {})}
    model = regard.train(
        "translation",
        train=[Example(source, target) for source, target in pairs],
        out=out,
        preset="tiny",
        settings=settings,
        callback=listener,
        **options,
    )
    return model, listener.messages


@pytest.mark.parametrize("kind", ["transformer", "rnn"])
def test_three_pairs_of_words_are_learned_with_defaults_alone(kind: str) -> None:
    listener = Listener()
    model = regard.train(
        "translation",
        train=[Example(source, target) for source, target in GREETINGS],
        model=kind,
        preset="tiny",
        settings={"tokenizer": "char"},
        callback=listener,
    )
    assert isinstance(model, Translator)
    answers = model.translate([source for source, _ in GREETINGS])
    assert [answer.text for answer in answers] == [target for _, target in GREETINGS]
    assert any("3 examples are too few to hold some out" in m for m in listener.messages)
    assert model.settings.training.metric == "chrf"
    assert any(
        m.startswith("chrf decides instead of bleu: 3 of 3 validation targets have fewer than four")
        for m in listener.messages
    )


@pytest.mark.parametrize(
    ("targets", "given", "metric"),
    [
        (["a b c", "a b"], False, "chrf"),
        (["a b c", "a b"], True, "chrf"),  # BLEU of a perfect model is 0
        (["a b c", "a b c d", "a b"], False, "chrf"),  # one of three alone would decide
        (["a b c", "a b c d", "a b"], True, "bleu"),
        (["a b c", "a b c d"], False, "bleu"),
    ],
)
def test_bleu_chooses_weights_only_where_targets_have_four_words(
    targets: list[str], given: bool, metric: str
) -> None:
    pairs = [(f"x {n}", target) for n, target in enumerate(targets * 10)]
    valid = [Example("x", target) for target in targets]
    settings = {"steps": 1, **({"metric": "bleu"} if given else {})}
    model, messages = train(pairs, valid=valid, settings=settings)
    assert model.settings.training.metric == metric
    assert any("chrf decides instead of bleu" in m for m in messages) == (metric == "chrf")


def test_the_findings_before_training() -> None:
    pairs = [(f"{source} {n}", f" {source}  {n} ") for n, (source, _) in enumerate(SHORT)]
    valid = [Example(*pairs[0]), Example("new", "neu")]
    _, messages = train(pairs, valid=valid, settings={"steps": 3, "warmup": 4})
    for expected in (
        "note: 3 updates are planned, fewer than the warm-up of 4",
        "note: 1 of 2 validation texts are in the training part too",
        "note: all 18 training targets equal their sources; was one file named twice?",
        "note: the validation part has 2 examples, too few",
    ):
        assert any(message.startswith(expected) for message in messages), expected


def test_the_findings_after_training(tmp_path: Path) -> None:
    pairs = [(f"{s} {s}", f"{t} {t} {t}") for s, t in SHORT]
    _, messages = train(pairs, tmp_path / "run", settings={"steps": 3})
    assert any(m.startswith("note: bleu is 0, no better than the 1 of") for m in messages)
    below = "note: BLEU 0.0 is worse than that of the baseline (copy of the source, "
    assert any(message.startswith(below) for message in messages)
    records = [json.loads(r) for r in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    found = [record["finding"] for record in records if record["step"] == 3 and "finding" in record]
    assert found == ["at-floor", "below-baseline"]


def test_a_resumed_run_keeps_the_settings_that_it_was_begun_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, settings = tmp_path / "run", {"epochs": 1}
    first, _ = train(SHORT, out, settings=settings)
    config = json.loads((out / "config.json").read_text())
    assert config["derived"] == ["warmup", "ema", "metric"]
    # Other rules, as of another version, change nothing about a run that has begun.
    monkeypatch.setattr(training_run, "derive", lambda *_, **__: pytest.fail("derived anew"))
    again, _ = train(SHORT, out, settings=settings, resume=True)
    assert again.settings == first.settings
    with pytest.raises(SettingsError, match="begun with warmup="):
        train(SHORT, out, settings={**settings, "warmup": 77}, resume=True)


def test_less_than_ten_examples_are_not_split(tmp_path: Path) -> None:
    _, messages = train(SHORT[:9], settings={"steps": 1})
    assert messages[0].startswith("9 examples are too few to hold some out")
    _, messages = train(SHORT[:10], settings={"steps": 1})
    assert messages[0] == "held out 1 of 10 examples for validation"


def test_weights_are_not_refitted_twice_on_the_same_examples(tmp_path: Path) -> None:
    """Examples that validate themselves are one part, for a classifier that has a solved part too."""
    rows = [Example(f"{n} is {m}", labels=(m,)) for n in "abcd" for m in ("good", "poor")]
    options: dict[str, Any] = {"preset": "tiny", "settings": {"epochs": 1}}
    one = regard.train("classification", train=rows, **options)
    two = regard.train("classification", train=rows, valid=rows, **options)
    for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True):
        assert a.equal(b)
