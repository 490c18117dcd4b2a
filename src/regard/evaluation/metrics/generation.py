"""How good generated text is: BLEU and chrF by sacreBLEU, ROUGE by rouge-score, exact matches."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Literal, get_args

import numpy as np

from regard.errors import InputError, SettingsError, nearest
from regard.evaluation.metrics.scores import Floats, Score, bootstrap
from regard.text import word_spans

__all__ = ["References", "RougeScorer", "bleu", "chrf", "exact_match", "rouge"]

References = Sequence[str | Sequence[str]]
"""For each example the right text, or all right texts."""

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
    """Corpus BLEU (Papineni et al. 2002) as sacreBLEU computes it (Post 2018).

    Detokenised text goes in; sacreBLEU tokenises. The interval resamples sentence statistics.

    Args:
        hypotheses: one text per example.
        references: one or more right texts per example.
        tokenize: `"13a"` is what everyone reports; `"intl"` knows the signs of all scripts, `"zh"`
            Chinese characters, and `"char"` suits languages without spaces. The signature says so.
        lowercase: whether case is ignored; the signature says so.
        seed: of the bootstrap.
    """
    from sacrebleu.metrics.bleu import BLEU

    _known("tokenize", tokenize, get_args(BleuTokens))
    # "force" only silences advice to those whose text is tokenised, which some data sets are.
    metric = BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
    return _sacrebleu("BLEU", metric, hypotheses, references, seed)


def chrf(
    hypotheses: Sequence[str], references: References, *, words: int = 0, seed: int = 0
) -> Score:
    """Corpus chrF (Popović 2015): F-score of character n-grams up to 6, recall counted double.

    Args:
        hypotheses: one text per example.
        references: one or more right texts per example.
        words: longest word n-grams that count too; 2 is chrF++.
        seed: of the bootstrap.
    """
    from sacrebleu.metrics.chrf import CHRF

    name = "chrF" + "+" * words
    return _sacrebleu(name, CHRF(word_order=words), hypotheses, references, seed)


def _sacrebleu(
    name: str, metric: Any, hypotheses: Sequence[str], references: References, seed: int
) -> Score:
    """Compute a metric of sacreBLEU, and its interval from the statistics of the sentences."""
    right = _checked(hypotheses, references)
    most = max(map(len, right))
    streams = [[texts[i] if i < len(texts) else None for texts in right] for i in range(most)]
    value = float(metric.corpus_score(list(hypotheses), streams).score)
    # Its own bootstrap draws the same way, but fails on chrF where float32 and float meet.
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
    """ROUGE-1, ROUGE-2 and ROUGE-L: F-scores (Lin 2004), mean over the examples.

    Where several references are given, a text is compared with the one it has the best ROUGE-1
    with, as for SciTLDR (Cachola et al. 2020): all three figures then speak about the same
    reference.

    Args:
        hypotheses: one text per example.
        references: one or more right texts per example.
        tokens: `"english"` keeps runs of a to z and digits; `"stemmed"` strips their endings, too
            (Porter), which gives higher figures; `"words"` takes words of any script.
        seed: of the bootstrap.
    """
    right = _checked(hypotheses, references)
    scorer = RougeScorer(tokens)
    best = [
        max(scorer(text, hypothesis) for text in texts)
        for hypothesis, texts in zip(hypotheses, right, strict=True)
    ]
    signature = f"rouge-score {version('rouge-score')}|f|{tokens}|best-rouge1-reference"
    values = 100 * np.array(best)
    one, two, longest = (
        Score(name, float(column.mean()), _interval(column, seed), signature)
        for name, column in zip(("ROUGE-1", "ROUGE-2", "ROUGE-L"), values.T, strict=True)
    )
    return one, two, longest


class RougeScorer:
    """F-scores of one text against another, 0 to 1; by default ROUGE-1, ROUGE-2 and ROUGE-L."""

    def __init__(
        self,
        tokens: RougeTokens = "english",
        *,
        kinds: Sequence[str] = ("rouge1", "rouge2", "rougeL"),
    ) -> None:
        from rouge_score import rouge_scorer

        _known("tokens", tokens, get_args(RougeTokens))
        self._scorer = rouge_scorer.RougeScorer(
            kinds,
            use_stemmer=tokens == "stemmed",
            tokenizer=_Words() if tokens == "words" else None,
        )

    def __call__(self, reference: str, hypothesis: str) -> tuple[float, ...]:
        """Score one pair of texts, in the order of the kinds."""
        scores = self._scorer.score(reference, hypothesis).values()
        return tuple(float(score.fmeasure) for score in scores)


def exact_match(hypotheses: Sequence[str], references: References, *, seed: int = 0) -> Score:
    """Share of examples whose text is right to the letter, spaces around it aside."""
    right = _checked(hypotheses, references)
    same = [
        hypothesis.strip() in {text.strip() for text in texts}
        for hypothesis, texts in zip(hypotheses, right, strict=True)
    ]
    values = 100.0 * np.array(same)
    return Score("exact match", float(values.mean()), _interval(values, seed))


def _interval(values: Floats, seed: int) -> tuple[float, float]:
    """Return the bootstrap interval of a mean."""
    return bootstrap(values[:, None], lambda sums: sums[:, 0] / len(values), seed=seed)


class _Words:
    """Words of any script in lower case, for rouge-score."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of `text`, signs left out."""
        words = (text[start:end] for start, end in word_spans(text))
        return [word.lower() for word in words if any(map(str.isalnum, word))]


def _known(setting: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise SettingsError(f"unknown {setting} {value!r}; {nearest(value, known)}")


def _checked(hypotheses: Sequence[str], references: References) -> list[list[str]]:
    """Return references as lists, as many as there are hypotheses."""
    if not hypotheses or len(hypotheses) != len(references):
        raise InputError(
            f"{len(hypotheses):,} texts and {len(references):,} references, expected as many, "
            "at least one"
        )
    right = [[texts] if isinstance(texts, str) else list(texts) for texts in references]
    if not all(right):
        raise InputError(f"example {right.index([]) + 1} has no reference")
    return right
