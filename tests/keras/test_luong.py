"""`LuongAttention`: the paper by hand, the torch layer, local attention, and a translator that is trained."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

import regard
from regard.errors import SettingsError, ShapeError
from regard.keras import LuongAttention


@pytest.mark.parametrize("mode", ["dot", "general", "concat"])
@pytest.mark.parametrize("local", [None, "m", "p"])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_torch_layer(mode, local, masked, numpy, random):
    query, key = random(2, 3, 4), random(2, 6, 4, seed=1)
    width = None if local is None else 2
    layer = LuongAttention(score_mode=mode, local=local, width=width)
    layer.build([query.shape, key.shape])
    where = {None: None, "m": regard.layers.LocalM(2), "p": regard.layers.LocalP(2)}[local]
    theirs = regard.layers.LuongAttention(4, 4, score=mode, where=where)
    _copy(layer, theirs)
    mask = np.array([[True] * 4 + [False] * 2, [True] * 6]) if masked else None
    output, scores = layer([query, key], mask=[None, mask], return_attention_scores=True)
    lengths = None if mask is None else regard.padding(torch.tensor(mask))
    with torch.no_grad():
        wanted, weights = theirs(torch.tensor(query), torch.tensor(key), mask=lengths)
    np.testing.assert_allclose(numpy(output), wanted, atol=1e-5)
    np.testing.assert_allclose(numpy(scores), weights.dense().detach(), atol=1e-5)


def _copy(layer, theirs):
    """Give the torch layer the weights of a Keras layer."""

    def matrix(name):
        return torch.tensor(np.asarray(keras.ops.convert_to_numpy(getattr(layer, name)))).mT

    with torch.no_grad():
        if layer.score_mode == "general":
            theirs.scores.key.weight.copy_(matrix("kernel").T)
        elif layer.score_mode == "concat":
            theirs.scores.query.weight.copy_(matrix("query_kernel"))
            theirs.scores.key.weight.copy_(matrix("key_kernel"))
            theirs.scores.vector.copy_(torch.tensor(layer.vector.numpy()))
        if layer.local == "p":
            theirs.place.inner.weight.copy_(matrix("position_kernel"))
            theirs.place.outer.weight.copy_(matrix("position_vector"))
        both = matrix("output_kernel")
        theirs.combine.context.weight.copy_(both[:, :4])
        theirs.combine.query.weight.copy_(both[:, 4:])


def test_the_attentional_vector_has_its_own_width(numpy, random):
    query, value = random(2, 3, 4), random(2, 6, 5, seed=1)
    layer = LuongAttention(7)
    output, scores = layer([query, value], return_attention_scores=True)
    kernel = layer.get_weights()[-1]
    by_hand = np.tanh(np.concatenate([numpy(scores) @ value, query], -1) @ kernel)
    np.testing.assert_allclose(numpy(output), by_hand, atol=1e-5)
    assert layer.compute_output_shape([query.shape, value.shape]) == (2, 3, 7)


def test_errors(random):
    with pytest.raises(SettingsError, match="score_mode is 'bilinear'"):
        LuongAttention(score_mode="bilinear")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="local='p' with width=None"):
        LuongAttention(local="p")
    with pytest.raises(SettingsError, match="local is 'monotonic'"):
        LuongAttention(local="monotonic", width=3)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="try score_mode='general'"):
        LuongAttention(score_mode="dot")([random(1, 2, 4), random(1, 2, 5)])


@pytest.mark.dependency
@pytest.mark.slow
def test_an_encoder_decoder_learns_is_saved_and_answers_as_before(tmp_path):
    keras.utils.set_random_seed(0)
    source, target = keras.Input((None,), name="source"), keras.Input((None,), name="target")
    embedded = keras.layers.Embedding(9, 16, mask_zero=True)(source)
    states, *last = keras.layers.LSTM(16, return_sequences=True, return_state=True)(embedded)
    written = keras.layers.Embedding(9, 16, mask_zero=True)(target)
    decoded = keras.layers.LSTM(16, return_sequences=True)(written, initial_state=last)
    vector = LuongAttention(local="p", width=4, dropout=0.1)([decoded, states])
    model = keras.Model([source, target], keras.layers.Dense(9)(vector))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss)
    rng = np.random.default_rng(0)
    words = rng.integers(2, 9, (128, 5))
    inputs = [words, np.concatenate([np.ones((128, 1), int), words[:, :-1]], 1)]
    losses = model.fit(inputs, words, epochs=6, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    answers = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(inputs, verbose=0), answers, atol=1e-5)
