"""Bidirectional GRU, attention layer and softmax over classes: the language that a name is in.

The names of countries in six languages come from the package babel, so there is nothing to download.
The network reads a name letter by letter in both directions, attention makes one vector of the
letters, and a softmax gives each language its probability. `fit` watches validation data, and its
history is drawn. The weights show which letters gave the language away.

    python examples/text_classifier.py --out runs/languages
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from babel import Locale
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

os.environ.setdefault("KERAS_BACKEND", "torch")  # or jax, or tensorflow
import keras
from keras import layers

import regard.keras
from regard.viewing import AttentionRecord
from regard.viewing.figure import plot_history

Ids = NDArray[np.int64]
LANGUAGES = {
    "de": "German", "es": "Spanish", "fi": "Finnish", "fr": "French", "pl": "Polish", "tr": "Turkish",
}  # fmt: skip
LONGEST = 20  # letters of a name


def known_names() -> list[tuple[str, int]]:
    """Names of countries, tongues and currencies, with the number of the language they are in.

    A name that two languages share is left out.
    """
    found: dict[str, set[int]] = {}
    for number, language in enumerate(LANGUAGES):
        locale = Locale(language)
        for names in (locale.territories, locale.languages, locale.currencies):
            for name in map(str.lower, names.values()):
                if 4 <= len(name) <= LONGEST and name.replace(" ", "").isalpha():
                    found.setdefault(name, set()).add(number)
    return sorted((name, min(numbers)) for name, numbers in found.items() if len(numbers) == 1)


def encode(names: list[str], letters: list[str]) -> Ids:
    """Ids of the letters from 1 on, with zeros behind the shorter names."""
    ids = np.zeros((len(names), LONGEST), dtype=np.int64)
    for row, name in enumerate(names):
        ids[row, : len(name)] = [letters.index(letter) + 1 for letter in name]
    return ids


def build(letters: int, classes: int) -> tuple[Any, Any]:
    """The model to train, and one of the same layers that also returns the attention weights."""
    names = layers.Input((None,), dtype="int32")
    # mask_zero: the layers behind know what is padding, and the softmax of the attention leaves it out.
    embedded = layers.Embedding(letters + 1, 32, mask_zero=True)(names)
    states = layers.Bidirectional(layers.GRU(32, return_sequences=True))(embedded)
    pooled, weights = regard.keras.AttentionPooling()(states, return_attention_scores=True)
    probabilities = layers.Dense(classes, activation="softmax")(layers.Dropout(0.3)(pooled))
    return keras.Model(names, probabilities), keras.Model(names, [probabilities, weights])


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
    parser.add_argument("--epochs", type=int, default=7, help="passes over the names")
    parser.add_argument("--seed", type=int, default=0, help="of split and parameters (default 0)")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)

    examples = known_names()
    order = np.random.default_rng(arguments.seed).permutation(len(examples))
    names = [examples[i][0] for i in order]
    labels = np.array([examples[i][1] for i in order])
    letters = sorted(set("".join(names)))
    ids = encode(names, letters)
    test, valid = len(names) - 200, len(names) - 350
    rows = [
        f"{name}\t{list(LANGUAGES.values())[label]}\n"
        for name, label in zip(names, labels, strict=True)
    ]
    (arguments.out / "names.tsv").write_text("".join(rows[:test]), encoding="utf-8")

    model, seeing = build(len(letters), len(LANGUAGES))
    model.compile(
        keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    history = model.fit(
        ids[:valid],
        labels[:valid],
        validation_data=(ids[valid:test], labels[valid:test]),
        batch_size=64,
        epochs=arguments.epochs,
        verbose=2,
    )
    plot_history(epochs_of(history.history), title="History of fit").savefig(
        arguments.out / "history.png", dpi=150
    )

    probabilities, weights = seeing.predict(ids[test:], verbose=0)
    found = probabilities.argmax(-1)
    counts = np.stack([(ids == letter + 1).sum(1) for letter in range(len(letters))], 1)
    simple = LogisticRegression(max_iter=1000).fit(counts[:valid], labels[:valid])
    result = {
        "names": len(names),
        "test accuracy": float((found == labels[test:]).mean()),
        "logistic regression on counts of letters": simple.score(counts[test:], labels[test:]),
        "largest class": float(np.bincount(labels[test:]).max() / len(found)),
        "attention on padding": float(weights[:, 0][ids[test:] == 0].max()),
    }
    (arguments.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    surest = int(
        np.argmax(probabilities.max(-1) * (found == labels[test:]) * (ids[test:] != 0).sum(1))
    )
    name, language = names[test + surest], list(LANGUAGES.values())[found[surest]]
    record = AttentionRecord.of(
        weights[surest, :, : len(name)], [language], list(name), title=f"{name}: {language}"
    )
    record.save(arguments.out / "letters.png")
    print("\n".join(f"{name}: {value:.4g}" for name, value in result.items()))
    print(f"see {arguments.out}/history.png and {arguments.out}/letters.png")
    if result["test accuracy"] <= result["logistic regression on counts of letters"]:
        sys.exit("attention did no better than counting letters")


if __name__ == "__main__":
    main()
