"""Right answers in several styles, and typical wrong ones with the hint that each must get."""

from __future__ import annotations

import pytest

NORM = "import numpy as np\ndef layer_norm(x, gain, bias, eps=1e-5):\n    "
BLOCK = "import torch\ndef block(x, norm1, attention, norm2, feedforward):\n    "
COUNT = "def parameters(width, feedforward, heads):\n    "


@pytest.mark.parametrize(
    "body",
    [
        "m, v = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)\n"
        "    return (x - m) / np.sqrt(v + eps) * gain + bias",
        "d = x - x.mean(-1)[..., None]\n"
        "    return gain * d * (np.square(d).mean(-1)[..., None] + eps) ** -0.5 + bias",
        "import torch\n    t = torch.from_numpy\n"
        "    return torch.nn.functional.layer_norm(t(x), x.shape[-1:], t(gain), t(bias), eps)",
    ],
)
def test_right_norm(passes, body):
    passes("6b", NORM + body)


def norm(statistics: str, end: str) -> str:
    return NORM + f"m, v = {statistics}\n    return {end}"


PER_POSITION = "x.mean(-1, keepdims=True), x.var(-1, keepdims=True)"
WHOLE = "(x - m) / np.sqrt(v + eps) * gain + bias"


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        (norm("x.mean(0), x.var(0)", WHOLE), "batch normalisation"),
        (norm("x.mean(1, keepdims=True), x.var(1, keepdims=True)", WHOLE), "over the positions"),
        (norm("x.mean(), x.var()", WHOLE), "the whole array"),
        (norm("x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)", WHOLE), "sentence"),
        (norm(PER_POSITION, "(x - m) / np.sqrt(v + eps)"), "Gain and bias are not used"),
        (norm(PER_POSITION, "(x - m) / np.sqrt(v + eps) * gain"), "The bias is not added"),
        (norm(PER_POSITION, "(x - m) / np.sqrt(v + eps) + bias"), "The gain is not used"),
        (
            norm(PER_POSITION.replace(")", ", ddof=1)", 2).replace(", ddof=1)", ")", 1), WHOLE),
            "ddof=1",
        ),
        (norm(PER_POSITION, "(x - m) / (v + eps) * gain + bias"), "You divide by the variance"),
        (norm(PER_POSITION, "(x - m) * gain + bias"), "do not divide by the standard deviation"),
        (norm(PER_POSITION, "(x - m) / np.sqrt(v) * gain + bias"), "the variance is 0"),
        (norm(PER_POSITION, "(x - m) / (np.sqrt(v) + eps) * gain + bias"), "under the root"),
        (norm("x.mean(-1), x.var(-1)", WHOLE), "keepdims=True"),
    ],
)
def test_wrong_norm(hints, source, hint):
    hints("6b", source, hint)


@pytest.mark.parametrize(
    "body",
    [
        "x = x + attention(norm1(x))\n    return x + feedforward(norm2(x))",
        "middle = torch.add(attention(norm1(x)), x)\n    out = feedforward(norm2(middle))\n"
        "    return out + middle",
    ],
)
def test_right_block(passes, body):
    passes("6", BLOCK + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (
            "x = norm1(x + attention(x))\n    return norm2(x + feedforward(x))",
            "The norms come after the additions",
        ),
        ("return feedforward(norm2(attention(norm1(x))))", "There is no residual connection"),
        ("x = x + attention(norm1(x))\n    return x + feedforward(x)", "without norm2"),
        ("x = x + attention(x)\n    return x + feedforward(norm2(x))", "without norm1"),
        (
            "x = norm1(x)\n    x = x + attention(x)\n    return x + feedforward(norm2(x))",
            "around the norm as well: x + attention",
        ),
        (
            "x = x + attention(norm1(x))\n    x = norm2(x)\n    return x + feedforward(x)",
            "to the normed result",
        ),
        (
            "y = x + attention(norm1(x))\n    return x + feedforward(norm2(y))",
            "adds the block's input again",
        ),
        ("return x + attention(norm1(x))", "The feed-forward part is missing"),
        ("return x + feedforward(norm2(x))", "The attention part is missing"),
        (
            "x = x + attention(norm1(x))\n    return x + feedforward(norm1(x))",
            "You use norm1 twice",
        ),
        (
            "return x + attention(norm1(x)) + feedforward(norm2(x))",
            "the second gets the sum",
        ),
        ("return x * attention(norm1(x)) + feedforward(norm2(x))", "was expected"),
    ],
)
def test_wrong_block(hints, body, hint):
    hints("6", BLOCK + body, hint)


@pytest.mark.parametrize(
    "body",
    [
        "return 4 * width * (width + 1) + 2 * width * feedforward + feedforward + 5 * width",
        "import torch\n    m = torch.nn.TransformerEncoderLayer(width, heads, feedforward, device='meta')\n"
        "    return sum(p.numel() for p in m.parameters())",
    ],
)
def test_right_count(passes, body):
    passes("6c", COUNT + body)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (
            "return heads * 4 * (width**2 + width) + 2 * width * feedforward + feedforward"
            " + 5 * width",
            "once for each head",
        ),
        (
            "return (3 * heads + 1) * (width**2 + width) + 2 * width * feedforward + feedforward"
            " + 5 * width",
            "query, key and value once for each head",
        ),
        (
            "return 3 * (width**2 + width) + 2 * width * feedforward + feedforward + 5 * width",
            "One projection is missing",
        ),
        (
            "return 4 * (width**2 + width) + 2 * width * feedforward + feedforward + width",
            "The layer norms are missing",
        ),
        (
            "return 4 * (width**2 + width) + 2 * width * feedforward + feedforward + 3 * width",
            "There are two layer norms",
        ),
        ("return 4 * width**2 + 2 * width * feedforward + 4 * width", "The biases are missing"),
        ("return 4 * width**2 + 2 * width * feedforward", "Biases and layer norms"),
        (
            "return 4 * (width**2 + width) + width * feedforward + feedforward + 4 * width",
            "The way back",
        ),
        (
            "return 4 * (width**2 + width) + 2 * (width * feedforward + feedforward) + 4 * width",
            "not feedforward",
        ),
        ("return 7087872", "was expected"),
    ],
)
def test_wrong_count(hints, body, hint):
    hints("6c", COUNT + body, hint)
