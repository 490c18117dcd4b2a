"""Right answers in several styles, and typical wrong ones with the hint that each must get."""

from __future__ import annotations

import pytest

SPLIT = """import numpy as np
def split_heads(x, heads):
    b, n, w = x.shape
    """
MULTI = """import torch
def multi_head(x, W_q, W_k, W_v, W_o, heads):
    b, n, w = x.shape
    d = w // heads
    q, k, v = x @ W_q, x @ W_k, x @ W_v
    """
KERAS = "import keras\ndef attend(query, key, value):\n    "


@pytest.mark.parametrize(
    "body",
    [
        "return x.reshape(b, n, heads, w // heads).transpose(0, 2, 1, 3)",
        "return np.stack(np.split(x, heads, axis=-1), axis=1)",
        "return np.swapaxes(x.reshape(b, n, heads, -1), 1, 2)",
        "d = w // heads\n    return np.array([[[x[i, :, h * d:(h + 1) * d] for h in range(heads)]"
        " for i in range(b)]])[0]",
    ],
)
def test_right_split(passes, body):
    passes("4", SPLIT + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("return x.reshape(b, heads, n, -1)", "cuts along the length"),
        ("return x.reshape(b, n, heads, -1)", "swap the two in the middle"),
        ("return x.reshape(b, n, -1, heads).transpose(0, 3, 1, 2)", "every heads-th feature"),
        ("return np.stack(np.split(x, heads, axis=-1))", "before the batch"),
        ("return np.split(x, heads, axis=-1)", "before the batch"),
        ("return x.reshape(b, n, heads, w)", "cannot reshape"),
    ],
)
def test_wrong_split(hints, body, hint):
    hints("4", SPLIT + body, hint)


CUT = "q, k, v = (t.view(b, n, heads, d).transpose(1, 2) for t in (q, k, v))\n    "


@pytest.mark.parametrize(
    "body",
    [
        CUT + "a = torch.softmax(q @ k.mT / d**0.5, -1) @ v\n"
        "    return a.transpose(1, 2).reshape(b, n, w) @ W_o",
        CUT + "a = torch.nn.functional.scaled_dot_product_attention(q, k, v)\n"
        "    return a.transpose(1, 2).flatten(2) @ W_o",
        "parts = []\n    for h in range(heads):\n        s = slice(h * d, (h + 1) * d)\n"
        "        a = torch.softmax(q[..., s] @ k[..., s].mT / d**0.5, dim=-1)\n"
        "        parts.append(a @ v[..., s])\n    return torch.cat(parts, -1) @ W_o",
    ],
)
def test_right_multi_head(passes, body):
    passes("4b", MULTI + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (
            CUT + "a = torch.softmax(q @ k.mT / w**0.5, -1) @ v\n"
            "    return a.transpose(1, 2).reshape(b, n, w) @ W_o",
            "the root of the whole width",
        ),
        (
            CUT + "a = torch.softmax(q @ k.mT, -1) @ v\n"
            "    return a.transpose(1, 2).reshape(b, n, w) @ W_o",
            "not scaled",
        ),
        ("return torch.softmax(q @ k.mT / w**0.5, -1) @ v @ W_o", "a single head"),
        (CUT + "return torch.softmax(q @ k.mT / d**0.5, -1) @ v", "The heads are still apart"),
        (
            CUT + "a = torch.softmax(q @ k.mT / d**0.5, -1) @ v\n"
            "    return a.transpose(1, 2).reshape(b, n, w)",
            "W_o is missing",
        ),
        (
            CUT
            + "a = torch.softmax(q @ k.mT / d**0.5, -1) @ v\n    return a.reshape(b, n, w) @ W_o",
            "swap heads and length again",
        ),
        (
            "q, k, v = (t.reshape(b, heads, n, d) for t in (q, k, v))\n"
            "    a = torch.softmax(q @ k.mT / d**0.5, -1) @ v\n"
            "    return a.transpose(1, 2).reshape(b, n, w) @ W_o",
            "cut along the length",
        ),
        (
            "q, k, v = (t.reshape(b, n, heads, d) for t in (q, k, v))\n"
            "    a = torch.softmax(q @ k.mT / d**0.5, -1) @ v\n    return a.reshape(b, n, w) @ W_o",
            "heads and length are swapped",
        ),
        (
            CUT + "a = torch.softmax(q @ k.mT / d**0.5, -2) @ v\n"
            "    return a.transpose(1, 2).reshape(b, n, w) @ W_o",
            "sum to 1 over the queries",
        ),
    ],
)
def test_wrong_multi_head(hints, body, hint):
    hints("4b", MULTI + body, hint)


@pytest.fixture
def keras():
    return pytest.importorskip("keras")


@pytest.mark.parametrize(
    "body",
    [
        "return keras.layers.Attention()([query / key.shape[-1] ** 0.5, value, key])",
        "s = keras.ops.matmul(query, keras.ops.transpose(key, (0, 2, 1)))\n"
        "    return keras.ops.matmul(keras.ops.softmax(s / key.shape[-1] ** 0.5), value)",
    ],
)
def test_right_keras(passes, keras, body):
    passes("4c", KERAS + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("return keras.layers.Attention()([query, value, key])", "does not divide by sqrt(d)"),
        (
            "return keras.layers.Attention()([query / key.shape[-1] ** 0.5, key, value])",
            "are [query, value, key], in this order",
        ),
        ("return keras.layers.Attention()([query, key, value])", "exchanged, and the scores are"),
        (
            "return keras.layers.Attention()([query / key.shape[-1] ** 0.5, value])",
            "Give all three",
        ),
        (
            "s = keras.ops.matmul(query, keras.ops.transpose(key, (0, 2, 1)))\n"
            "    return keras.ops.matmul(keras.ops.softmax(s / 4, axis=1), value)",
            "sum to 1 over the queries",
        ),
    ],
)
def test_wrong_keras(hints, keras, body, hint):
    hints("4c", KERAS + body, hint)
