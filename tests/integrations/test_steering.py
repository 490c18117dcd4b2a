"""Knock-outs: a silenced head is its slice before the output projection, hidden keys are renormalised away."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard.errors import InputError

HEADS, WIDTH = 4, 8


@contextlib.contextmanager
def zeroed(projection: torch.nn.Module, heads: list[int]) -> Iterator[None]:
    """Zero the slices of heads in what goes into an output projection."""

    def zero(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> Any:
        states = args[0].clone()
        for head in heads:
            states[..., head * WIDTH : (head + 1) * WIDTH] = 0
        return (states, *args[1:])

    hook = projection.register_forward_pre_hook(zero)
    try:
        yield
    finally:
        hook.remove()


PROJECTIONS: dict[str, Callable[[Any], Any]] = {
    "bert": lambda model: model.encoder.layer[1].attention.output.dense,
    "gpt2": lambda model: model.transformer.h[1].attn.c_proj,
    "llama": lambda model: model.model.layers[1].self_attn.o_proj,
}


@pytest.mark.parametrize("kind", PROJECTIONS)
def test_silenced_heads_are_zeros_before_the_output_projection(
    make: Callable[..., Any], run: Callable[..., Any], ids: torch.Tensor, kind: str
) -> None:
    model = make(kind)
    before = run(model, input_ids=ids)[0]
    with zeroed(PROJECTIONS[kind](model), [0, 3]):
        expected = run(model, input_ids=ids)[0]
    with regard.steer(model, heads={1: [0, 3]}):
        found = run(model, input_ids=ids)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, before, atol=1e-3)
    assert torch.equal(run(model, input_ids=ids)[0], before)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_hidden_keys_are_masked_keys(
    make: Callable[..., Any], run: Callable[..., Any], ids: torch.Tensor, kind: str
) -> None:
    model = make(kind)
    mask = torch.ones_like(ids)
    mask[:, [2, 5]] = 0
    positions = {"position_ids": torch.arange(ids.shape[1])[None]} if kind != "bert" else {}
    expected = run(model, input_ids=ids, attention_mask=mask, **positions)[0]
    with regard.steer(model, hide=[2, 5]):
        found = run(model, input_ids=ids, **positions)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_reweighed_keys_are_renormalised(
    make: Callable[..., Any],
    eager: Callable[..., Any],
    watched: Callable[..., Any],
    ids: torch.Tensor,
) -> None:
    """Of the first layer, whose states do not change: a' = s a / sum s a."""
    model = make("bert")
    weights = eager(model, input_ids=ids)[None][0].numpy().astype(np.float64)
    factors = np.ones(ids.shape[1])
    factors[[1, 4]] = 0.25, 3
    expected = weights * factors
    expected /= expected.sum(-1, keepdims=True)
    with regard.steer(model, scale={0: {1: 0.25, 4: 3.0}}):
        seen, _ = watched(model, input_ids=ids)
    np.testing.assert_allclose(seen["encoder"][0].dense, expected, atol=1e-6)


@pytest.mark.parametrize("inner", ["watch", "steer"])
@pytest.mark.parametrize("kind", ["bert", "mistral"])
def test_a_steered_model_is_watched(
    make: Callable[..., Any], run: Callable[..., Any], ids: torch.Tensor, kind: str, inner: str
) -> None:
    model = make(kind)
    padded = torch.ones_like(ids)
    padded[1, -2:] = 0
    changes: dict[str, Any] = {"heads": {0: [2]}, "hide": {1: [1]}}
    with regard.steer(model, **changes):
        expected = run(model, input_ids=ids, attention_mask=padded)[0]
    with contextlib.ExitStack() as blocks:
        if inner == "watch":
            blocks.enter_context(regard.steer(model, **changes))
        seen = blocks.enter_context(regard.watch(model))
        if inner == "steer":
            blocks.enter_context(regard.steer(model, **changes))
        found = run(model, input_ids=ids, attention_mask=padded)[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    first, second = seen[seen.sites[0]][:2]
    assert first.dense[:, 2].max() == 0
    np.testing.assert_allclose(first.dense[0, [0, 1, 3]].sum(-1), 1, atol=1e-5)
    assert second.dense[..., 1].max() == 0
    assert second.dense[..., 0].max() > 0
    with regard.watch(model) as seen:
        run(model, input_ids=ids, attention_mask=padded)
    assert seen[seen.sites[0]][0].dense[:, 2].max() > 0


def test_generation_with_a_cache_is_steered_as_in_one_pass(
    make: Callable[..., Any], ids: torch.Tensor
) -> None:
    model = make("gpt2")
    with regard.steer(model, heads={0: [1]}, hide=[0, 3]):
        written = model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=1)
        logits = model(written[:, :-1]).logits
    assert torch.equal(logits[:, ids.shape[1] - 1 :].argmax(-1), written[:, ids.shape[1] :])


def test_cross_attention_is_hidden_by_site(
    make: Callable[..., Any], run: Callable[..., Any], ids: torch.Tensor
) -> None:
    model = make("bart")
    target = ids[:, :4]
    states = model.get_encoder()(ids)
    mask = torch.ones_like(ids)
    mask[:, 3] = 0
    expected = run(model, encoder_outputs=states, decoder_input_ids=target, attention_mask=mask)[0]
    with regard.steer(model, hide={"cross": [3]}) as steered:
        found = run(model, encoder_outputs=states, decoder_input_ids=target)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert steered.layers == {"encoder": 3, "decoder": 2, "cross": 2}
    with pytest.raises(InputError, match="several places"), regard.steer(model, hide=[3]):
        pass


def test_a_query_without_keys_gets_zeros(
    make: Callable[..., Any], ids: torch.Tensor, run: Callable[..., Any]
) -> None:
    model = make("bert")
    with regard.steer(model, hide={0: list(range(ids.shape[1]))}), regard.watch(model) as seen:
        found = run(model, input_ids=ids)[0]
    assert bool(found.isfinite().all())
    assert seen["encoder"][0].dense.max() == 0


def test_the_model_is_restored_after_an_error(
    make: Callable[..., Any], run: Callable[..., Any], ids: torch.Tensor
) -> None:
    model = make("bert")
    before = run(model, input_ids=ids)[0]
    with pytest.raises(ZeroDivisionError), regard.steer(model, hide=[0]):
        raise ZeroDivisionError
    assert torch.equal(run(model, input_ids=ids)[0], before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": {0: [4]}}, "no head 4"),
        ({"heads": {3: [0]}}, "no layer 3"),
        ({"heads": {"decoder": [0]}}, "no attention in 'decoder'"),
        ({"hide": [11]}, "never there: the longest text had 11"),
        ({"hide": [-1]}, "from 0"),
        ({"scale": {2: -1.0}}, "at least 0"),
    ],
)
def test_what_is_not_there_is_refused(
    make: Callable[..., Any],
    run: Callable[..., Any],
    ids: torch.Tensor,
    changes: dict[str, Any],
    message: str,
) -> None:
    model = make("bert")
    with pytest.raises(InputError, match=message), regard.steer(model, **changes):
        run(model, input_ids=ids)
    with regard.steer(model, hide=[0]):  # left as it was
        pass


def test_models_that_cannot_be_steered(make: Callable[..., Any]) -> None:
    for model, message in (
        (torch.nn.Linear(2, 2), "no transformers model"),
        (make("albert"), "share their parameters"),
    ):
        with pytest.raises(InputError, match=message), regard.steer(model, hide=[0]):
            pass
    model = make("bert")
    with (
        regard.steer(model, hide=[0]),
        pytest.raises(InputError, match="being steered already"),
        regard.steer(model, hide=[1]),
    ):
        pass


def test_relative_positions_stay(
    make: Callable[..., Any], run: Callable[..., Any], ids: torch.Tensor
) -> None:
    model = make("t5")
    mask = torch.ones_like(ids)
    mask[:, 2] = 0
    inputs = {"input_ids": ids, "decoder_input_ids": ids[:, :4]}
    expected = run(model, **inputs, attention_mask=mask)[0]
    with regard.steer(model, hide={"encoder": [2], "cross": [2]}):
        found = run(model, **inputs)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
