"""`regard.watch` of Keras models: the weights that Keras's own layers return, by their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import regard
from regard.errors import InputError

keras: Any = pytest.importorskip("keras")


def model_and_input():
    x = keras.Input((5, 8))
    inner = keras.layers.MultiHeadAttention(2, 4, name="mha")
    y = keras.layers.Attention(name="plain")([x, x])
    y = keras.layers.AdditiveAttention(name="bahdanau")([y, x])
    block = keras.Model(x, inner(x, x), name="block")
    y = keras.layers.GroupQueryAttention(4, 4, 2, name="grouped")(block(y), x, use_causal_mask=True)
    given = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    return keras.Model(x, y), given


def numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def test_against_return_attention_scores():
    model, given = model_and_input()
    before = numpy(model(given))
    with regard.watch(model) as seen:
        output = numpy(model(given))
    np.testing.assert_allclose(output, before, atol=1e-5)
    assert seen.sites == ["plain", "bahdanau", "block/mha", "grouped"]
    y, wanted = model.get_layer("plain")([given, given], return_attention_scores=True)
    np.testing.assert_allclose(seen["plain"][0].dense[:, 0], numpy(wanted), atol=1e-5)
    y, wanted = model.get_layer("bahdanau")([y, given], return_attention_scores=True)
    np.testing.assert_allclose(seen["bahdanau"][0].dense[:, 0], numpy(wanted), atol=1e-5)
    mha = model.get_layer("block").get_layer("mha")
    y, wanted = mha(y, y, return_attention_scores=True)
    np.testing.assert_allclose(seen["block/mha"][0].dense, numpy(wanted), atol=1e-5)
    _, wanted = model.get_layer("grouped")(
        y, given, use_causal_mask=True, return_attention_scores=True
    )
    np.testing.assert_allclose(seen["grouped"][0].dense, numpy(wanted), atol=1e-5)
    assert seen["grouped"][0].causal


def test_the_model_is_as_before_also_after_an_error():
    model, given = model_and_input()
    names = set(vars(model.get_layer("plain")))

    def run():
        with regard.watch(model):
            model(given)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert set(vars(model.get_layer("plain"))) == names
    assert not isinstance(model.get_layer("plain")([given, given]), tuple)


def test_texts_are_kept_apart():
    model, given = model_and_input()
    with regard.watch(model) as seen:
        model(given)
        model(given[:1])
    assert [each["plain"][0].shape[0] for each in seen.passes] == [2, 1]


def test_who_asks_for_scores_gets_them_and_a_layer_alone_is_watched():
    layer = keras.layers.Attention(name="alone")
    x = np.ones((1, 3, 4), np.float32)
    with regard.watch(layer) as seen:
        output, scores = layer([x, x], return_attention_scores=True)
    assert output.shape == (1, 3, 4)
    np.testing.assert_allclose(seen["alone"][0].dense[:, 0], numpy(scores), atol=1e-6)


class OwnAttention(keras.layers.Layer):
    """A layer of a user's own that cannot return its weights."""

    def call(self, x):
        return keras.ops.softmax(x @ keras.ops.swapaxes(x, 1, 2), -1) @ x


def test_a_layer_that_cannot_return_weights_is_named():
    model = keras.Sequential([keras.layers.Input((3, 4)), OwnAttention(name="own")])
    with (
        pytest.raises(InputError, match=r"own \(OwnAttention\) cannot return weights"),
        regard.watch(model),
    ):
        pass
    with (
        pytest.raises(InputError, match="no layer that can return"),
        regard.watch(keras.Sequential([keras.layers.Dense(2)])),
    ):
        pass
    if keras.config.backend() == "torch":
        with regard.watch(model, way="dispatcher") as seen:
            model(np.ones((1, 3, 4), np.float32))
        assert seen[seen.sites[0]][0].shape == (1, 1, 3, 3)


def test_a_compiled_function_is_refused_and_what_to_do_is_said():
    if keras.config.backend() == "torch":
        pytest.skip("runs without a compiler")
    model, given = model_and_input()
    with pytest.raises(InputError, match=r"compiled function.*model\(x\)"), regard.watch(model):
        model.predict(given, verbose=0)


def test_the_way_of_layers_is_for_keras():
    import torch

    with (
        pytest.raises(InputError, match="for models of Keras; got a Linear"),
        regard.watch(torch.nn.Linear(2, 2), way="layers"),
    ):
        pass
