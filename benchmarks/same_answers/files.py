"""Small files to train on, always equal: dates, a made-up language, moods, colours, documents, a story."""

from __future__ import annotations

import json
import random
from pathlib import Path

from regard.data import dates

__all__ = ["write_files"]

COLOURS = ("red", "green", "blue", "gold", "grey", "pink")
THINGS = ("river", "stone", "bird", "lamp", "garden", "winter", "letter", "mirror")
DEEDS = ("sings", "falls", "waits", "turns", "shines", "sleeps")
PRAISE, BLAME = ("warm", "bright", "lovely", "clever"), ("dull", "empty", "slow", "bitter")


def write_files() -> None:
    """Write all files into the folder we are in."""
    _dates()
    _phrases(random.Random(3))
    _moods(random.Random(4))
    _colours(random.Random(5))
    _documents(random.Random(6))
    _story(random.Random(7))


def _write(name: str, lines: list[str]) -> None:
    Path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _dates() -> None:
    for name, count in {"train": 400, "test": 16, "many": 230}.items():
        examples = dates.generate(count, seed=3, part="train" if name == "train" else "test")
        _write(f"dates-{name}.src", [example.text for example in examples])
        _write(f"dates-{name}.tgt", [example.target or "" for example in examples])
    # Every word of a date belongs to the one word that is written.
    texts = Path("dates-test.src").read_text(encoding="utf-8").splitlines()
    _write(
        "dates-test.links", [" ".join(f"{n + 1}-1" for n in range(len(t.split()))) for t in texts]
    )


def _phrases(draw: random.Random) -> None:
    """A language in which the colour stands behind its thing; so it is known which word is which."""
    links = []
    for name, count in {"train": 200, "test": 12}.items():
        source, target = [], []
        for _ in range(count):
            colour, thing, deed = draw.choice(COLOURS), draw.choice(THINGS), draw.choice(DEEDS)
            source.append(f"the {colour} {thing} {deed}")
            target.append(f"{thing[::-1]}o {colour[::-1]}a {deed[:-1]}en")
        _write(f"phrases-{name}.src", source)
        _write(f"phrases-{name}.tgt", target)
        links = ["2-2 3-1 4-3"] * count
    _write("phrases-test.links", links)
    _write("phrases-strange.src", ["the red zyx sings", "", "the gold river wobbles and waits"])


def _moods(draw: random.Random) -> None:
    for name, count in {"train": 120, "test": 16}.items():
        rows = []
        for n in range(count):
            words = PRAISE if n % 2 else BLAME
            rows.append(
                f"A {draw.choice(words)} and {draw.choice(words)} film about a "
                f"{draw.choice(COLOURS)} {draw.choice(THINGS)}. It {draw.choice(DEEDS)}.\t"
                f"{'good' if n % 2 else 'bad'}"
            )
        _write(f"moods-{name}.tsv", rows)
    texts = Path("moods-test.tsv").read_text(encoding="utf-8").splitlines()
    _write("moods-test.txt", [*(row.partition("\t")[0] for row in texts), "", "Überraschend warm!"])


def _colours(draw: random.Random) -> None:
    for name, count in {"train": 90, "test": 12}.items():
        rows = []
        for _ in range(count):
            chosen = draw.sample(COLOURS[:4], draw.choice((1, 2)))
            rows.append(
                f"{' and '.join(chosen)} over the {draw.choice(THINGS)}\t{'|'.join(chosen)}"
            )
        _write(f"colours-{name}.tsv", rows)
    texts = Path("colours-test.tsv").read_text(encoding="utf-8").splitlines()
    _write("colours-test.txt", [row.partition("\t")[0] for row in texts])


def _documents(draw: random.Random) -> None:
    texts = []
    for name, count in {"train": 60, "test": 8}.items():
        rows = []
        for n in range(count):
            colour, thing, deed = draw.choice(COLOURS), draw.choice(THINGS), draw.choice(DEEDS)
            sentences = [
                f"Nobody {draw.choice(DEEDS)} here.",
                f"The {colour} {thing} of Zyx{n} {deed}.",
                f"It is {draw.choice(COLOURS)} outside.",
                f"Some {draw.choice(THINGS)} {draw.choice(DEEDS)}.",
            ]
            draw.shuffle(sentences)
            summary = f"The {colour} {thing} of Zyx{n} {deed}."
            rows.append(json.dumps({"source": sentences, "target": summary}))
            texts.append(" ".join(sentences))
        _write(f"documents-{name}.jsonl", rows)
    _write("documents-test.txt", [*texts[-6:], ""])
    # The summary is a sentence of its document; word for word the links are made for our eyes alone.
    _write("documents-test.links", ["1-1 2-2 3-3"] * 8)


def _story(draw: random.Random) -> None:
    for name, count in {"train": 150, "test": 15}.items():
        _write(
            f"story-{name}.txt",
            [
                f"The {draw.choice(COLOURS)} {draw.choice(THINGS)} {draw.choice(DEEDS)} while "
                f"the {draw.choice(THINGS)} {draw.choice(DEEDS)}."
                for _ in range(count)
            ],
        )
