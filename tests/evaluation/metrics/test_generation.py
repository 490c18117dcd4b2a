"""BLEU, chrF and ROUGE agree with their libraries, and with paper and pencil."""

import math

import numpy as np
import pytest
import sacrebleu

from regard.errors import InputError, SettingsError
from regard.evaluation import bleu, chrf, exact_match, rouge

HYPOTHESES = ["the cat sat on the mat", "a dog runs in the park today", "no"]
REFERENCES = ["the cat sat on a mat", "a dog runs through the park", "yes"]


def test_bleu_by_hand() -> None:
    # Precisions 5/6, 3/5, 2/4, 1/3 (clipped), same length.
    value = 100 * math.exp(sum(map(math.log, (5 / 6, 3 / 5, 2 / 4, 1 / 3))) / 4)
    score = bleu(HYPOTHESES[:1], REFERENCES[:1])
    assert score.value == pytest.approx(value)
    assert score.name == "BLEU"


def test_bleu_of_a_short_text_has_the_brevity_penalty() -> None:
    full, short = "a b c d e f", "a b c d e"
    assert bleu([short], [full]).value == pytest.approx(100 * math.exp(1 - 6 / 5))


@pytest.mark.parametrize("references", [REFERENCES, [[r] for r in REFERENCES]])
def test_against_sacrebleu(references: list[str]) -> None:
    expected = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score
    score = bleu(HYPOTHESES, references)
    assert score.value == pytest.approx(expected)
    assert "tok:13a" in score.signature
    assert "case:mixed" in score.signature
    assert score.interval is not None
    assert 0 <= score.interval[0] < expected
    assert chrf(HYPOTHESES, references).value == pytest.approx(
        sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score
    )
    assert chrf(HYPOTHESES, references, words=2).name == "chrF++"
    assert "nw:2" in chrf(HYPOTHESES, references, words=2).signature


def test_several_references_of_any_number() -> None:
    references = [[REFERENCES[0], HYPOTHESES[0]], [HYPOTHESES[1]], ["maybe", "no", "yes"]]
    assert bleu(HYPOTHESES, references).value == pytest.approx(100)
    assert chrf(HYPOTHESES, references).value == pytest.approx(100)
    assert exact_match(HYPOTHESES, references).value == 100


def test_case_counts_by_default() -> None:
    assert bleu(["A B C D"], ["a b c d"]).value < 10
    score = bleu(["A B C D"], ["a b c d"], lowercase=True)
    assert score.value == pytest.approx(100)
    assert "case:lc" in score.signature


def test_a_language_without_spaces() -> None:
    hypothesis, reference = "我今天去公园跑步了", "我今天去公园散步了"
    assert bleu([hypothesis], [reference]).value < 1
    score = bleu([hypothesis], [reference], tokenize="zh")
    assert score.value == pytest.approx(
        sacrebleu.corpus_bleu([hypothesis], [[reference]], tokenize="zh").score
    )
    assert "tok:zh" in score.signature
    with pytest.raises(SettingsError, match="did you mean '13a'"):
        bleu(["a"], ["a"], tokenize="13")  # type: ignore[arg-type]


def test_nothing_in_common_is_zero_with_an_interval() -> None:
    for metric in (bleu, chrf):
        score = metric(["aaa bbb"], ["zzz"])
        assert score.value == 0
        assert score.interval == (0.0, 0.0)


def test_the_interval_against_sacrebleu() -> None:
    rng = np.random.default_rng(0)
    references = [" ".join(rng.choice(list("abcdef"), 12)) for _ in range(200)]
    hypotheses = [text.replace(rng.choice(list("abcdef")), "x") for text in references]
    theirs = sacrebleu.BLEU().corpus_score(hypotheses, [references], n_bootstrap=1000)
    low, high = bleu(hypotheses, references).interval or (0, 0)
    assert (high - low) / 2 == pytest.approx(theirs._ci, rel=0.15)
    assert low < theirs.score < high


def test_rouge_by_hand() -> None:
    # Words: 5 of 6 shared both ways. Pairs: 3 of 5. Longest common: the cat sat on mat, 5 of 6.
    one, two, longest = rouge(HYPOTHESES[:1], REFERENCES[:1])
    assert (one.name, two.name, longest.name) == ("ROUGE-1", "ROUGE-2", "ROUGE-L")
    assert one.value == pytest.approx(100 * 5 / 6)
    assert two.value == pytest.approx(100 * 3 / 5)
    assert longest.value == pytest.approx(100 * 5 / 6)


def test_all_three_use_the_reference_of_best_rouge_1() -> None:
    # The first reference shares every word but no pair, the second one pair but fewer words.
    one, two, _ = rouge(["a b c d"], [["d c b a", "a b x y"]])
    assert one.value == pytest.approx(100)
    assert two.value == 0


def test_stems_and_scripts() -> None:
    assert rouge(["dogs running"], ["dog runs"])[0].value == 0
    assert rouge(["dogs running"], ["dog runs"], tokens="stemmed")[0].value == pytest.approx(100)
    assert rouge(["собака бежит"], ["Собака бежит."])[0].value == 0
    assert rouge(["собака бежит"], ["Собака бежит."], tokens="words")[0].value == 100
    with pytest.raises(SettingsError, match="did you mean 'stemmed'"):
        rouge(["a"], ["a"], tokens="stem")  # type: ignore[arg-type]


def test_exact_match() -> None:
    score = exact_match(["2018-05-03", "2018-05-04 ", "x"], ["2018-05-03", "2018-05-04", "y"])
    assert score.value == pytest.approx(200 / 3)


@pytest.mark.parametrize("metric", [bleu, chrf, rouge, exact_match])
def test_mismatched_numbers_of_texts_are_refused(metric: object) -> None:
    assert callable(metric)
    with pytest.raises(InputError, match="2 texts and 1 references"):
        metric(["a", "b"], ["a"])
    with pytest.raises(InputError, match="at least one"):
        metric([], [])
    with pytest.raises(InputError, match="example 2 has no reference"):
        metric(["a", "b"], ["a", []])


def test_the_interval_of_a_share_is_that_of_the_binomial_distribution() -> None:
    right, count = 300, 400
    score = exact_match(["a"] * right + ["b"] * (count - right), ["a"] * count)
    half = 196 * math.sqrt(0.75 * 0.25 / count)
    assert score.interval == pytest.approx((75 - half, 75 + half), abs=0.5)
