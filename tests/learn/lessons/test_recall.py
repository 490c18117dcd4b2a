"""Right answers in several styles, and typical wrong ones with the hint that each must get."""

from __future__ import annotations

import pytest

SUM = "import numpy as np\ndef weighted_sum(weights, values):\n    "
LOOK = "import numpy as np\ndef look_up(query, keys, values):\n    "


@pytest.mark.parametrize(
    "body",
    [
        "return weights @ values",
        "return (weights[:, None] * values).sum(axis=0)",
        "return np.einsum('k,kd->d', weights, values)",
        "return [sum(w * x for w, x in zip(weights, c)) for c in values.T]",
        "return np.average(values, axis=0, weights=weights) * weights.sum()",
    ],
)
def test_right_sums(passes, body):
    passes("1", SUM + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("return values.mean(axis=0)", "plain mean of the values"),
        ("return values.sum(axis=0)", "plain sum of the values"),
        ("return (weights[:, None] * values).mean(axis=0)", "average the weighted values"),
        ("return weights[:, None] * values", "one for each key"),
        ("return (weights[:, None] * values).sum(axis=1)", "You sum over the features"),
        ("return (weights[:, None] * values).sum()", "keys and features both"),
        ("return np.average(values, axis=0, weights=weights)", "divide the weights by their sum"),
        ("return values @ weights", "the last axis of a meets the one before last of b"),
        ("return weights * values", "keepdims=True"),
        ("weights /= weights.sum() + 1\n    return weights @ values", "changes the array"),
        ("print(weights @ values)", "returned None"),
        ("return 'a vector'", "returns a str; an array of numbers was expected"),
        ("return weights @ values, weights", "returns 2 arrays; one was expected"),
        ("return weight @ values", "name 'weight' is not defined"),
    ],
)
def test_wrong_sums(hints, body, hint):
    hints("1", SUM + body, hint)


@pytest.mark.parametrize(
    "body",
    [
        "return values[np.argmax(keys @ query)]",
        "return values[(query @ keys.T).argmax()]",
        "best = max(range(len(keys)), key=lambda k: keys[k].dot(query))\n    return values[best]",
        "s = keys @ query\n    return (s == s.max()).astype(float) @ values",
    ],
)
def test_right_look_ups(passes, body):
    passes("1b", LOOK + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("return np.argmax(keys @ query)", "the number of the best key"),
        ("return keys[np.argmax(keys @ query)]", "the best key itself"),
        ("return values[np.argmin(keys @ query)]", "the lowest score"),
        ("return values.mean(axis=0)", "whatever the query"),
        ("return (keys @ query) @ values", "weighted by the scores"),
        ("return values[np.abs(keys - query).sum(1).argmin()]", "nearest to the query"),
        (
            "return values[np.argmax(keys @ query / np.linalg.norm(keys, axis=1))]",
            "nearest to the query",
        ),
    ],
)
def test_wrong_look_ups(hints, body, hint):
    hints("1b", LOOK + body, hint)
