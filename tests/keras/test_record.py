"""`regard.keras.record`: which layer, which tokens, which weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import regard
from regard.errors import InputError, ShapeError


def embedding(words=9):
    return keras.layers.Embedding(words, 8, mask_zero=True)


def translator():
    source, target = keras.Input((None,), name="source"), keras.Input((None,), name="target")
    states, *last = keras.layers.LSTM(8, return_sequences=True, return_state=True)(
        embedding()(source)
    )
    decoded = keras.layers.LSTM(8, return_sequences=True)(embedding()(target), initial_state=last)
    cross = regard.keras.LuongAttention(name="luong")([decoded, states])
    own = keras.layers.MultiHeadAttention(2, 4, name="own")(cross, cross, use_causal_mask=True)
    pooled = regard.keras.AttentionPooling(name="pool")(states)
    return keras.Model([source, target], [own, pooled])


def test_every_layer_with_its_tokens(tmp_path):
    ids = [np.array([[1, 2, 3, 0], [4, 5, 0, 0]]), np.array([[4, 5, 6, 7], [1, 2, 3, 4]])]
    words = {"source": ["a", "b", "c"], "target": ["w", "x", "y", "z"]}
    record = regard.keras.record(translator(), ids, words, title="Letters")
    found = {
        track.name: (track.queries, track.keys, track.kind, track.heads) for track in record.tracks
    }
    assert found == {
        "luong": ("target", "source", "cross", 1),
        "own": ("target", "target", "self", 2),
        "pool": ("reader", "source", "pooling", 1),
    }
    for track in record.tracks:
        np.testing.assert_allclose(track.dense().sum(-1), 1, atol=1e-5)
    own = next(track for track in record.tracks if track.name == "own")
    assert own.direction == "causal"
    assert not np.triu(own.dense(), 1).any()
    assert record.title == "Letters"
    assert "c" in (record.save(tmp_path / "record.html")).read_text(encoding="utf-8")
    assert record.save(tmp_path / "record.png").stat().st_size > 1000


def test_a_sequential_model_without_names(capsys):
    model = keras.Sequential([embedding(), regard.keras.AttentionPooling(num_heads=2, name="pool")])
    record = regard.keras.record(model, np.array([[3, 1, 2, 0]]), ["a", "good", "film"])
    record.show()
    assert "film" in capsys.readouterr().out
    assert record.tracks[0].shape == (1, 3)
    assert not record.notes


def test_a_layer_that_attends_to_padding_is_told():
    text = keras.Input((None,))
    embedded = keras.layers.Embedding(9, 8)(text)  # mask_zero was forgotten
    model = keras.Model(text, regard.keras.Attention(name="plain")([embedded, embedded]))
    record = regard.keras.record(model, np.array([[3, 1, 0, 0]]), ["a", "b"])
    assert "plain: up to" in record.notes[0]
    assert "mask" in record.notes[0]


def test_errors():
    model, ids = translator(), [np.array([[1, 2, 3]]), np.array([[4, 5, 6]])]
    with pytest.raises(InputError, match=r"tokens are named src, tgt; expected.*source, target"):
        regard.keras.record(model, ids, {"src": ["a"] * 3, "tgt": ["b"] * 3})
    with pytest.raises(InputError, match="are one string"):
        regard.keras.record(model, ids, {"source": "a b c", "target": ["b"] * 3})
    with pytest.raises(ShapeError, match="3 keys, but 'source' has 5 tokens"):
        regard.keras.record(model, ids, {"source": ["a"] * 5, "target": ["b"] * 3})
    words = {"source": ["a"] * 3, "target": ["b"] * 3}
    with pytest.raises(InputError, match="no example 2 in a batch of 1"):
        regard.keras.record(model, ids, words, example=2)
    with pytest.raises(InputError, match="no layer that can return attention weights"):
        regard.keras.record(keras.Sequential([keras.layers.Dense(2)]), np.ones((1, 2)), ["a"])
