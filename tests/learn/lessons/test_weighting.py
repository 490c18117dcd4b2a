"""Right answers in several styles, and typical wrong ones with the hint that each must get."""

from __future__ import annotations

import pytest

SOFTMAX = "import numpy as np\ndef softmax(scores):\n    "
ATTENTION = """import numpy as np
def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
def attention(query, key, value):
    """


@pytest.mark.parametrize(
    "body",
    [
        "e = np.exp(scores - scores.max(axis=-1, keepdims=True))\n"
        "    return e / e.sum(axis=-1, keepdims=True)",
        "e = np.exp(scores - scores.max(-1)[..., None])\n    return e / e.sum(-1)[..., None]",
        "from scipy.special import softmax as s\n    return s(scores, axis=-1)",
        "x = scores - scores.max(-1, keepdims=True)\n"
        "    return np.exp(x - np.log(np.exp(x).sum(-1, keepdims=True)))",
        "import torch\n    return torch.softmax(torch.from_numpy(scores), dim=-1)",
    ],
)
def test_right_softmax(passes, body):
    passes("2", SOFTMAX + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("e = np.exp(scores)\n    return e / e.sum(axis=0)", "softmax ran over axis 0"),
        ("e = np.exp(scores)\n    return e / e.sum()", "the sum runs over the whole array"),
        ("return scores / scores.sum(axis=-1, keepdims=True)", "first take exp"),
        ("return np.exp(scores)", "exp alone"),
        ("return np.exp(scores - scores.max(-1, keepdims=True))", "must still be divided"),
        (
            "return np.exp(scores - scores.max()) / np.exp(scores).sum(-1, keepdims=True)",
            "The numerator is shifted",
        ),
        (
            "e = np.exp(scores)\n    return e / e.sum(axis=1, keepdims=True)",
            "Count from the end",
        ),
        (
            "e = np.exp(scores)\n    return e / e.sum(axis=-1, keepdims=True)",
            "exp(1000) overflows",
        ),
        (
            "e = np.exp(scores - scores.max())\n    return e / e.sum(axis=-1, keepdims=True)",
            "the maximum of the whole array",
        ),
        (
            "x = scores - scores.max(-1, keepdims=True)\n"
            "    return x - np.log(np.exp(x).sum(-1, keepdims=True))",
            "log-softmax",
        ),
        ("e = np.exp(scores)\n    return e / e.sum(axis=-1)", "keepdims=True"),
    ],
)
def test_wrong_softmax(hints, body, hint):
    hints("2", SOFTMAX + body, hint)


def test_axis_0_is_named_where_queries_and_keys_are_as_many(hints):
    body = (
        "if scores.shape[0] == 1:\n        e = np.exp(scores)\n"
        "        return e / e.sum(-1, keepdims=True)\n"
        "    e = np.exp(scores)\n    return e / e.sum(axis=0)"
    )
    hints("2", SOFTMAX + body, "Your weights sum to 1 over the queries: softmax runs over axis 0")


@pytest.mark.parametrize(
    "body",
    [
        "return softmax(query @ key.T / np.sqrt(key.shape[-1])) @ value",
        "return softmax((query / query.shape[1] ** 0.5) @ key.T) @ value",
        "return np.einsum('qk,kv->qv', softmax(np.einsum('qd,kd->qk', query, key)"
        " * key.shape[1] ** -0.5), value)",
        "return np.array([softmax(key @ q / len(q) ** 0.5) @ value for q in query])",
        "import regard\n    return regard.attend(query, key, value)[0]",
    ],
)
def test_right_attention(passes, body):
    passes("2b", ATTENTION + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("return softmax(query @ key.T) @ value", "not scaled"),
        ("return softmax(query @ key.T / key.shape[1]) @ value", "You divide by d;"),
        ("return softmax(query @ key.T * key.shape[1] ** 0.5) @ value", "You multiply by sqrt(d)"),
        ("return softmax(query @ key.T) / key.shape[1] ** 0.5 @ value", "after the softmax"),
        ("return softmax(query @ key.T / value.shape[1] ** 0.5) @ value", "the value's width"),
        ("return softmax(query @ key.T / len(key) ** 0.5) @ value", "the number of keys"),
        ("return softmax(query @ key.T / 3 ** 0.5) @ value", "sqrt(3) whatever the arrays"),
        (
            "return softmax(query @ key.T / key.shape[1] ** 0.5, axis=0) @ value",
            "ran over the queries",
        ),
        ("return query @ key.T / key.shape[1] ** 0.5 @ value", "There is no softmax"),
        ("return softmax(query @ key.T / key.shape[1] ** 0.5)", "These are the weights"),
        (
            "return softmax(query @ key / key.shape[1] ** 0.5) @ value",
            "The keys are not transposed",
        ),
    ],
)
def test_wrong_attention(hints, body, hint):
    hints("2b", ATTENTION + body, hint)
