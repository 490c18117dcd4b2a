"""N-grams: what they are, against scikit-learn's; the wide part: solved, explained, saved."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from regard.models import build, configure, from_config
from regard.models.classifiers.ngrams import Ngrams
from regard.models.classifiers.settings import WideSettings
from regard.models.classifiers.wide_and_deep import Wide, WideAndDeep
from regard.text import Tokenizer

TEXTS = [
    "Good case, excellent value!",
    "it's not good",
    "not a good case at all",
    "excellent excellent value",
    "never again :(",
    "an excellent case",
    "it's bad",
]
TARGETS = torch.tensor([1, 0, 0, 1, 0, 1, 0])


def padded(texts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(text) for text in texts])
    ids = torch.zeros(len(texts), int(lengths.max()), dtype=torch.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    return ids, lengths


def found(
    texts: list[str], *, words: int, characters: int, skips: int = 0, leads: int = 0
) -> list[tuple[list[str], list[str]]]:
    """The n-grams of each text as strings, words and characters, by way of one id per character."""
    alphabet = sorted({*"".join(texts)})
    code, end = Ngrams.alphabet(["", *alphabet])
    ngrams = Ngrams(code, end, words=words, skips=skips, leads=leads, characters=characters)
    ids, lengths = padded([[alphabet.index(c) + 1 for c in text] for text in texts])
    spelling = ngrams.spell(ids.numpy(), lengths.numpy())
    text = "".join(map(chr, spelling.code))
    occurrences = ngrams.occurrences(spelling)
    rows: list[tuple[list[str], list[str]]] = [([], []) for _ in texts]
    names: dict[int, str] = {}
    for key, row, start, end in zip(*occurrences, strict=True):
        name = text[start:end]
        rows[row][key & 1].append(name)
        # One key, one n-gram; in words the spaces between them do not count.
        assert names.setdefault(int(key), name).split() == name.split()
    return rows


def test_ngrams_by_hand() -> None:
    (words, characters), (none, nothing) = found(["No, no!", ""], words=2, characters=3)
    assert sorted(words) == sorted(["no", ",", "no", "!", " no", "no,", ", no", "no!"])
    two = [" n", "no", "o,", ", ", " n", "no", "o!", "! "]
    three = [" no", "no,", "o, ", " no", "no!", "o! "]
    assert sorted(characters) == sorted(two + three)
    assert none == nothing == []


def test_pairs_that_leave_words_out() -> None:
    """Each distance is a pair of its own, and none reaches into the next text."""
    (words, _), (others, _) = found(["a b a", "a a"], words=2, skips=2, characters=2)
    neighbours = ["a", "b", "a", " a", "a b", "b a"]
    assert sorted(words) == sorted([*neighbours, " a b", "a b a", " a b a"])
    assert sorted(others) == sorted(["a", "a", " a", "a a", " a a"])


def test_beginnings_beside_every_later_word() -> None:
    """One and two words at the beginning, with each word after them: no other text's, and not the start."""
    texts = ["a b a c", "", "c d", "d"]
    (words, _), (none, _), (others, _), (one, _) = found(texts, words=1, leads=2, characters=2)
    pairs = ["a b", "a b a", "a b a c", "a b a", "a b a c"]
    assert sorted(words) == sorted(["a", "b", "a", "c", *pairs])
    assert (none, sorted(others), one) == ([], ["c", "c d", "d"], ["d"])


def test_a_beginning_and_a_later_word_are_the_same_pair_at_any_distance() -> None:
    code, end = Ngrams.alphabet(["", *"abcd "])
    ngrams = Ngrams(code, end, words=1, leads=2, characters=1)

    def pairs(text: str) -> set[int]:
        ids = np.array([["abcd ".index(c) + 1 for c in text]])
        return {*ngrams.occurrences(ngrams.spell(ids, np.array([len(text)]))).key.tolist()}

    assert pairs("a b c") < pairs("a b d d c")
    assert len(pairs("a b c") & pairs("a d c")) == 3  # a; c; a, c
    assert len(pairs("a b c") & pairs("c b a")) == 3  # the words alone


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("ab'!. é3", max_size=12), min_size=1, max_size=3))
def test_character_ngrams_are_those_of_scikit_learn(texts: list[str]) -> None:
    """It counts a word that is shorter than n - 2 once more, with its spaces; it is there already."""
    analyse = CountVectorizer(analyzer="char_wb", ngram_range=(2, 4)).build_analyzer()
    for text, (_, characters) in zip(texts, found(texts, words=1, characters=4), strict=True):
        assert {*characters} == {*analyse(text)}
        assert len(characters) <= len(analyse(text))


def learned(
    labels: int = 2, targets: torch.Tensor = TARGETS, **values: Any
) -> tuple[Wide, Tokenizer]:
    tokenizer = Tokenizer.train(TEXTS, kind="bpe", size=60, lowercase=True)
    wide = Wide(WideSettings(size=len(tokenizer), labels=labels, **values))
    wide.fit(tokenizer.spelling, [e.ids for e in tokenizer.encode_batch(TEXTS)], targets)
    return wide, tokenizer


def read(tokenizer: Tokenizer, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    return padded([e.ids for e in tokenizer.encode_batch(texts)])


@pytest.mark.parametrize("margin", ["logistic", "hinge"])
@pytest.mark.parametrize(("longest", "skips", "leads"), [(2, 0, 0), (3, 2, 0), (2, 1, 3)])
def test_the_same_as_scikit_learn_made_by_hand(
    longest: int, skips: int, leads: int, margin: str
) -> None:
    """Two TF-IDF matrices side by side, scaled by the log-count ratio, in a linear classifier."""
    wide, tokenizer = learned(words=longest, skips=skips, leads=leads, margin=margin)
    new = ["a good value", "not excellent", "it's good, not bad!", "xyz"]

    def words(text: str) -> list[str]:
        found = ["<start>", *re.findall(r"[\w']+|[^\w\s]", text.lower())]
        runs = [zip(*(found[i:] for i in range(n)), strict=False) for n in range(1, longest + 1)]
        pairs = [zip([d] * 99, found, found[d:], strict=False) for d in range(2, skips + 2)]
        led = [
            zip([found[1 : n + 1]] * 99, found[n + 1 :], strict=False) for n in range(1, leads + 1)
        ]
        every = [*runs, *pairs, *led]
        return [repr(run) for part in every for run in part if run != ("<start>",)]

    parts = [
        TfidfVectorizer(analyzer=words, sublinear_tf=True),
        TfidfVectorizer(ngram_range=(2, 5), sublinear_tf=True, analyzer="char_wb"),
    ]
    train = np.hstack([part.fit_transform(TEXTS).toarray() for part in parts])
    test = np.hstack([part.transform(new).toarray() for part in parts])
    yes = TARGETS.numpy() == 1
    ratio = np.log((train[yes].sum(0) + 0.1) / 3) - np.log((train[~yes].sum(0) + 0.1) / 4)
    solver = LogisticRegression(C=1 / wide.penalty, tol=1e-8, max_iter=1000)
    if margin == "hinge":
        solver = LinearSVC(C=1 / wide.penalty, tol=1e-8, max_iter=10_000)
    expected = solver.fit(train * abs(ratio), yes).decision_function(test * abs(ratio))
    expected *= 2 if margin == "hinge" else 1
    scores = wide(*read(tokenizer, new))
    np.testing.assert_allclose((scores[:, 1] - scores[:, 0]).numpy(), expected, atol=2e-3)
    assert len(wide.key) == train.shape[1]


def test_contributions_are_the_tokens_shares() -> None:
    wide, tokenizer = learned()
    ids, lengths = read(tokenizer, ["not a good case", "excellent!", "never"])
    shares = wide.contributions(ids, lengths)
    assert shares.shape == (*ids.shape, 2)
    torch.testing.assert_close(shares.sum(1) + wide.bias, wide(ids, lengths))
    assert not shares[2, int(lengths[2]) :].any()
    words = tokenizer.encode("not a good case").tokens
    of_not = sum(float(shares[0, i, 0]) for i, t in enumerate(words) if t in "▁not")
    assert of_not == max(of_not, *shares[0, :, 0].tolist())


def test_padding_changes_nothing() -> None:
    wide, tokenizer = learned()
    ids, lengths = read(tokenizer, ["not a good case", "excellent", "never"])
    alone = torch.cat([wide(ids[i : i + 1, :n], lengths[i : i + 1]) for i, n in enumerate(lengths)])
    torch.testing.assert_close(wide(ids, lengths), alone)


def test_several_classes_and_several_labels() -> None:
    classes = torch.tensor([0, 1, 1, 2, 1, 2, 1])
    wide, tokenizer = learned(3, classes)
    ids, lengths = read(tokenizer, TEXTS)
    assert torch.equal(wide(ids, lengths).argmax(1), classes)
    several = torch.stack([TARGETS == 1, torch.ones(7, dtype=torch.bool), classes == 1], 1)
    wide, _ = learned(3, several.float())
    scores = wide(ids, lengths)
    assert torch.equal(scores > 0, several)
    # A label that every text has leaves nothing to learn but that: 7.5 to 0.5.
    torch.testing.assert_close(scores[:, 1], torch.full((7,), float(np.log(15.0))))


def test_only_the_most_frequent_are_kept() -> None:
    tokenizer = Tokenizer.train(TEXTS, kind="word", size=60, lowercase=True)
    wide = Wide(WideSettings(size=len(tokenizer), labels=2, most_ngrams=5))
    wide.fit(tokenizer.spelling, [e.ids for e in tokenizer.encode_batch(TEXTS)], TARGETS)
    assert len(wide.key) == 5
    assert float(wide.idf.max()) <= 1 + np.log(8 / 4) + 1e-6  # in three texts at least


@pytest.fixture
def model() -> tuple[WideAndDeep, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(TEXTS, kind="bpe", size=60, lowercase=True)
    network = build(configure("wide", "tiny", size=len(tokenizer), labels=2))
    network.survey(tokenizer.spelling, [e.ids for e in tokenizer.encode_batch(TEXTS)], TARGETS)
    return network, *read(tokenizer, TEXTS)


def test_the_deep_part_learns_alone_and_both_answer(
    model: tuple[WideAndDeep, torch.Tensor, torch.Tensor],
) -> None:
    network, ids, lengths = model
    network.train()
    network.deep.eval()  # no dropout
    torch.testing.assert_close(network(ids, lengths).logits, network.deep(ids, lengths).logits)
    network.eval()
    output, deep = network(ids, lengths), network.deep(ids, lengths)
    expected = network.wide(ids, lengths) + network.settings.share * deep.logits
    torch.testing.assert_close(output.logits, expected)
    assert output.members is None
    assert output.maps["pooling"][0].shape == (7, 2, 1, ids.shape[1])
    assert torch.equal(output.logits.argmax(1), TARGETS)


def test_saved_and_loaded(
    model: tuple[WideAndDeep, torch.Tensor, torch.Tensor], tmp_path: Path
) -> None:
    network, ids, lengths = model
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    again = build(from_config(network.settings.model_dump()))
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    network.eval()
    again.eval()
    assert torch.equal(again(ids, lengths).logits, network(ids, lengths).logits)


def test_sizes_of_ngrams_are_saved_and_older_models_have_none() -> None:
    """Models from before `leads` do not name it."""
    for leads in (0, 2):
        wide, tokenizer = learned(words=1, skips=1, leads=leads)
        values = {"size": len(tokenizer), "labels": 2, "words": 1, "skips": 1}
        values |= {"leads": leads} if leads else {}
        values |= {"letters": len(wide.code), "ngrams": len(wide.key)}
        again = Wide(WideSettings(**values))
        again.load_state_dict(wide.state_dict())
        batch = read(tokenizer, TEXTS)
        assert torch.equal(again(*batch), wide(*batch))


def test_settled_with_more_texts(model: tuple[WideAndDeep, torch.Tensor, torch.Tensor]) -> None:
    """The n-grams stay, their weights follow the new labels."""
    network, ids, lengths = model
    keys, shapes = network.wide.key.clone(), {k: v.shape for k, v in network.state_dict().items()}
    texts = [row[:n].tolist() for row, n in zip(ids, lengths, strict=True)]
    assert network.settle(texts, 1 - TARGETS)
    assert torch.equal(network.wide(ids, lengths).argmax(1), 1 - TARGETS)
    assert torch.equal(network.wide.key, keys)
    assert {k: v.shape for k, v in network.state_dict().items()} == shapes
