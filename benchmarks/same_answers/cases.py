"""Every kind of model, small, and what each is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["CASES", "Case"]

QUICK: Mapping[str, object] = {
    "epochs": 8,
    "warmup": 5,
    "ema": 0.9,
    "log_every": 1,
    "patience": 0,
    "batch_tokens": 300,
}


@dataclass(frozen=True)
class Case:
    """A model to train and what it is asked.

    Args:
        name: its folder.
        train: arguments of `regard train` but for `--out` and settings.
        settings: single ones, by name.
        requests: commands; `{m}` stands for the folder.
        test: arguments of `--test`, for `evaluate` and `trust`.
        gold: file of word links, for models that write.
        trust: whether a verdict can be had.
    """

    name: str
    train: str
    settings: Mapping[str, object]
    requests: tuple[str, ...]
    test: str
    gold: str = ""
    trust: bool = True

    def training(self) -> list[str]:
        """Arguments of the command that trains it."""
        sets = [f"--set={name}={value}" for name, value in {**QUICK, **self.settings}.items()]
        words = [word for one in sets for word in one.split("=", 1)]
        return ["train", *self.train.split(), "--out", self.name, "--preset", "tiny", *words]

    def commands(self) -> Iterator[list[str]]:
        """Everything it is asked."""
        calls = [
            [word.format(m=self.name).replace("~", " ") for word in ask.split()]
            for ask in self.requests
        ]
        yield from calls
        yield ["evaluate", self.name, "--test", *self.test.split(), "--json"]
        if self.trust:
            links = ["--gold", self.gold] if self.gold else []
            words = ["trust", self.name, "--test", *self.test.split(), "--texts", "6", *links]
            yield words
            yield [*words, "--json"]
            yield next(command for command in calls if command[0] == "look")  # it has a verdict now


def _translates(text: str, source: str, more: str) -> tuple[str, ...]:
    return (
        f"translate {{m}} {source}",
        f"translate {{m}} {source} --json --beam 4 --n-best 3",
        f"translate {{m}} {source} --alignment --beam 1",
        f"translate {{m}} {source} --json --set method=sample --set top_k=5 --set seed=3",
        f"translate {{m}} {more}",
        f"look {{m}} {text}",
        f"look {{m}} {text} --layer 1 --out {{m}}.npz",
    )


def _classifies(texts: str) -> tuple[str, ...]:
    return (
        f"classify {{m}} {texts} --probability",
        f"classify {{m}} {texts} --json",
        "look {m} A~warm~film~about~a~blue~river.~It~turns.",
        "look {m} A~warm~film~about~a~blue~river.~It~turns. --out {m}.npz",
    )


def _summarizes() -> tuple[str, ...]:
    text = "Nobody~sings~here.~The~blue~river~of~Zyx3~falls.~It~is~pink~outside."
    return (
        "summarize {m} documents-test.txt",
        "summarize {m} documents-test.txt --json",
        f"look {{m}} {text}",
        f"look {{m}} {text} --out {{m}}.npz",
    )


_DATES = "translation --train dates-train.src dates-train.tgt"
_PHRASES = "translation --train phrases-train.src phrases-train.tgt"
_MOODS = "classification --train moods-train.tsv"
_TEST_DATES, _TEST_PHRASES = "dates-test.src dates-test.tgt", "phrases-test.src phrases-test.tgt"
_SIZES: Mapping[str, object] = {"width": 32, "heads": 4, "feedforward": 48, "learning_rate": 0.005}
_LETTERS: Mapping[str, object] = {"tokenizer": "char", "decoding.max_length": 12}
_FEW: Mapping[str, object] = {"vocabulary": 200, "learning_rate": 0.01}

CASES = (
    Case(
        "transformer",
        _DATES,
        {**_SIZES, **_LETTERS, "batch_tokens": 1500, "attention_dropout": 0.1},
        _translates("3~mai~2018", "dates-test.src", "dates-many.src"),
        _TEST_DATES,
        "dates-test.links",
    ),
    Case(
        "transformer-relative",
        _PHRASES,
        {
            **_SIZES,
            "joint": "false",
            "norm": "post",
            "activation": "gelu",
            "positions": "relative",
            "vocabulary": 60,
        },
        _translates("the~red~river~sings", "phrases-test.src", "phrases-strange.src"),
        _TEST_PHRASES,
        "phrases-test.links",
    ),
    Case(
        "transformer-alibi",
        _PHRASES,
        {
            **_SIZES,
            "tied": "false",
            "positions": "alibi",
            "tokenizer": "word",
            "batch_tokens": 100,
            "accumulate": 2,
        },
        _translates("the~red~river~sings", "phrases-test.src", "phrases-strange.src"),
        _TEST_PHRASES,
        "phrases-test.links",
    ),
    Case(
        "transformer-rotary",
        _PHRASES,
        {**_SIZES, "positions": "rotary", "vocabulary": 80},
        (
            "translate {m} phrases-test.src",
            "look {m} the~red~river~sings --target renobrg~dera~singen --pieces",
        ),
        _TEST_PHRASES,
        trust=False,
    ),
    Case(
        "rnn",
        f"{_PHRASES} --model rnn",
        {
            "tokenizer": "word",
            "embedding": 24,
            "width": 24,
            "learning_rate": 0.02,
            "batch_tokens": 100,
        },
        _translates("the~red~river~sings", "phrases-test.src", "phrases-strange.src"),
        _TEST_PHRASES,
        "phrases-test.links",
    ),
    Case(
        "rnn-lstm",
        f"{_DATES} --model rnn",
        {
            **_LETTERS,
            "batch_tokens": 1500,
            "cell": "lstm",
            "score": "general",
            "input_feeding": "false",
            "embedding": 16,
            "width": 24,
            "word_dropout": 0.1,
            "learning_rate": 0.02,
        },
        ("translate {m} dates-test.src --json --n-best 3", "look {m} 3~mai~2018"),
        _TEST_DATES,
        "dates-test.links",
    ),
    Case(
        "pointer",
        "summarization --train documents-train.jsonl --model pointer",
        {"embedding": 16, "width": 24, "min_count": 3, "max_length": 9, "learning_rate": 0.02},
        _summarizes(),
        "documents-test.jsonl",
        "documents-test.links",
    ),
    Case(
        "extractive",
        "summarization --train documents-train.jsonl",
        {"embedding": 16, "width": 16, "max_positions": 3, "learning_rate": 0.01},
        _summarizes(),
        "documents-test.jsonl",
    ),
    Case(
        "wide",
        _MOODS,
        {**_FEW, "embedding": 16},
        _classifies("moods-test.txt"),
        "moods-test.tsv",
    ),
    Case(
        "wide-cnn",
        f"{_MOODS} --model wide --valid moods-test.tsv",
        {
            **_FEW,
            "deep": "cnn",
            "deep_weight": 0.7,
            "words": 3,
            "skip_bigrams": 1,
            "lead_pairs": 2,
            "max_ngrams": 700,
            "loss": "hinge",
            "penalty": 0.8,
        },
        _classifies("moods-test.txt"),
        "moods-test.tsv",
    ),
    Case(
        "feedforward-several",
        "classification --train colours-train.tsv --label-separator | --model feedforward",
        {**_FEW, "embedding": 16},
        (
            "classify {m} colours-test.txt --probability",
            "classify {m} colours-test.txt --json",
            "look {m} red~and~blue~over~the~lamp",
        ),
        "colours-test.tsv",
    ),
    Case(
        "bigru",
        f"{_MOODS} --model bigru",
        {**_FEW, "embedding": 16, "width": 16, "members": 2, "layers": 2},
        _classifies("moods-test.txt"),
        "moods-test.tsv",
    ),
    Case(
        "cnn",
        f"{_MOODS} --model cnn",
        {
            **_FEW,
            "embedding": 16,
            "width": 8,
            "windows": "[1,3]",
            "self_attention_heads": 4,
            "max_pooling": "true",
            "heads": 2,
        },
        _classifies("moods-test.txt"),
        "moods-test.tsv",
    ),
    Case(
        "transformer-classifier",
        f"{_MOODS} --model transformer-classifier",
        {
            **_FEW,
            "embedding": 24,
            "self_attention_heads": 3,
            "feedforward": 32,
            "positions": "rotary",
            "head": "first",
        },
        _classifies("moods-test.txt"),
        "moods-test.tsv",
    ),
    Case(
        "hierarchical",
        f"{_MOODS} --model hierarchical",
        {**_FEW, "embedding": 16, "width": 12, "max_sentence_length": 5},
        _classifies("moods-test.txt"),
        "moods-test.tsv",
    ),
    Case(
        "lm",
        "language --train story-train.txt",
        {
            "width": 32,
            "heads": 4,
            "key_heads": 2,
            "feedforward": 48,
            "vocabulary": 90,
            "learning_rate": 0.01,
            "decoding.max_length": 12,
        },
        (
            "generate {m} The~red --seed 3 --count 3 --json",
            "generate {m} The --temperature 0.7 --top-k 5",
            "generate {m} The --set method=beam --set beam=3",
            "look {m} The~red~river~sings.",
        ),
        "story-test.txt",
        trust=False,
    ),
)
"""All kinds of model, and among them every setting that was given another name."""
