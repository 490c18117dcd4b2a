"""Any module watched at the dispatcher: weights against those it computes, output and gradients unchanged."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import flex_attention
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import regard
from regard.errors import InputError, RegardError
from regard.integrations import Keep
from tests.integrations.written_attention import WAYS, Attention, Network


def network(kind: str, **sizes: Any) -> Network:
    torch.manual_seed(0)
    return Network(WAYS[kind], **sizes)


def states(batch: int = 2, length: int = 6, width: int = 8) -> Tensor:
    return torch.randn(batch, length, width, generator=torch.Generator().manual_seed(1))


def check_layers(seen: Any, model: Network, atol: float = 1e-6) -> None:
    layers = seen[seen.sites[0]]
    assert [layer.module for layer in layers] == ["layers.0", "layers.1"]
    for layer, attention in zip(layers, model.attentions, strict=True):
        assert layer.dense.shape == attention.truth.shape
        np.testing.assert_allclose(layer.dense, attention.truth.numpy(), atol=atol)


@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_against_the_weights_that_are_computed(kind, batch):
    model, x = network(kind).eval(), states(batch)
    with torch.no_grad():
        expected = model(x)
        with regard.watch(model) as seen:
            output = model(x)
    assert torch.equal(output, expected)
    check_layers(seen, model)


@pytest.mark.parametrize("kind", sorted(WAYS.keys() - {"in_half_precision"}))
@pytest.mark.parametrize("mode", ["training", "dropout alone", "inference"])
def test_dropout_and_modes_change_nothing(kind, mode):
    model, x = network(kind).train(mode != "inference"), states()
    contexts: dict[str, Any] = {
        "training": nullcontext(),
        "dropout alone": torch.no_grad(),
        "inference": torch.inference_mode(),
    }
    with contexts[mode]:
        torch.manual_seed(2)
        expected = model(x)
        torch.manual_seed(2)
        with regard.watch(model) as seen:
            output = model(x)
    assert torch.equal(output, expected)
    check_layers(seen, model)  # before dropout


def gradients(model: nn.Module) -> list[Tensor]:
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    return found


def test_gradients_are_unchanged():
    model, x = network("heads_in_the_batch"), states()
    torch.manual_seed(2)
    model(x).square().sum().backward()
    expected = gradients(model)
    torch.manual_seed(2)
    with regard.watch(model, keep=Keep(maps=True)) as seen:
        model(x).square().sum().backward()
    found = gradients(model)
    assert len(found) == len(expected) > 8
    assert all(map(torch.equal, found, expected))
    check_layers(seen, model)


class Checkpointed(Network):
    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + checkpoint(layer, x, use_reentrant=self.reentrant)
        return x


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_a_checkpoint_computes_again_is_counted_once(reentrant):
    model, x = Checkpointed(WAYS["by_einsum"]), states().requires_grad_()
    model.reentrant = reentrant
    with regard.watch(model) as seen:
        model(x).sum().backward()
    assert [len(layer.calls) for layer in seen["encoder"]] == [1, 1]
    check_layers(seen, model)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_models_run_their_own_code(backend):
    model, x = network("fused").eval(), states()
    compiled = torch.compile(model, backend=backend)
    with torch.no_grad():
        expected = compiled(x)
        with regard.watch(compiled) as seen:
            output = compiled(x)
    torch.testing.assert_close(output, expected)
    layers = seen["decoder"]
    assert [layer.module for layer in layers] == ["_orig_mod.layers.0", "_orig_mod.layers.1"]
    np.testing.assert_allclose(layers[1].dense, model.attentions[1].truth.numpy(), atol=1e-6)


# Modules of torch


def weights_of(layer: nn.MultiheadAttention, x: Tensor, **options: Any) -> Tensor:
    result: Tensor = layer(x, x, x, average_attn_weights=False, **options)[1]
    return result


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_multihead_attention_of_torch(batch_first, grad):
    layer = nn.MultiheadAttention(8, 2, batch_first=batch_first).eval()
    x = states(3, 5)
    expected = weights_of(layer, x).detach()
    with torch.set_grad_enabled(grad), regard.watch(layer) as seen:
        layer(x, x, x, need_weights=False)
    np.testing.assert_allclose(seen["encoder"][0].dense, expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_the_fast_path_of_an_encoder(norm_first, padded):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    nested = not norm_first
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested).eval()
    x, hidden = states(3, 5), torch.zeros(3, 5, dtype=torch.bool)
    hidden[0, 3:] = hidden[1, 4:] = padded
    with torch.no_grad():
        expected = model(x, src_key_padding_mask=hidden)
        with regard.watch(model) as seen:
            output = model(x, src_key_padding_mask=hidden)
    assert torch.equal(output, expected)
    with regard.watch(model) as slow:  # with gradients torch takes its other path
        model(x, src_key_padding_mask=hidden)
    real = ~hidden.numpy()[:, None, :, None]
    for fast, other in zip(seen["encoder"], slow["encoder"], strict=True):
        np.testing.assert_allclose(fast.dense * real, other.dense * real, atol=1e-6)


def test_cross_attention_of_torchs_transformer():
    torch.manual_seed(0)
    model = nn.Transformer(8, 2, 1, 2, 16, batch_first=True).eval()
    hidden = nn.Transformer.generate_square_subsequent_mask(4)
    with torch.no_grad(), regard.watch(model) as seen:
        model(states(2, 6), states(2, 4), tgt_mask=hidden)
    assert {site: len(seen[site]) for site in seen.sites} == {
        "encoder": 1,
        "decoder": 2,
        "cross": 2,
    }
    assert seen["cross"][0].shape == (2, 2, 4, 6)


# Other uses of a softmax


class Pooling(nn.Module):
    """Mean of the positions weighted by a learned score."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.truth = self.score(x.tanh()).squeeze(-1).softmax(-1)
        return (self.truth[..., None] * x).sum(1)


def test_pooling_by_a_learned_score_is_attention():
    model, x = Pooling(), states()
    with regard.watch(model) as seen:
        model(x)
    assert seen["encoder"][0].shape == (2, 1, 1, 6)
    np.testing.assert_allclose(seen["encoder"][0].dense[:, 0, 0], model.truth.detach())


class Mixture(nn.Module):
    """Attention whose output goes to experts that share a matrix, so that it looks like values."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention(WAYS["by_einsum"])
        self.gate, self.experts = nn.Linear(8, 3), nn.Parameter(torch.ones(3, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention(x)
        return self.gate(x).softmax(-1) @ self.experts


def test_a_router_is_no_attention():
    model = Mixture()
    with regard.watch(model) as seen:
        model(states())
    assert [layer.module for layer in seen["encoder"]] == ["attention"]


def test_a_model_without_attention_is_refused():
    model = nn.Sequential(nn.Linear(8, 8), nn.Softmax(-1))
    with pytest.raises(InputError, match="no attention was found in it"), regard.watch(model):
        model(states())


class HalfSeen(nn.Module):
    """Multiplies only the weights of the first queries with values."""

    def forward(self, x: Tensor) -> Tensor:
        w = (x @ x.mT).softmax(-1)
        return torch.cat([w[:, :2] @ x, w[:, 2:].amax(-1, keepdim=True) * x[:, 2:]], 1)


def test_attention_that_is_seen_in_part_is_named():
    model = nn.Sequential(HalfSeen())
    with (
        pytest.raises(InputError, match="only 24 of the 72 weights"),
        regard.watch(model),
    ):
        model(states())


class ScatteredAttention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        w = (x @ x.mT).softmax(-1)
        chosen = w.gather(-1, torch.zeros(*w.shape[:2], 1, dtype=torch.long))
        return chosen * x


def test_weights_that_are_taken_elsewhere_are_named():
    model = nn.Sequential(ScatteredAttention())
    with (
        pytest.raises(InputError, match=r"0 \(ScatteredAttention\) takes .* to gather"),
        regard.watch(model),
    ):
        model(states())


class SquaredAttention(nn.Module):
    def __init__(self, is_plain: bool) -> None:
        super().__init__()
        self.is_plain = is_plain

    def forward(self, x: Tensor) -> Tensor:
        scores = x @ x.mT
        return (scores.softmax(-1) if self.is_plain else scores.relu().square()) @ x


def test_a_layer_without_a_softmax_beside_others_is_named():
    model = nn.Sequential(SquaredAttention(True), SquaredAttention(False))
    with (
        pytest.raises(InputError, match=r"no attention was found in 1 \(SquaredAttention\)"),
        regard.watch(model),
    ):
        model(states())


def test_products_of_attention_matrices_are_refused():
    class Nystrom(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            first, second = (x @ x[:, :3].mT).softmax(-1), (x[:, :3] @ x.mT).softmax(-1)
            return first @ second @ x

    model = Nystrom()
    with pytest.raises(InputError, match="multiplied with each other"), regard.watch(model):
        model(states())


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_flex_attention_is_refused_by_name():
    class Flex(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = flex_attention(x, x, x)
            return result

    model = Flex()
    with pytest.raises(InputError, match=r"attends by .*flex_attention"), regard.watch(model):
        model(torch.randn(1, 2, 16, 8))


# Guards


def test_watching_twice_is_refused():
    model = network("by_einsum")
    with regard.watch(model):
        with pytest.raises(InputError, match="being watched already"), regard.watch(model):
            pass
        model(states())


def test_a_model_that_runs_in_another_thread_is_refused():
    model, errors = network("by_einsum"), []

    def run() -> None:
        try:
            model(states())
        except InputError as error:
            errors.append(str(error))

    with regard.watch(model):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert "runs in another thread" in errors[0]


def test_an_error_of_the_model_leaves_nothing_behind():
    model = network("by_einsum")
    with pytest.raises(RuntimeError), regard.watch(model):
        model(torch.zeros(2, 6, 7))
    with regard.watch(model) as seen:
        model(states())
    check_layers(seen, model)


def test_nan_weights_are_reported_with_their_layer():
    model = network("by_einsum")
    with torch.no_grad():
        model.attentions[1].query.weight[0, 0] = float("nan")
    with (
        pytest.raises(RegardError, match=r"layers\.1: \d+ of \d+ queries have NaN"),
        regard.watch(model),
    ):
        model(states())


def test_chosen_layers_and_heads_alone_are_kept():
    for kind in ("heads_in_the_batch", "fused"):
        model = network(kind)
        with regard.watch(model, keep=Keep(layers=(1,), heads=(1,))) as seen:
            model(states())
        (layer,) = seen["decoder"]
        assert layer.module == "layers.1"
        np.testing.assert_allclose(layer.dense, model.attentions[1].truth.numpy()[:, 1:], atol=1e-6)


# Memory


class Largest(TorchDispatchMode):
    """The most elements that any array made inside had."""

    elements = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for array in made if isinstance(made, tuple | list) else (made,):
            if isinstance(array, Tensor):
                self.elements = max(self.elements, array.numel())
        return made


def test_fused_attention_makes_no_matrix():
    length = 1024
    model, x = Attention(WAYS["fused"], heads=2), states(1, length)

    def without_truth(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> tuple[Tensor, Tensor]:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2), q[:0]

    model.written = without_truth
    with torch.no_grad(), Largest() as largest, regard.watch(model, keep=Keep(pool=0)) as seen:
        model(x)
    assert seen["encoder"][0].shape == (1, 2, length, length)
    assert largest.elements < length**2 / 4


def test_no_weights_are_held_after_a_layer():
    alive: list[Any] = []

    def written(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> tuple[Tensor, Tensor]:
        gc.collect()
        assert all(each() is None for each in alive)
        w = torch.einsum("bihd,bjhd->bhij", q, k).softmax(-1)
        alive.append(weakref.ref(w.untyped_storage()))
        return torch.einsum("bhij,bjhd->bihd", w, v), torch.zeros(0)

    model = Network(written)
    with torch.no_grad(), regard.watch(model):
        model(states())
        model(states())
    assert len(alive) == 4
