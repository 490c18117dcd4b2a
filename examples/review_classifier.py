"""Cleaning, vocabulary, padding, and a convolution with attention: reviews, positive or negative.

First the six steps of attention on paper. Then three files of labelled sentences, `text TAB 0 or 1`,
are read, cleaned, numbered and padded; a convolution reads three words at a time, attention makes one
vector of a sentence, and a dense layer says how positive it is. Without --data the program writes
three small files of its own. The sentence that is asked about at the end is never learned from.

    python examples/review_classifier.py --out runs/reviews
    python examples/review_classifier.py --out runs/reviews --data amazon.txt imdb.txt yelp.txt
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

os.environ.setdefault("KERAS_BACKEND", "torch")  # or jax, or tensorflow
import keras
from keras import layers

import regard
import regard.keras
from regard.viewing import AttentionRecord
from regard.viewing.figure import plot_history

Ids = NDArray[np.int64]
QUESTION = "Saw the movie today and thought it was a good effort, good messages for kids."
LONGEST = 30  # words of a sentence that are read
THINGS = {
    "shop.txt": ["phone", "case", "battery", "headset", "charger"],
    "film.txt": ["movie", "film", "story", "acting", "music"],
    "food.txt": ["food", "soup", "service", "place", "menu"],
}
GOOD = ["good", "great", "lovely", "excellent", "wonderful", "a joy"]
BAD = ["bad", "poor", "awful", "terrible", "boring", "a waste"]
FORMS = [
    "The {thing} was {word}.",
    "I thought the {thing} was {word}, and so did my kids!",
    'A "{word}" {thing}, they said',
    "{word}, {word}: that is the {thing} for you",
    'Saw the {thing} today. "It was {word}, and I say so.',
]


def write_files(folder: Path) -> list[Path]:
    """Write three small files of reviews; quotes in them need not be closed, as in real ones."""
    rng = np.random.default_rng(0)
    for name, things in THINGS.items():
        rows = []
        for number in range(200):
            form, thing, label = rng.choice(FORMS), rng.choice(things), number % 2
            text = form.format(thing=thing, word=rng.choice(GOOD if label else BAD))
            rows.append(f"{text}\t{label}\n")
        (folder / name).write_text("".join(rows), encoding="utf-8")
    return [folder / name for name in THINGS]


def read(paths: list[Path]) -> list[tuple[str, int]]:
    """Sentences and labels: one line, one row. Quotes are characters like any other."""
    rows = []
    for path in paths:
        for line in path.read_text(encoding="utf-8").split("\n"):
            text, tab, label = line.rpartition("\t")
            if tab and text.strip() != QUESTION:
                rows.append((text.strip(), int(label)))
    return rows


def clean(text: str) -> list[str]:
    """The words of a sentence in small letters, without punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def encode(sentences: list[list[str]], words: dict[str, int]) -> Ids:
    """Ids of the known words, with zeros behind the shorter sentences."""
    ids = np.zeros((len(sentences), LONGEST), dtype=np.int64)
    for row, sentence in enumerate(sentences):
        known = [words[word] for word in sentence if word in words][:LONGEST]
        ids[row, : len(known)] = known
    return ids


def build(words: int) -> tuple[Any, Any]:
    """The model to train, and one of the same layers that also returns the attention weights."""
    ids = layers.Input((None,), dtype="int32")
    real = keras.ops.not_equal(ids, 0)  # a convolution passes no mask on, so it is made by hand
    embedded = layers.Embedding(words + 1, 64)(ids)
    # Vectors of padding are 0: the last word has the same neighbour whatever the sentence is padded to.
    embedded = layers.Dropout(0.5)(embedded * keras.ops.cast(real, "float32")[:, :, None])
    seen = layers.Conv1D(64, 3, padding="same", activation="relu")(embedded)
    pooled, weights = regard.keras.AttentionPooling()(seen, mask=real, return_attention_scores=True)
    probability = layers.Dense(1, activation="sigmoid")(layers.Dropout(0.5)(pooled))
    return keras.Model(ids, probability), keras.Model(ids, [probability, weights])


def epochs_of(history: dict[str, list[float]]) -> list[dict[str, float]]:
    """The history of `fit`, as one entry for each epoch, training beside validation."""
    names = {"accuracy": "train_accuracy", "loss": "train_loss"}
    return [
        {"epoch": epoch + 1}
        | {names.get(name, name): values[epoch] for name, values in history.items()}
        for epoch in range(len(history["loss"]))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for result and pictures")
    parser.add_argument(
        "--data", type=Path, nargs="+", help="files of text TAB label (default: written)"
    )
    parser.add_argument(
        "--epochs", type=int, default=8, help="passes over the sentences (default 8)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of split and parameters (default 0)")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)

    regard.worked([1, 0, 1], [[1, 0, 0], [0, 1, 0], [1, 0, 1]], [[1, 2], [3, 4], [5, 6]])

    rows = read(arguments.data or write_files(arguments.out))
    rows = [rows[i] for i in np.random.default_rng(arguments.seed).permutation(len(rows))]
    sentences, labels = [clean(text) for text, _ in rows], np.array([label for _, label in rows])
    test, valid = len(rows) * 8 // 10, len(rows) * 7 // 10
    counts = Counter(word for sentence in sentences[:valid] for word in sentence)
    words = {word: i + 1 for i, word in enumerate(sorted(w for w, n in counts.items() if n > 1))}
    ids = encode(sentences, words)

    model, seeing = build(len(words))
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(
        ids[:valid],
        labels[:valid],
        validation_data=(ids[valid:test], labels[valid:test]),
        batch_size=32,
        epochs=arguments.epochs,
        verbose=2,
    )
    figure = plot_history(epochs_of(history.history), title="History of fit")
    figure.savefig(arguments.out / "history.png", dpi=150)

    found = model.predict(ids[test:], verbose=0)[:, 0] > 0.5
    simple = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10))
    simple.fit([text for text, _ in rows[:valid]], labels[:valid])
    known = [word for word in clean(QUESTION) if word in words]
    probability, weights = seeing.predict(encode([known], words), verbose=0)
    answer = "Positive" if probability[0, 0] > 0.5 else "Negative"
    result = {
        "sentences": len(rows),
        "test accuracy": float((found == labels[test:]).mean()),
        "TF-IDF and logistic regression": simple.score(
            [text for text, _ in rows[test:]], labels[test:]
        ),
        "attention on padding": float(weights[0, 0, len(known) :].max()),
        QUESTION: answer,
    }
    (arguments.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    record = AttentionRecord.of(weights[0, :, : len(known)], [answer], known, title=answer)
    record.save(arguments.out / "words.png")
    print("\n".join(f"{name}: {value}" for name, value in result.items()))
    print(f"see {arguments.out}/history.png and {arguments.out}/words.png")
    if answer != "Positive":
        sys.exit("the sentence is positive, and was not found so")


if __name__ == "__main__":
    main()
