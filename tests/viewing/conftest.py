"""Records to look at, small enough to know by heart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from regard.viewing import AttentionRecord, Tokens, Track
from regard.viewing.data.summary import FloatArray

Weights = Callable[..., FloatArray]


def _weights(heads: int, queries: int, keys: int, *, seed: int = 0) -> FloatArray:
    """Softmax rows that lean to the diagonal, as translation does."""
    rng = np.random.default_rng(seed)
    away = np.abs(np.arange(queries)[:, None] * keys / queries - np.arange(keys))
    scores = rng.normal(size=(heads, queries, keys)) - away
    weights = np.exp(scores)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float32)


@pytest.fixture(scope="session")
def weights() -> Weights:
    """Makes `(heads, queries, keys)` weights whose rows sum to 1."""
    return _weights


@pytest.fixture(scope="session")
def source() -> Tokens:
    text = "Ein Mädchen klettert ins Spielhaus."
    pieces = ("Ein", "Mäd", "chen", "klettert", "ins", "Spiel", "haus", ".", "</s>")
    spans = ((0, 3), (4, 7), (7, 11), (12, 20), (21, 24), (25, 30), (30, 34), (34, 35), (35, 35))
    return Tokens(pieces, text, spans)


@pytest.fixture(scope="session")
def target() -> Tokens:
    pieces = ["<s>", "A", "girl", "climbs", "into", "a", "play", "house"]
    return Tokens.of(pieces, "A girl climbs into a playhouse", special=["<s>"])


@pytest.fixture(scope="session")
def cross(source: Tokens, target: Tokens) -> AttentionRecord:
    return AttentionRecord.of(
        _weights(3, 8, 9),
        target,
        source,
        title="de → en",
        reading="at the step where the target token is the decoder's input",
    )


@pytest.fixture(scope="session")
def pooling() -> AttentionRecord:
    text = ["the", "film", "is", "slow", "but", "utterly", "wonderful", "."]
    weights = np.array([[0.02, 0.1, 0.02, 0.2, 0.06, 0.2, 0.38, 0.02]])
    return AttentionRecord.of(weights, ["positive"], text, title="positive, 0.97")


@pytest.fixture(scope="session")
def layers(source: Tokens, target: Tokens) -> AttentionRecord:
    """An encoder of two layers and a decoder of one: unequal lengths, kinds and head counts."""
    tracks = (
        Track("encoder", "self", "source", "source", _weights(3, 9, 9, seed=1), layer=0),
        Track("encoder", "self", "source", "source", _weights(3, 9, 9, seed=2), layer=1),
        Track("decoder", "self", "target", "target", _weights(2, 8, 8, seed=3), direction="causal"),
        Track("cross", "cross", "target", "source", _weights(2, 8, 9, seed=4)),
    )
    return AttentionRecord({"source": source, "target": target}, tracks, title="three kinds")


@pytest.fixture(scope="session")
def odd_tokens() -> list[str]:
    """Everything that has broken a page or a terminal before."""
    return [
        "</script>",
        "<img src=x onerror=alert(1)>",
        '"quoted"',
        "it's & so on",
        "${1+1}",
        "日本語",
        "שלום",
        "عالم",
        "e\u0301",
        "Z\u0351\u036b\u0343",
        "👩\u200d👩\u200d👧",
        "🇩🇪",
        "नमस्ते",
        "\u200b",
        "\u202eevil",
        "\x1b[2J",
        "\x00",
        "\n",
        " ",
        "",
        "\ud800",
        "=1+1",
        "$x^2$",
        "w" * 10_000,
    ]
