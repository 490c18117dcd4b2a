"""Scores of generated text: BLEU and chrF by sacreBLEU, ROUGE by rouge-score, exact match."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, Literal, get_args

import numpy as np

from regard.errors import InputError, SettingsError, nearest
from regard.evaluation.metrics.intervals import Floats, bootstrap
from regard.evaluation.metrics.scores import Score
from regard.text import word_spans

__all__ = [
    "References",
    "RougeScorer",
    "bleu",
    "chrf",
    "count_with_4grams",
    "exact_match",
    "rouge",
]

References = Sequence[str | Sequence[str]]
"""One reference text, or several, for each example."""

BleuTokens = Literal["13a", "intl", "zh", "char"]
RougeTokens = Literal["english", "stemmed", "words"]


def bleu(
    hypotheses: Sequence[str],
    references: References,
    *,
    tokenize: BleuTokens = "13a",
    lowercase: bool = False,
    seed: int = 0,
) -> Score:
    """Compute corpus BLEU (Papineni et al. 2002) with sacreBLEU (Post 2018).

    Texts are detokenized; sacreBLEU tokenizes them. The interval resamples sentence statistics.

    >>> from regard.evaluation import bleu
    >>> print(f"{bleu(['the cat sat on a mat'], ['the cat sat on the mat']).value:.1f}")
    53.7

    Args:
        hypotheses: one text per example.
        references: one or more reference texts per example.
        tokenize: `"13a"` is the usual tokenization in papers; `"intl"` splits the punctuation of all
            scripts, `"zh"` Chinese characters, and `"char"` suits languages without spaces. It is
            part of the signature.
        lowercase: whether case is ignored; part of the signature.
        seed: seed of the bootstrap.

    Raises:
        InputError: no texts, different numbers of texts and references, or no reference of a text.
        SettingsError: an unknown tokenization.
    """
    from sacrebleu.metrics.bleu import BLEU

    _check_choice("tokenize", tokenize, get_args(BleuTokens))
    # "force" only silences a warning about tokenized text, as some data sets have.
    metric = BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
    return _sacrebleu("BLEU", metric, hypotheses, references, seed)


def count_with_4grams(references: References) -> int:
    """Count the examples with a reference of four words or more, as BLEU counts words.

    Shorter texts have no 4-grams: among texts that are all shorter, a perfect system has a BLEU of 0.

    >>> from regard.evaluation import count_with_4grams
    >>> count_with_4grams(["rotes Auto", "ein rotes Auto."])
    1

    Args:
        references: one or more reference texts per example.
    """
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenize: Callable[[str], str] = Tokenizer13a()  # type: ignore[no-untyped-call]
    by_example = ([texts] if isinstance(texts, str) else texts for texts in references)
    return sum(any(len(tokenize(text).split()) >= 4 for text in texts) for texts in by_example)


def chrf(
    hypotheses: Sequence[str], references: References, *, words: int = 0, seed: int = 0
) -> Score:
    """Compute corpus chrF (Popović 2015): F-score of character n-grams up to 6, recall weighted double.

    >>> from regard.evaluation import chrf
    >>> chrf(["the cat"], ["the cat"], words=2).name
    'chrF++'

    Args:
        hypotheses: one text per example.
        references: one or more reference texts per example.
        words: longest word n-gram that counts besides the characters; 2 is chrF++.
        seed: seed of the bootstrap.

    Raises:
        InputError: no texts, different numbers of texts and references, or no reference of a text.
    """
    from sacrebleu.metrics.chrf import CHRF

    name = "chrF" + "+" * words
    return _sacrebleu(name, CHRF(word_order=words), hypotheses, references, seed)


def _sacrebleu(
    name: str, metric: Any, hypotheses: Sequence[str], references: References, seed: int
) -> Score:
    """Compute a metric of sacreBLEU, and its interval from the statistics of the sentences."""
    by_example = _reference_lists(hypotheses, references)
    most = max(map(len, by_example))
    # sacreBLEU takes one list for each first, second, ... reference, with None where there is none.
    streams = [[texts[i] if i < len(texts) else None for texts in by_example] for i in range(most)]
    value = float(metric.corpus_score(list(hypotheses), streams).score)
    # sacreBLEU's own bootstrap resamples in the same way, but fails on chrF by mixing float types.
    statistics = np.array(metric._extract_corpus_statistics(list(hypotheses), streams))

    def scores(sums: Floats) -> Floats:
        rows = sums.astype(np.int64).tolist()
        return np.array([float(metric._compute_score_from_stats(row).score) for row in rows])

    interval = bootstrap(statistics, scores, seed=seed)
    return Score(name, value, interval, str(metric.get_signature()))


def rouge(
    hypotheses: Sequence[str],
    references: References,
    *,
    tokens: RougeTokens = "english",
    seed: int = 0,
) -> tuple[Score, Score, Score]:
    """Compute the F-scores of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), means over the examples.

    A text with several references is compared with the one of the best ROUGE-1, as for SciTLDR
    (Cachola et al. 2020), so that all three scores refer to one reference.

    >>> from regard.evaluation import rouge
    >>> [round(score.value) for score in rouge(["a b c d"], ["a b x d"])]
    [75, 33, 75]

    Args:
        hypotheses: one text per example.
        references: one or more reference texts per example.
        tokens: `"english"` keeps runs of a to z and digits; `"stemmed"` also stems them (Porter),
            which gives higher scores; `"words"` takes words of any script.
        seed: seed of the bootstrap.

    Raises:
        InputError: no texts, different numbers of texts and references, or no reference of a text.
        SettingsError: an unknown kind of tokens.
    """
    by_example = _reference_lists(hypotheses, references)
    scorer = RougeScorer(tokens)
    best = [
        max(scorer(text, hypothesis) for text in texts)
        for hypothesis, texts in zip(hypotheses, by_example, strict=True)
    ]
    signature = f"rouge-score {version('rouge-score')}|f|{tokens}|best-rouge1-reference"
    values = 100 * np.array(best)
    one, two, longest = (
        Score(name, float(column.mean()), _interval(column, seed), signature)
        for name, column in zip(("ROUGE-1", "ROUGE-2", "ROUGE-L"), values.T, strict=True)
    )
    return one, two, longest


class RougeScorer:
    """F-scores of one text against a reference, 0 to 1; by default ROUGE-1, ROUGE-2 and ROUGE-L.

    Args:
        tokens: tokenization, as in `rouge`.
        kinds: metrics by their names in rouge-score.

    Raises:
        SettingsError: an unknown kind of tokens.
    """

    def __init__(
        self,
        tokens: RougeTokens = "english",
        *,
        kinds: Sequence[str] = ("rouge1", "rouge2", "rougeL"),
    ) -> None:
        from rouge_score import rouge_scorer

        _check_choice("tokens", tokens, get_args(RougeTokens))
        self._scorer = rouge_scorer.RougeScorer(
            kinds,
            use_stemmer=tokens == "stemmed",
            tokenizer=_WordTokenizer() if tokens == "words" else None,
        )

    def __call__(self, reference: str, hypothesis: str) -> tuple[float, ...]:
        """Return the F-scores of one pair of texts, in the order of `kinds`."""
        scores = self._scorer.score(reference, hypothesis).values()
        return tuple(float(score.fmeasure) for score in scores)


def exact_match(hypotheses: Sequence[str], references: References, *, seed: int = 0) -> Score:
    """Compute the percentage of texts that equal a reference, without surrounding white space.

    >>> from regard.evaluation import exact_match
    >>> exact_match(["2024-05-03", "2024-05-04"], ["2024-05-03", "2024-05-05"]).value
    50.0

    Args:
        hypotheses: one text per example.
        references: one or more reference texts per example.
        seed: seed of the bootstrap.

    Raises:
        InputError: no texts, different numbers of texts and references, or no reference of a text.
    """
    by_example = _reference_lists(hypotheses, references)
    matches = [
        hypothesis.strip() in {text.strip() for text in texts}
        for hypothesis, texts in zip(hypotheses, by_example, strict=True)
    ]
    values = 100.0 * np.array(matches)
    return Score("exact match", float(values.mean()), _interval(values, seed))


def _interval(values: Floats, seed: int) -> tuple[float, float]:
    """Return the bootstrap interval of a mean."""
    return bootstrap(values[:, None], lambda sums: sums[:, 0] / len(values), seed=seed)


class _WordTokenizer:
    """Tokenizer of rouge-score that finds words of any script, in lower case."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of `text` without punctuation."""
        words = (text[start:end] for start, end in word_spans(text))
        return [word.lower() for word in words if any(map(str.isalnum, word))]


def _check_choice(setting: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise SettingsError(f"unknown {setting} {value!r}; {nearest(value, choices)}")


def _reference_lists(hypotheses: Sequence[str], references: References) -> list[list[str]]:
    """Return a list of references for each hypothesis."""
    if not hypotheses or len(hypotheses) != len(references):
        raise InputError(
            f"{len(hypotheses):,} texts and {len(references):,} references; expected equal numbers, "
            "at least one"
        )
    by_example = [[texts] if isinstance(texts, str) else list(texts) for texts in references]
    if not all(by_example):
        raise InputError(f"example {by_example.index([]) + 1} has no reference")
    return by_example
