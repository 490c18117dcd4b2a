"""Right answers in several styles, and typical wrong ones with the hint that each must get."""

from __future__ import annotations

import pytest

MASKED = """import numpy as np
def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
def masked_softmax(scores, mask):
    """
CAUSAL = "import numpy as np\ndef causal_mask(queries, keys):\n    "
PADDING = "import numpy as np\ndef padding_mask(lengths, keys):\n    "
SHIFT = "import torch\ndef training_pairs(ids):\n    "


@pytest.mark.parametrize(
    "body",
    [
        "x = np.where(mask, scores, -np.inf)\n"
        "    top = x.max(-1, keepdims=True)\n"
        "    e = np.exp(x - np.where(np.isinf(top), 0, top))\n"
        "    total = e.sum(-1, keepdims=True)\n"
        "    return e / np.where(total > 0, total, 1)",
        "with np.errstate(all='ignore'):\n"
        "        return np.nan_to_num(softmax(np.where(mask, scores, -np.inf)))",
        "import torch\n"
        "    x = torch.from_numpy(scores).masked_fill(~torch.from_numpy(mask), -torch.inf)\n"
        "    return torch.softmax(x, -1).nan_to_num()",
    ],
)
def test_right_masked_softmax(passes, body):
    passes("5", MASKED + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("return softmax(scores) * mask", "after the softmax"),
        ("return softmax(scores * mask)", "multiply the scores by the mask"),
        ("return softmax(np.where(mask, -np.inf, scores))", "turned round"),
        ("return softmax(scores)", "The mask is not used"),
        ("return softmax(np.where(mask, scores, -np.inf))", "where all keys are masked"),
        ("return softmax(np.where(mask, scores, -1e9))", "still a score"),
        ("return softmax(np.where(mask, scores, -1e300))", "got equal weights"),
        (
            "e = np.exp(scores - scores.max(-1, keepdims=True)) * mask\n"
            "    return e / e.sum(-1, keepdims=True)",
            "take the maximum of the row after masking",
        ),
        ("scores[~mask] = -np.inf\n    return softmax(scores)", "changes the array"),
        ("return softmax(np.where(mask, scores, 0))", "multiply the scores by the mask"),
    ],
)
def test_wrong_masked_softmax(hints, body, hint):
    hints("5", MASKED + body, hint)


@pytest.mark.parametrize(
    "body",
    [
        "return np.tril(np.ones((queries, keys), bool), keys - queries)",
        "return np.arange(keys) <= np.arange(keys - queries, keys)[:, None]",
        "return np.tri(keys, dtype=bool)[keys - queries:]",
        "return [[k <= q + keys - queries for k in range(keys)] for q in range(queries)]",
    ],
)
def test_right_causal(passes, body):
    passes("5b", CAUSAL + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("return np.triu(np.ones((queries, keys), bool))", "upper triangle"),
        ("return np.triu(np.ones((queries, keys), bool), 1)", "turned round"),
        ("return np.tril(np.ones((queries, keys), bool), -1)", "does not see its own position"),
        ("return np.tril(np.ones((queries, keys), bool))", "shift the diagonal by keys - queries"),
        ("return np.tril(np.ones((queries, keys), bool), 1)", "the target leaks"),
        ("return np.tril(np.ones((queries, keys)), keys - queries)", "make it Boolean"),
        ("return np.triu(np.ones((queries, keys)))", "make it Boolean"),
        (
            "return np.where(np.tri(queries, keys, keys - queries), 0, -np.inf)",
            "numbers to add to the scores",
        ),
        ("return np.tri(keys, keys, dtype=bool)", "has the shape"),
    ],
)
def test_wrong_causal(hints, body, hint):
    hints("5b", CAUSAL + body, hint)


@pytest.mark.parametrize(
    "body",
    [
        "return np.arange(keys) < lengths[:, None]",
        "return np.array([[i < n for i in range(keys)] for n in lengths])",
        "return np.tri(keys + 1, keys, -1, dtype=bool)[lengths]",
    ],
)
def test_right_padding(passes, body):
    passes("5c", PADDING + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("return np.arange(keys) >= lengths[:, None]", "turned round"),
        ("return np.arange(keys) <= lengths[:, None]", "One word too many"),
        ("return np.arange(keys) >= keys - lengths[:, None]", "The real words are at the end"),
        ("return np.arange(keys)[:, None] < lengths", "(batch, keys) is wanted"),
        ("return np.arange(keys) < lengths", "expected"),
    ],
)
def test_wrong_padding(hints, body, hint):
    hints("5c", PADDING + body, hint)


@pytest.mark.parametrize(
    "body",
    [
        "return ids[:, :-1], ids[:, 1:]",
        "return [ids[:, : ids.shape[1] - 1], torch.roll(ids, -1, 1)[:, :-1]]",
    ],
)
def test_right_pairs(passes, body):
    passes("5d", SHIFT + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("return ids, ids", "Inputs and targets are the same words"),
        ("return ids[:, :-1], ids[:, :-1]", "Inputs and targets are the same words"),
        ("return ids, torch.roll(ids, -1, 1)", "brings the first word round"),
        ("return ids[:, 1:], ids[:, :-1]", "Shifted the wrong way"),
        ("return ids[:-1], ids[1:]", "shape"),
        ("return ids[:, :-1]", "return inputs, targets"),
    ],
)
def test_wrong_pairs(hints, body, hint):
    hints("5d", SHIFT + body, hint)
