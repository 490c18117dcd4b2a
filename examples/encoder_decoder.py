"""An LSTM encoder-decoder with attention, in five stages: German numbers to English ones.

"drei hundert zwei und vierzig" is "three hundred forty two": English says the tens before the units,
so the decoder has to look elsewhere for each word. The five stages are encoding, scores, weighted
sum, concatenation and output. 700 of the numbers up to 999 are for training; the others are new.

    python examples/encoder_decoder.py --out runs/numbers
    python examples/encoder_decoder.py --out runs/leak --unshifted  # a decoder that reads the answer
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("KERAS_BACKEND", "torch")  # or jax, or tensorflow
import keras
from keras import layers

import regard.keras
from regard.viewing import AttentionRecord

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]

WORDS = {  # German to English, in the order of the numbers
    "ein": "one", "zwei": "two", "drei": "three", "vier": "four", "fünf": "five", "sechs": "six",
    "sieben": "seven", "acht": "eight", "neun": "nine", "zehn": "ten", "elf": "eleven", "zwölf": "twelve",
    "dreizehn": "thirteen", "vierzehn": "fourteen", "fünfzehn": "fifteen", "sechzehn": "sixteen",
    "siebzehn": "seventeen", "achtzehn": "eighteen", "neunzehn": "nineteen", "zwanzig": "twenty",
    "dreißig": "thirty", "vierzig": "forty", "fünfzig": "fifty", "sechzig": "sixty", "siebzig": "seventy",
    "achtzig": "eighty", "neunzig": "ninety", "hundert": "hundred",
}  # fmt: skip
GERMAN = list(WORDS)
START, END = "<start>", "<end>"
WIDTH = 64


def in_german(number: int) -> list[str]:
    """The words of a number from 1 to 999, as a German says them: units before tens."""
    hundreds, rest = divmod(number, 100)
    tens, units = divmod(rest, 10) if rest >= 20 else (0, rest)
    words = [GERMAN[hundreds - 1], "hundert"] if hundreds else []
    words += [GERMAN[units - 1]] if units else []
    words += ["und"] if units and tens else []
    return words + ([GERMAN[tens + 17]] if tens else [])


def in_english(number: int) -> list[str]:
    """The words of a number from 1 to 999: the German ones, with the tens before the units."""
    german = in_german(number)
    if "und" in german:
        at = german.index("und")
        german = [*german[: at - 1], german[at + 1], german[at - 1]]
    return [WORDS[word] for word in german]


def on_its_word(weights: Floats, german: list[str], english: list[str]) -> list[float]:
    """The weight on the German word of each English one, where it stands there once."""
    originals = [next(word for word in GERMAN if WORDS[word] == each) for each in english]
    return [
        float(weights[row, german.index(word)])
        for row, word in enumerate(originals)
        if german.count(word) == 1
    ]


def vocabulary(texts: list[list[str]]) -> list[str]:
    """Words by id. Id 0 is padding, which `mask_zero` of `Embedding` leaves out."""
    return ["", *sorted({word for words in texts for word in words} | {START, END})]


def encode(texts: list[list[str]], words: list[str]) -> Ids:
    """Ids of the texts, with zeros behind the shorter ones."""
    ids = np.zeros((len(texts), max(len(text) for text in texts)), dtype=np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = [words.index(word) for word in text]
    return ids


def build(source_words: int, target_words: int) -> tuple[Any, Any]:
    """The model to train, and one of the same layers that also returns the attention weights."""
    source = layers.Input((None,), dtype="int32", name="source")
    begun = layers.Input((None,), dtype="int32", name="begun")
    # 1. Encoding: a state for every word of the source, and the last one, from which the decoder begins.
    embedded = layers.Embedding(source_words, WIDTH, mask_zero=True)(source)
    read, *last = layers.LSTM(WIDTH, return_sequences=True, return_state=True)(embedded)
    # The last state has read everything; with its own word added, each state is worth looking at.
    encoded = layers.Add()([read, embedded])
    written = layers.Embedding(target_words, WIDTH, mask_zero=True)(begun)
    states = layers.LSTM(WIDTH, return_sequences=True)(written, initial_state=last)
    # 2. Scores of all source words for each state of the decoder, and their softmax. The mask of the
    #    Embedding comes along, so padding gets no weight. 3. The weighted sum of the encoded words.
    attention = regard.keras.AdditiveAttention()
    context, weights = attention([states, encoded], return_attention_scores=True)
    # 4. Concatenation of what was found and the state that looked for it.
    both = layers.Concatenate()([context, states])
    # 5. Output: probabilities of the next word.
    output = layers.Dense(target_words, activation="softmax")(both)
    return keras.Model([source, begun], output), keras.Model([source, begun], [output, weights])


def translate(seeing: Any, source: Ids, words: list[str], longest: int) -> tuple[Ids, Floats]:
    """Write one word after another from START alone; the ids, and the weights of each."""
    begun = np.full((len(source), 1), words.index(START))
    for _ in range(longest):
        probabilities, weights = seeing.predict([source, begun], verbose=0)
        begun = np.concatenate([begun, probabilities[:, -1:].argmax(-1)], axis=1)
    return begun[:, 1:], weights


def until_end(ids: Ids, words: list[str]) -> list[str]:
    """The words of one answer, up to END."""
    found = [words[i] for i in ids]
    return found[: found.index(END)] if END in found else found


def share_right(answers: list[list[str]], wanted: list[list[str]]) -> float:
    """The share of answers without an error."""
    return float(np.mean([a == b for a, b in zip(answers, wanted, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for result, history and picture"
    )
    parser.add_argument(
        "--epochs", type=int, default=12, help="passes over the numbers (default 12)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of split and parameters (default 0)")
    parser.add_argument(
        "--unshifted", action="store_true", help="let the decoder read what it is to write"
    )
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)

    numbers = np.random.default_rng(arguments.seed).permutation(np.arange(1, 1000))
    german, english = [in_german(n) for n in numbers], [in_english(n) for n in numbers]
    for language, texts in (("de", german), ("en", english)):
        lines = "".join(" ".join(text) + "\n" for text in texts[:700])
        (arguments.out / f"numbers.{language}").write_text(lines, encoding="utf-8")
    source_words, target_words = vocabulary(german), vocabulary(english)
    source = encode(german, source_words)
    # The decoder reads START and the words; it is to write the words and END: one position apart.
    wanted = encode([[*text, END] for text in english], target_words)
    begun = (
        wanted
        if arguments.unshifted
        else encode([[START, *text] for text in english], target_words)
    )

    model, seeing = build(len(source_words), len(target_words))
    optimizer = keras.optimizers.Adam(1e-2)
    model.compile(optimizer, "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    history = model.fit(
        [source[:700], begun[:700]],
        wanted[:700],
        sample_weight=(wanted[:700] != 0).astype("float32"),
        batch_size=50,
        epochs=arguments.epochs,
        verbose=2,
    )
    found, weights = translate(seeing, source[700:], target_words, wanted.shape[1])
    answers = [until_end(ids, target_words) for ids in found]
    test = list(zip(german[700:], english[700:], strict=True))
    in_order = [[WORDS[word] for word in text if word != "und"] for text in german[700:]]
    shares = [on_its_word(row, *pair) for row, pair in zip(weights, test, strict=True)]
    result = {
        "accuracy in training, word by word": history.history["accuracy"][-1],
        "new numbers without an error": share_right(answers, english[700:]),
        "word by word, in the German order": share_right(in_order, english[700:]),
        "attention on the word's original": float(np.mean(np.concatenate(shares))),
    }
    (arguments.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    longest = max(range(len(test)), key=lambda i: len(test[i][0]))
    rows = [target_words[i] or "(pad)" for i in found[longest]]
    columns = test[longest][0]
    record = AttentionRecord.of(weights[longest, :, : len(columns)], rows, columns)
    record.save(arguments.out / "map.png")
    print("\n".join(f"{name}: {value:.3f}" for name, value in result.items()))
    print(f"see {arguments.out}/map.png")
    if result["new numbers without an error"] <= result["word by word, in the German order"]:
        sys.exit("no better than word by word")


if __name__ == "__main__":
    main()
