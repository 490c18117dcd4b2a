"""The six steps on paper."""

import math
from typing import Any

import numpy as np
import pytest

import regard
from regard import masks, normalizers, positions, scores
from regard.attention.normalizers import Normalizer
from regard.attention.scores import Dot, Score
from regard.errors import MaskError, ShapeError

KEY, VALUE = [[1, 0, 0], [0, 1, 0], [1, 0, 1]], [[1, 2], [3, 4], [5, 6]]


def test_the_classic_example(capsys):
    steps = regard.worked(
        [1, 0, 1], KEY, VALUE, score=Dot(), tokens=["she"], key_tokens=["a", "b", "c"]
    )
    np.testing.assert_array_equal(steps.scores, [[1, 0, 2]])
    np.testing.assert_allclose(steps.output, [[3.84102497, 4.84102497]])
    np.testing.assert_allclose(steps.weighted.sum(1), steps.output)
    printed = capsys.readouterr().out
    assert printed.rstrip("\n") == str(steps)
    for n, word in enumerate(("Make Q, K, V", "Score", "Scale", "Softmax", "Weight", "Sum"), 1):
        assert f"{n}. {word}" in printed
    assert "she . c = 1 x 1 + 0 x 0 + 1 x 1 = 2" in printed
    assert "she <- c: 0.6652 x [5, 6] = [3.3262, 3.9914]" in printed
    assert "3.8410  4.8410" in printed


def test_divides_by_the_root_and_projects():
    rng = np.random.default_rng(0)
    x, (wq, wk, wv) = rng.normal(size=(3, 4)), rng.normal(size=(3, 4, 2))
    steps = regard.worked(
        x, x, x, query_weight=wq, key_weight=wk, value_weight=wv, tokens=["a", "b", "c"], show=False
    )
    output, weights = regard.attend(x @ wq, x @ wk, x @ wv)
    np.testing.assert_allclose(steps.output, output)
    np.testing.assert_allclose(steps.weights, weights.dense())
    assert "divide by sqrt(2)" in str(steps)
    assert steps.query_labels == steps.key_labels == ("a", "b", "c")


def test_columns_line_up():
    lines = str(regard.worked([[1.5], [-20]], [[1], [2]], [[1], [1]], show=False)).splitlines()
    table = lines[lines.index("4. Softmax of each row") + 1 :][:3]
    assert len({len(line) for line in table}) == 1


def test_numbers_of_any_kind():
    torch = pytest.importorskip("torch")
    steps = regard.worked(torch.ones(1, 3).bfloat16(), KEY, [[np.nan], [np.inf], [1]], show=False)
    assert steps.scores.tolist() == [[1, 1, 2]]
    assert "  V\n  k1  nan\n  k2  inf\n  k3    1\n" in str(steps)


def test_what_does_not_fit_is_named():
    with pytest.raises(ShapeError, match="query has 2 features, key has 3; expected as many"):
        regard.worked([1, 2], KEY, VALUE)
    with pytest.raises(ShapeError, match="key has 3 positions, value has 2"):
        regard.worked([1, 0, 1], KEY, VALUE[:2])
    with pytest.raises(ShapeError, match="2 tokens for 1 positions of the query"):
        regard.worked([1, 0, 1], KEY, VALUE, tokens=["a", "b"])
    with pytest.raises(ShapeError, match=r"query has shape \(1, 1, 3\); expected one sequence"):
        regard.worked([[[1, 0, 1]]], KEY, VALUE)
    with pytest.raises(ShapeError, match=r"key_weight has shape \(2, 2\); expected \(3, \.\.\.\)"):
        regard.worked([1, 0, 1], KEY, VALUE, key_weight=np.eye(2))


rng = np.random.default_rng(3)
X, Y, Z = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
ANY_SCORE = [
    scores.Dot(),
    scores.ScaledDot(),
    scores.ScaledDot(0.25),
    scores.General(rng.normal(size=(3, 3))),
    scores.Additive(rng.normal(size=4), rng.normal(size=(3, 4)), rng.normal(size=(3, 4))),
    scores.Concat(rng.normal(size=4), rng.normal(size=(6, 4))),
    scores.Cosine(2.0),
    scores.Location(rng.normal(size=(5, 3))),
    scores.Capped(scores.ScaledDot(), 0.5),
]
ANY_NORMALIZER = [
    normalizers.Softmax(),
    normalizers.Sigmoid(),
    normalizers.Sparsemax(),
    normalizers.Entmax15(),
    normalizers.Hard(),
    normalizers.Softmax(sink=0.3),
]


def name(part: object) -> str:
    return type(part).__name__


@pytest.mark.parametrize("score", ANY_SCORE, ids=name)
@pytest.mark.parametrize("normalizer", ANY_NORMALIZER, ids=name)
def test_every_score_and_normalizer_is_that_of_attend(score: Score, normalizer: Normalizer) -> None:
    parts: dict[str, Any] = {
        "score": score,
        "normalizer": normalizer,
        "mask": masks.window(2) & masks.where(lambda batch, head, q, k: q != 3),
        "bias": positions.ALiBi(),
    }
    steps = regard.worked(X, Y, Z, show=False, **parts)
    output, weights = regard.attend(X, Y, Z, **parts)
    np.testing.assert_allclose(steps.output, output, atol=1e-12)
    np.testing.assert_allclose(steps.weights, weights.dense(), atol=1e-12)
    assert (steps.output[3] == 0).all()
    assert f"4. {name(normalizer)} of each" in str(steps)
    assert steps.titles[2].endswith("; add the bias; mask: -inf where a query may not attend")


def test_a_cap_and_a_sink_by_hand() -> None:
    """Scores of 100 and 0 are capped to 50 tanh(2) and 0; a sink as large as the first takes half."""
    capped = scores.Capped(scores.Dot(), 50)
    sink = normalizers.Softmax(sink=50 * math.tanh(2))
    steps = regard.worked(
        [10.0], [[10.0], [0.0]], [[1.0], [2.0]], score=capped, normalizer=sink, show=False
    )
    assert steps.scores.tolist() == [[100, 0]]
    np.testing.assert_allclose(steps.scaled, [[50 * math.tanh(2), 0]])
    np.testing.assert_allclose(steps.weights, [[0.5, 0]], atol=1e-12)
    assert steps.sink is not None
    np.testing.assert_allclose(steps.sink, [0.5], atol=1e-12)
    text = str(steps)
    assert "2. Score: Q K^T" in text
    assert "; cap: 50 tanh(s / 50)" in text
    assert "4. Softmax of each row, with a sink below the line" in text
    assert "q1 -> sink: 0.5000" in text


def test_additive_scores_by_hand() -> None:
    """v = (1, 2), q = (0.5, 0), k = (-0.5, 1): 1 tanh(0) + 2 tanh(1) = 1.5232."""
    steps = regard.worked(
        [0.5, 0], [[-0.5, 1]], [[1]], score=scores.Additive(np.array([1.0, 2.0])), show=False
    )
    assert steps.scores[0, 0] == pytest.approx(2 * np.tanh(1))
    assert "q1 . k1 = 1 x tanh(0.5000 + -0.5000) + 2 x tanh(0 + 1) = 1.5232" in str(steps)


def test_general_scores_by_hand() -> None:
    """q W = (1, 2) W = (2, 1) with W the exchange of features; times k = (3, 4) it is 10."""
    steps = regard.worked(
        [1, 2], [[3, 4]], [[1]], score=scores.General(np.eye(2)[::-1]), show=False
    )
    assert steps.scores.tolist() == [[10.0]]
    assert "q1 . k1 = 2 x 3 + 1 x 4 = 10" in str(steps)


def test_masks_as_lists_and_what_they_hide() -> None:
    steps = regard.worked(
        [1, 0, 1], KEY, [[1, 2], [np.nan, 4], [5, 6]], mask=[[True, False, True]], show=False
    )
    assert steps.scaled[0, 1] == -np.inf
    assert steps.weights[0, 1] == 0
    assert np.isfinite(steps.output).all()
    with pytest.raises(MaskError):
        regard.worked([1, 0, 1], KEY, VALUE, mask=[[1, 0, 1]])


def test_a_score_of_ones_own_is_shown_without_its_terms() -> None:
    class Distance(Score):
        def project(self, query, key):
            return query, key

        def pairwise(self, query, key):
            return -((query[..., :, None, :] - key[..., None, :, :]) ** 2).sum(-1)

    steps = regard.worked([1, 0, 1], KEY, VALUE, score=Distance(), show=False)
    assert steps.scores.tolist() == [[-1, -3, 0]]
    assert "2. Score: Distance\n" in str(steps)
    assert "3. Scale: nothing to scale" in str(steps)
    assert "q1 . k1" not in str(steps)
