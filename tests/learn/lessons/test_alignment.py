"""Right answers in several styles, and typical wrong ones with the hint that each must get."""

from __future__ import annotations

import pytest

ADDITIVE = """import numpy as np
from scipy.special import softmax
def additive_attention(state, memory, W, U, v):
    """
ALIGN = "import numpy as np\ndef align(weights):\n    "


@pytest.mark.parametrize(
    "body",
    [
        "weights = softmax(np.tanh(W @ state + memory @ U.T) @ v)\n"
        "    return weights @ memory, weights",
        "scores = np.array([v @ np.tanh(W @ state + U @ m) for m in memory])\n"
        "    weights = softmax(scores, axis=0)\n"
        "    return (weights[:, None] * memory).sum(0), weights",
        "from regard import attend, scores\n"
        "    out, seen = attend(state, memory, memory, score=scores.Additive(v, W.T, U.T))\n"
        "    return [out[0], seen.dense()[0]]",
    ],
)
def test_right_additive(passes, body):
    passes("3", ADDITIVE + body)


END = "\n    return weights @ memory, weights"


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("weights = np.tanh(W @ state + memory @ U.T) @ v" + END, "These are the scores"),
        ("weights = softmax((W @ state + memory @ U.T) @ v)" + END, "There is no tanh"),
        ("weights = softmax(np.tanh((W @ state + memory @ U.T) @ v))" + END, "not after it"),
        ("weights = softmax(np.tanh(memory @ U.T) @ v)" + END, "do not depend on the state"),
        (
            "weights = softmax((np.tanh(W @ state) + np.tanh(memory @ U.T)) @ v)" + END,
            "Take tanh of the sum",
        ),
        ("weights = softmax(np.tanh(W @ state + memory @ U.T).sum(1))" + END, "v is not used"),
        (
            "weights = softmax(np.tanh(W @ state + memory @ U.T) @ v)\n"
            "    return weights, weights @ memory",
            "The other way round",
        ),
        (
            "weights = softmax(np.tanh(W @ state + memory @ U.T) @ v)\n"
            "    return weights[:, None] * memory, weights",
            "sum them over the words",
        ),
        (
            "weights = softmax(np.tanh(W @ state + memory @ U.T) @ v)\n"
            "    return memory.mean(0), weights",
            "plain mean of the memory",
        ),
        (
            "weights = softmax(np.tanh(W @ state + memory @ U.T) @ v)\n"
            "    return weights @ (memory @ U.T), weights",
            "The values are the memory itself",
        ),
        (
            "weights = softmax(np.tanh(W @ state + memory @ U.T) @ v)\n"
            "    return memory[weights.argmax()], weights",
            "hard attention",
        ),
        (
            "return softmax(np.tanh(W @ state + memory @ U.T) @ v) @ memory",
            "return context, weights",
        ),
        ("weights = softmax(np.tanh(W @ state + U @ memory) @ v)" + END, "In `a @ b`"),
    ],
)
def test_wrong_additive(hints, body, hint):
    hints("3", ADDITIVE + body, hint)


@pytest.mark.parametrize(
    "body",
    [
        "return list(enumerate(weights.argmax(axis=1)))",
        "return [(t, int(np.argmax(row))) for t, row in enumerate(weights)]",
        "return zip(range(len(weights)), weights.argmax(-1))",
        "return np.stack([np.arange(len(weights)), weights.argmax(1)], axis=1)",
    ],
)
def test_right_links(passes, body):
    passes("3b", ALIGN + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("return weights.argmax(1)", "Source words alone"),
        ("return [(t + 1, s + 1) for t, s in enumerate(weights.argmax(1))]", "count from 0"),
        ("return list(enumerate(weights.argmax(0)))", "the maximum ran over axis 0"),
        ("return [(t, s) for s, t in enumerate(weights.argmax(0))]", "the maximum ran over axis 0"),
        (
            "return [(s, t) for t, s in enumerate(weights.argmax(1))]",
            "Your pairs are (source, target)",
        ),
        ("return 3", "a list of pairs"),
        ("return [(t, s) for t, s in np.argwhere(weights > 0.5)]", "was expected"),
    ],
)
def test_wrong_links(hints, body, hint):
    hints("3b", ALIGN + body, hint)
