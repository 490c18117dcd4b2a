"""Right answers in several styles, and typical wrong ones with the hint that each must get."""

from __future__ import annotations

import pytest

ENTROPY = "import numpy as np\ndef entropy(weights):\n    "
LEAVE = "def leave_one_out(probability, tokens):\n    "
COMPREHENSIVE = (
    "import numpy as np\ndef comprehensiveness(probability, tokens, scores, count):\n    "
)


@pytest.mark.parametrize(
    "body",
    [
        "from scipy.special import xlogy\n    return -xlogy(weights, weights).sum(-1)",
        "safe = np.where(weights > 0, weights, 1)\n    return -(weights * np.log(safe)).sum(-1)",
        "from scipy.stats import entropy as h\n    return h(weights, axis=-1)",
        "return -(weights * np.log(weights + 1e-12)).sum(axis=-1)",
    ],
)
def test_right_entropy(passes, body):
    passes("7b", ENTROPY + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("return (weights * np.log(weights)).sum(-1)", "The sign is turned round"),
        ("return -(weights * np.log2(weights)).sum(-1)", "in bits"),
        ("return -(weights * np.log(weights)).mean(-1)", "the mean over the keys"),
        ("return -(weights * np.log(weights)).sum()", "All rows are summed"),
        ("return -(weights * np.log(weights)).sum(0)", "You sum over the queries"),
        ("return -np.log(weights).sum(-1)", "weights before the logarithm"),
        ("return -(weights * np.log(weights)).sum(-1)", "The limit of w log w is 0"),
    ],
)
def test_wrong_entropy(hints, body, hint):
    hints("7b", ENTROPY + body, hint)


@pytest.mark.parametrize(
    "body",
    [
        "whole = probability(tokens)\n"
        "    return [whole - probability(tokens[:i] + tokens[i + 1:]) for i in range(len(tokens))]",
        "import numpy as np\n    falls = np.empty(len(tokens))\n"
        "    for i in range(len(tokens)):\n        rest = list(tokens)\n        del rest[i]\n"
        "        falls[i] = probability(tokens) - probability(rest)\n    return falls",
    ],
)
def test_right_leave_out(passes, body):
    passes("7", LEAVE + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (
            "return [probability(tokens[:i] + tokens[i + 1:]) - probability(tokens)"
            " for i in range(len(tokens))]",
            "The sign is turned round",
        ),
        (
            "return [probability(tokens[:i] + tokens[i + 1:]) for i in range(len(tokens))]",
            "subtract them from that of the whole",
        ),
        ("return [probability([t]) for t in tokens]", "leave out one and keep the others"),
        (
            "return [abs(probability(tokens) - probability(tokens[:i] + tokens[i + 1:]))"
            " for i in range(len(tokens))]",
            "absolute value",
        ),
        (
            "return [probability(tokens) - probability([t for t in tokens if t != left])"
            " for left in tokens]",
            'Both "good" are left out at once',
        ),
        (
            "falls = []\n    for t in tokens:\n        rest = tokens.copy()\n        rest.remove(t)\n"
            "        falls.append(probability(tokens) - probability(rest))\n    return falls",
            'The first "good" is left out',
        ),
        ("return [1 / len(t - 1) for t in tokens]", "unsupported operand"),
    ],
)
def test_wrong_leave_out(hints, body, hint):
    hints("7", LEAVE + body, hint)


TOP = "top = np.argsort(scores)[::-1][:count]\n    "
REST = "[t for i, t in enumerate(tokens) if i not in set(top)]"


@pytest.mark.parametrize(
    "body",
    [
        TOP + f"return probability(tokens) - probability({REST})",
        "ranked = sorted(range(len(tokens)), key=lambda i: -scores[i])\n"
        "    kept = sorted(ranked[count:])\n"
        "    return probability(tokens) - probability([tokens[i] for i in kept])",
    ],
)
def test_right_comprehensiveness(passes, body):
    passes("7c", COMPREHENSIVE + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (
            f"top = np.argsort(scores)[:count]\n    return probability(tokens) - probability({REST})",
            "the lowest scores",
        ),
        (
            TOP + "return probability(tokens) - probability([tokens[i] for i in sorted(top)])",
            "that is sufficiency",
        ),
        (TOP + f"return probability({REST}) - probability(tokens)", "The sign is turned round"),
        (TOP + f"return probability({REST})", "what is left; subtract"),
        (
            TOP + "whole = probability(tokens)\n"
            "    return sum(whole - probability(tokens[:i] + tokens[i + 1:]) for i in top)",
            "one at a time",
        ),
        ("return probability(tokens) - probability(tokens[count:])", "the scores decide which"),
        (
            "top = np.argsort(scores)[-count:]\n"
            f"    return probability(tokens) - probability({REST})",
            "[-0:] is the whole list",
        ),
        (
            TOP + "gone = {tokens[i] for i in top}\n"
            "    rest = [t for t in tokens if t not in gone]\n"
            "    return probability(tokens) - probability(rest)",
            'Both "good" are left out',
        ),
    ],
)
def test_wrong_comprehensiveness(hints, body, hint):
    hints("7c", COMPREHENSIVE + body, hint)
