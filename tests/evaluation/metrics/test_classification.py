"""Accuracy, F1, confusion and calibration agree with scikit-learn and with paper and pencil."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from regard.errors import InputError, ShapeError
from regard.evaluation import calibration, score_label_sets, score_labels

GOLD = [*"aaaabbbcc"]
PREDICTED = [*"aaabbbaca"]
NAMES = ["a", "b", "c"]


def test_by_hand() -> None:
    result = score_labels(GOLD, PREDICTED)
    assert result.accuracy.value == pytest.approx(100 * 6 / 9)
    assert result.confusion.tolist() == [[3, 1, 0], [1, 2, 0], [1, 0, 1]]
    a = result.classes[0]
    # a: 3 hits of 5 predicted and 4 there.
    assert (a.precision, a.recall, a.support) == (pytest.approx(60), pytest.approx(75), 4)
    assert a.f1 == pytest.approx(100 * 2 * 3 / 9)
    assert result.macro_f1.value == pytest.approx(100 * (6 / 9 + 4 / 6 + 2 / 3) / 3)


def test_one_line_and_a_table() -> None:
    result = score_labels(GOLD, PREDICTED, probabilities=np.full((9, 3), 1 / 3))
    assert str(result).startswith("accuracy 66.7 (")
    assert "macro F1 66.7" in str(result)
    assert "calibration error 33.3" in str(result)
    rows = [row.replace("|", "").split() for row in result.table().split("\n")]
    assert rows[0][-6:] == ["as", "a", "as", "b", "as", "c"]
    assert rows[2] == ["a", "60.0", "75.0", "66.7", "4", "3", "1", "0"]


labels = st.sampled_from([*"abcd"])


@settings(max_examples=50)
@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=40))
def test_against_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    gold, predicted = map(list, zip(*pairs, strict=True))
    result = score_labels(gold, predicted, labels=[*"abcd"])
    assert result.accuracy.value == pytest.approx(100 * metrics.accuracy_score(gold, predicted))
    matrix = metrics.confusion_matrix(gold, predicted, labels=[*"abcd"])
    assert result.confusion.tolist() == matrix.tolist()
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        gold, predicted, labels=[*"abcd"], zero_division=0
    )
    for one, p, r, f, n in zip(result.classes, precision, recall, f1, support, strict=True):
        assert (one.precision, one.recall, one.f1) == pytest.approx((100 * p, 100 * r, 100 * f))
        assert one.support == n
    assert result.macro_f1.value == pytest.approx(100 * np.mean(f1))
    for score in result.scores:
        assert score.interval is not None
        assert 0 <= score.interval[0] <= score.interval[1] <= 100


sets = st.frozensets(labels)


@settings(max_examples=50)
@given(st.lists(st.tuples(sets, sets), min_size=1, max_size=30))
def test_label_sets_against_scikit_learn(
    pairs: list[tuple[frozenset[str], frozenset[str]]],
) -> None:
    gold, predicted = map(list, zip(*pairs, strict=True))
    result = score_label_sets(gold, predicted, labels=[*"abcd"])
    right, guessed = (
        np.array([[name in given for name in "abcd"] for given in side])
        for side in (gold, predicted)
    )
    for average, score in (("micro", result.micro_f1), ("macro", result.macro_f1)):
        expected = metrics.f1_score(right, guessed, average=average, zero_division=0)
        assert score.value == pytest.approx(100 * expected)
    assert result.subset_accuracy.value == pytest.approx(
        100 * metrics.accuracy_score(right, guessed)
    )


def test_sets_by_hand() -> None:
    result = score_label_sets([{"x", "y"}, {"y"}, set()], [{"x"}, {"y"}, {"x"}])
    # 2 hits; 3 there, 3 predicted.
    assert result.micro_f1.value == pytest.approx(100 * 2 * 2 / 6)
    assert result.subset_accuracy.value == pytest.approx(100 / 3)
    assert [one.label for one in result.classes] == ["x", "y"]
    assert "micro F1 66.7" in str(result)
    assert result.table().split("\n")[2].replace("|", "").split() == [
        "x",
        "50.0",
        "100.0",
        "66.7",
        "1",
    ]


def test_calibration_by_hand() -> None:
    # Two bins of (0, 0.5] and (0.5, 1]: |0.4 - 1| * 1/4 + |0.8 - 1/3| * 3/4.
    result = calibration([0.4, 0.7, 0.8, 0.9], [1, 0, 0, 1], bins=2)
    assert result.error == pytest.approx(100 * (0.6 / 4 + (0.8 - 1 / 3) * 3 / 4))
    assert result.count.tolist() == [1, 3]
    assert result.accuracy.tolist() == pytest.approx([1, 1 / 3])
    assert result.table().split("\n")[3].replace("|", "").split() == ["80.0", "33.3", "3"]


def test_the_edge_of_a_bin_belongs_below() -> None:
    assert calibration([0.5, 0.5, 0.51], [1, 1, 1], bins=2).count.tolist() == [2, 1]
    assert calibration([0.0, 1.0], [0, 1], bins=2).error == 0


def test_mismatched_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="2 right and 1 predicted"):
        score_labels(["a", "b"], ["a"])
    with pytest.raises(InputError, match="at least one"):
        score_label_sets([], [])
    with pytest.raises(InputError, match="example 2 has the label 'c', known: a, b"):
        score_labels(["a", "c"], ["a", "b"], labels=["a", "b"])
    with pytest.raises(ShapeError, match=r"\(9, 2\), expected \(9, 3\)"):
        score_labels(GOLD, PREDICTED, probabilities=np.zeros((9, 2)))
