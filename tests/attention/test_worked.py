"""The six steps on paper."""

import numpy as np
import pytest

import regard
from regard.errors import ShapeError

KEY, VALUE = [[1, 0, 0], [0, 1, 0], [1, 0, 1]], [[1, 2], [3, 4], [5, 6]]


def test_the_classic_example(capsys):
    steps = regard.worked(
        [1, 0, 1], KEY, VALUE, scale=1, tokens=["she"], key_tokens=["a", "b", "c"]
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
