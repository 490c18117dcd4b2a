"""`AttentionPooling` by hand, with masks, and in a classifier that is trained, saved and loaded."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import regard
from regard.errors import InputError, ShapeError
from regard.keras import AttentionPooling


@pytest.mark.parametrize("heads", [1, 3])
def test_values_by_hand(heads, numpy, random):
    x = random(2, 5, 4)
    mask = np.array([[True, True, False, True, True], [False] * 5])
    layer = AttentionPooling(6, num_heads=heads)
    pooled, scores, weights = layer(
        x, mask=mask, return_attention_scores=True, return_attention_map=True
    )
    w, b, v = layer.get_weights()
    by_hand = np.tanh(x @ w + b) @ v
    by_hand = np.where(mask[..., None], np.exp(by_hand), 0)
    by_hand /= np.maximum(by_hand.sum(1, keepdims=True), 1e-30)
    by_hand = by_hand.transpose(0, 2, 1)
    np.testing.assert_allclose(numpy(scores), by_hand, atol=1e-6)
    np.testing.assert_allclose(numpy(pooled), (by_hand @ x).reshape(2, -1), atol=1e-6)
    assert not numpy(pooled)[1].any()
    assert isinstance(weights, regard.AttentionMap)
    assert weights.shape == (2, heads, 1, 5)


def test_it_is_the_torch_layer(numpy, random):
    import torch

    x = random(2, 5, 4)
    layer = AttentionPooling(6, num_heads=2)
    theirs = regard.layers.AttentionPooling(4, 6, heads=2)
    output = layer(x)
    w, b, v = (torch.tensor(each) for each in layer.get_weights())
    with torch.no_grad():
        theirs.project.weight.copy_(w.T)
        theirs.project.bias.copy_(b)
        theirs.context.copy_(v.T)
        wanted = theirs(torch.tensor(x))[0]
    np.testing.assert_allclose(numpy(output), wanted, atol=1e-6)


def test_nan_in_the_padding_reaches_nothing(numpy, random, gradients):
    x = random(1, 3, 4)
    x[:, 2] = np.nan
    mask = np.array([[True, True, False]])
    layer = AttentionPooling()
    assert np.isfinite(numpy(layer(x, mask=mask))).all()
    found = gradients(lambda x: layer(x, mask=mask), x, upstream=np.ones((1, 4), np.float32))
    assert np.isfinite(found[0]).all()


def test_errors(random):
    with pytest.raises(ShapeError, match="return_sequences=True"):
        AttentionPooling()(random(2, 4))
    with pytest.raises(ShapeError, match=r"mask has shape \(2, 3\); expected \(2, 5\)"):
        AttentionPooling()(random(2, 5, 4), mask=np.ones((2, 3), bool))
    with pytest.raises(InputError, match="num_heads is 0"):
        AttentionPooling(num_heads=0)
    with pytest.raises(InputError, match="a map is no tensor"):
        AttentionPooling()(keras.Input((3, 4)), return_attention_map=True)


@pytest.mark.dependency
@pytest.mark.slow
def test_a_bigru_classifier_learns_is_saved_and_answers_as_before(tmp_path, numpy):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    ids = rng.integers(2, 12, (128, 6))
    ids[:64, 2] = 1  # the word that decides
    ids[::3, 4:] = 0
    labels = (ids == 1).any(1).astype(int)
    model = keras.Sequential(
        [
            keras.layers.Input((None,)),
            keras.layers.Embedding(12, 8, mask_zero=True),
            keras.layers.Bidirectional(keras.layers.GRU(8, return_sequences=True)),
            AttentionPooling(8, dropout=0.1),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    history = model.fit(ids, labels, epochs=8, batch_size=32, validation_split=0.2, verbose=0)
    assert history.history["accuracy"][-1] > 0.9
    answers = model.predict(ids, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(ids, verbose=0), answers, atol=1e-6)
    np.testing.assert_allclose(numpy(model(ids)), answers, atol=1e-5)  # padding changes nothing
    alone = [numpy(model(row[row > 0][None]))[0] for row in ids[:4]]
    np.testing.assert_allclose(alone, answers[:4], atol=1e-5)
