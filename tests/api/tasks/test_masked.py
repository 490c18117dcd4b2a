"""Masked language models: a planted relation is learned, shown and of use, and a run goes on exactly."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regard
from regard.api import Classifier
from regard.api.corpus.readers import reader_of_model
from regard.api.inspection import inspect_folder
from regard.api.tasks.masked import MaskedLanguage
from regard.data import Example
from regard.errors import InputError, SettingsError
from regard.training import Callback, Progress

HOMES = {"fish": "sea", "bird": "nest", "bear": "cave", "bee": "hive"}
SETTINGS: dict[str, Any] = {
    "tokenizer": "word", "embedding": 32, "feedforward": 32, "self_attention_heads": 2, "layers": 1,
    "dropout": 0.0, "batch_tokens": 256, "warmup": 10, "learning_rate": 1e-2, "epochs": 12,
}  # fmt: skip


def sentences(count: int, seed: int) -> list[Example]:
    """The last word follows from the first; the one between does not."""
    draw = random.Random(seed)
    animals = [draw.choice(list(HOMES)) for _ in range(count)]
    return [Example(f"{a} {draw.choice(['old', 'red', 'small'])} {HOMES[a]}") for a in animals]


def labelled(count: int, seed: int) -> list[Example]:
    """Whether the animal is at home."""
    draw, found = random.Random(seed), []
    for number in range(count):
        animal = draw.choice(list(HOMES))
        home = HOMES[animal]
        others = [place for place in HOMES.values() if place != home]
        place, label = (home, "yes") if number % 2 else (draw.choice(others), "no")
        found.append(Example(f"{animal} red {place}", labels=(label,)))
    return found


def pretrain(out: Path | None, **options: Any) -> MaskedLanguage:
    data = {"train": sentences(600, 1), "valid": sentences(60, 2), "settings": SETTINGS}
    model = regard.train("language", model="masked", preset="tiny", out=out, **{**data, **options})
    assert isinstance(model, MaskedLanguage)
    return model


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> MaskedLanguage:
    return pretrain(tmp_path_factory.mktemp("models") / "animals")


def folder_of(model: MaskedLanguage) -> Path:
    assert model.folder is not None
    return model.folder


def test_the_planted_word_is_found_and_where_it_follows_from(pretrained: MaskedLanguage) -> None:
    loaded = regard.load(folder_of(pretrained))
    assert isinstance(loaded, MaskedLanguage)
    for animal, home in HOMES.items():
        (likely,) = loaded.fill(f"{animal} red [MASK]")
        assert likely[0][0] == home
        assert likely[0][1] > 0.5
        record = loaded.look(f"{animal} red [MASK]")
        assert record.prediction is not None
        assert record.prediction.labels == (home,)
        assert record.tokens["text"].pieces == ("[CLS]", animal, "red", "[MASK]", "[SEP]")
        heads = record.tracks[0].weights
        assert isinstance(heads, np.ndarray)
        weights = np.mean(heads, axis=0)
        assert weights[3, 1] > 2 * weights[3, 2]  # the animal, not the adjective
    first, second = loaded.fill("[MASK] red [MASK]", count=2)
    assert len(first) == len(second) == 2


def test_figures_beside_word_frequencies(pretrained: MaskedLanguage) -> None:
    found = pretrained.evaluate(sentences(60, 3), train=sentences(600, 1))
    perplexity, accuracy = found.scores
    frequencies = found.baselines["word frequencies"]
    assert (perplexity.name, accuracy.name) == ("perplexity", "accuracy")
    assert perplexity.value < 0.5 * frequencies[0].value
    assert accuracy.value > 2 * frequencies[1].value
    again = pretrained.evaluate(sentences(60, 3), train=sentences(600, 1))
    assert again.scores == found.scores  # the same words are masked


def test_the_folder_is_like_any_of_ours(pretrained: MaskedLanguage) -> None:
    assert inspect_folder(folder_of(pretrained)).problems == ()
    encoded = list(reader_of_model(pretrained).encode([]))
    assert encoded == []
    assert pretrained.summary().parameters == pretrained.num_parameters


class _Crash(Callback):
    def on_step(self, progress: Progress) -> None:
        if progress.step == 17:
            raise RuntimeError("the power went")


def test_a_run_that_crashed_masks_the_same_words(tmp_path: Path) -> None:
    settings = {**SETTINGS, "epochs": 2, "save_seconds": 0, "dropout": 0.2, "log_every": 1}
    whole = pretrain(None, settings=settings)
    with pytest.raises(RuntimeError, match="power"):
        pretrain(tmp_path / "run", settings=settings, callback=_Crash())
    assert (
        pretrain(tmp_path / "run", settings=settings, resume=True).history.losses
        == whole.history.losses
    )


def test_a_classifier_begins_with_it(pretrained: MaskedLanguage, tmp_path: Path) -> None:
    model = regard.train(
        "classification", model=folder_of(pretrained), train=labelled(128, 4), valid=labelled(20, 5),
        settings={"epochs": 1, "learning_rate": 1e-9, "warmup": 0, "ema": 0.0}, out=tmp_path / "home",
    )  # fmt: skip
    assert isinstance(model, Classifier)
    begun = pretrained.network.encoder_state()
    state = model.network.state_dict()
    for name, tensor in begun.items():
        assert float((state[f"readers.0.{name}"] - tensor).abs().max()) < 1e-6, name
    loaded = regard.load(tmp_path / "home")
    assert isinstance(loaded, Classifier)
    answer = loaded.classify("bee red hive", attention=True)[0]
    assert answer.probabilities == model.classify("bee red hive")[0].probabilities
    record = loaded.look("bee red hive")
    assert record.tokens["text"].pieces == ("[CLS]", "bee", "red", "hive", "[SEP]")
    rows = answer.aligned()
    assert rows is not None
    assert inspect_folder(tmp_path / "home").problems == ()
    assert loaded.data_facts["beginning"]["folder"] == str(folder_of(pretrained))


def test_words_without_labels_are_known_by_the_company_they_kept(tmp_path: Path) -> None:
    """Two families of words share contexts in unlabelled text; half of each family has labels."""
    families = {"wet": ("sea", "lake"), "dry": ("sand", "rock")}
    words = {family: [f"{family[0]}{letter}" for letter in "abcdef"] for family in families}
    draw = random.Random(0)
    lines = [
        Example(f"{draw.choice(words[family])} {draw.choice(families[family])}")
        for family in draw.choices(list(families), k=800)
    ]
    pretrain(
        tmp_path / "run", train=lines[:700], valid=lines[700:], settings={**SETTINGS, "epochs": 40}
    )

    def texts(part: slice) -> list[Example]:
        return [Example(word, labels=(f,)) for f, known in words.items() for word in known[part]]

    seen, unseen = texts(slice(0, 3)), texts(slice(3, 6))
    fresh = {name: SETTINGS[name] for name in
             ("tokenizer", "embedding", "feedforward", "self_attention_heads", "layers")}  # fmt: skip
    more = {"word_dropout": 0.0, "marks": True, "head": "first", "positions": "rotary"}

    def accuracies(model: str | Path, settings: dict[str, Any]) -> list[float]:
        shared = {"epochs": 60, "learning_rate": 2e-3, "dropout": 0.0, "ema": 0.0, "warmup": 5,
                  "validate_every": 20, "metric": "loss"}  # fmt: skip
        found = regard.train("classification", model=model, train=seen, valid=seen,
                             settings={**shared, **settings})  # fmt: skip
        return [found.evaluate(part).scores[0].value for part in (seen, unseen)]

    assert accuracies(tmp_path / "run", {}) == [100, 100]
    assert accuracies("transformer-classifier", {**fresh, **more}) == [100, 50]


def test_errors(pretrained: MaskedLanguage, classifier: Classifier) -> None:
    with pytest.raises(InputError, match=r"holds no \[MASK\]"):
        pretrained.fill("bee red hive")
    with pytest.raises(InputError, match="takes no target"):
        pretrained.look("bee", "hive")
    with pytest.raises(SettingsError, match=r"embedding=64: the encoder of .* decide"):
        regard.train("classification", model=folder_of(pretrained), train=labelled(40, 4),
                     settings={"embedding": 64})  # fmt: skip
    wrongs: tuple[dict[str, Any], ...] = ({"preset": "tiny"}, {"tune": "lora"})
    for wrong in wrongs:
        with pytest.raises(SettingsError, match="leave"):
            regard.train(
                "classification", model=folder_of(pretrained), train=labelled(40, 4), **wrong
            )
    with pytest.raises(InputError, match="choose another folder"):
        regard.train("classification", model=folder_of(pretrained), train=labelled(40, 4),
                     out=folder_of(pretrained), overwrite=True)  # fmt: skip
    with pytest.raises(InputError, match="translation cannot begin with one"):
        regard.train("translation", model=folder_of(pretrained), train=[("a", "b")])
    assert classifier.folder is not None
    with pytest.raises(InputError, match="holds a model of kind wide"):
        regard.train("classification", model=classifier.folder, train=labelled(40, 4))
