"""Tiny models of made-up languages, trained once in seconds."""

import random

import pytest

import regard
from regard.api.storage.verdict import save_verdict
from regard.data import Example
from regard.files import file_sha256
from regard.serving import ModelRegistry

GERMAN = "der die ein eine mann frau hund katze sieht jagt liebt . rot alt".split()  # noqa: SIM905
ENGLISH = "the the a a man woman dog cat sees chases loves . red old".split()  # noqa: SIM905
VERDICT = "Read this with care: <b>it</b> is a test."  # what `regard trust` found of "mood"
NEUTRAL = ["the", "film", "was", "a", "story", "with", "music", "and", "people"]


def sentences(count, seed=0):
    """Word for word: an adjective somewhere makes the places differ."""
    draw = random.Random(seed)
    into = dict(zip(GERMAN, ENGLISH, strict=True))
    for _ in range(count):
        words = [draw.choice(["der", "ein"]), draw.choice(["mann", "hund"])]
        words += [draw.choice(["sieht", "jagt", "liebt"]), draw.choice(["die", "eine"])]
        words += [draw.choice(["frau", "katze"]), "."]
        if draw.random() < 0.5:
            words.insert(1, draw.choice(["rot", "alt"]))
        yield " ".join(words), " ".join(into[word] for word in words)


def reviews(count, seed=0):
    draw = random.Random(seed)
    for _ in range(count):
        words = draw.choices(NEUTRAL, k=6)
        label = draw.choice(["positive", "negative"])
        words[draw.randrange(6)] = {"positive": "good", "negative": "bad"}[label]
        yield " ".join(words), label


def example(source, target=None, labels=()):
    return Example(source, target, labels, ("", 0), ())


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    return train_all(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def models(folders):
    return ModelRegistry.of(folders)


def train_all(runs):
    pairs = [example(*pair) for pair in sentences(300)]
    quick = {"ema": 0.0, "warmup": 10, "label_smoothing": 0.0, "batch_tokens": 1024}
    text = {"tokenizer": "word", "seed": 1}
    for name, epochs in (("de-en", 14), ("de-en-young", 2)):
        regard.train(
            "translation",
            train=pairs[:296],
            valid=pairs[296:],
            out=runs / name,
            model="rnn",
            preset="tiny",
            settings={**quick, **text, "epochs": epochs, "learning_rate": 0.01, "dropout": 0.0},
        )
    labelled = [example(text, labels=(label,)) for text, label in reviews(200)]
    regard.train(
        "classification",
        train=labelled[:190],
        valid=labelled[190:],
        out=runs / "mood",
        model="feedforward",
        preset="tiny",
        settings={**quick, "epochs": 4, "learning_rate": 0.02},  # right, and not yet sure of it
    )
    stories = [
        example(f"{a} {b}", target=a)
        for (a, _), (b, _) in zip(sentences(40), sentences(40, 1), strict=True)
    ]
    regard.train(
        "summarization",
        train=stories[:36],
        valid=stories[36:],
        out=runs / "gist",
        preset="tiny",
        settings={"epochs": 1},
    )
    weights = file_sha256(runs / "mood" / "model.safetensors")
    save_verdict(runs / "mood", {"sentence": VERDICT}, weights=weights)
    return [runs / name for name in ("de-en", "de-en-young", "mood", "gist")]
