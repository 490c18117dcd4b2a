"""Multi-head attention against torch's own, against itself cached, and by finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regard import normalizers, scores
from regard.attention import causal, padding
from regard.errors import InputError, ShapeError
from regard.layers import (
    ALiBiPositions,
    MultiHeadAttention,
    Positions,
    RelativePositions,
    RotaryPositions,
)

LENGTHS = torch.tensor([7, 3, 1])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(11)


def positions(kind: str, heads: int) -> Positions | None:
    return {
        "none": None,
        "rotary": RotaryPositions(),
        "alibi": ALiBiPositions(),
        "relative": RelativePositions(heads, buckets=8, max_distance=6),
    }[kind]


@pytest.mark.parametrize("bias", [True, False])
def test_against_torch_self_attention(bias: bool) -> None:
    theirs = nn.MultiheadAttention(30, 5, bias=bias, batch_first=True).double().eval()
    if bias:
        nn.init.normal_(theirs.in_proj_bias)
        nn.init.normal_(theirs.out_proj.bias)
    ours = MultiHeadAttention.from_torch(theirs)
    x = torch.randn(3, 7, 30, dtype=torch.float64)
    hidden = ~torch.ones(7, 7, dtype=torch.bool).tril()
    expected, weights = theirs(x, x, x, attn_mask=hidden, average_attn_weights=False)
    output, found = ours(x, mask=causal())
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(found.dense(), weights)


@pytest.mark.parametrize("memory_width", [30, 13])
def test_against_torch_cross_attention(memory_width: int) -> None:
    theirs = nn.MultiheadAttention(
        30, 3, kdim=memory_width, vdim=memory_width, batch_first=True
    ).double()
    nn.init.normal_(theirs.in_proj_bias)
    ours = MultiHeadAttention.from_torch(theirs)
    x = torch.randn(3, 5, 30, dtype=torch.float64)
    memory = torch.randn(3, 7, memory_width, dtype=torch.float64)
    absent = torch.arange(7) >= LENGTHS[:, None]
    expected, weights = theirs(
        x, memory, memory, key_padding_mask=absent, average_attn_weights=False
    )
    output, found = ours(x, memory, mask=padding(LENGTHS))
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(found.dense(), weights)


@pytest.mark.parametrize("kind", ["none", "rotary", "alibi", "relative"])
@pytest.mark.parametrize("key_heads", [6, 3, 1])
def test_step_by_step_with_a_cache_is_causal_attention(kind: str, key_heads: int) -> None:
    layer = MultiHeadAttention(24, 6, key_heads=key_heads, positions=positions(kind, 6)).double()
    x = torch.randn(3, 7, 24, dtype=torch.float64)
    whole, weights = layer(x, mask=causal())
    cache, parts = None, []
    for start, stop in [(0, 1), (1, 4), (4, 5), (5, 7)]:
        output, row, cache = layer.step(x[:, start:stop], cache)
        parts.append(output)
        torch.testing.assert_close(row.dense(), weights.dense()[:, :, start:stop, :stop])
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_a_step_does_not_change_the_cache_it_was_given() -> None:
    layer = MultiHeadAttention(8, 2)
    x = torch.randn(2, 3, 8)
    _, _, cache = layer.step(x[:, :2], None)
    before = cache.key.clone()
    first, _, _ = layer.step(x[:, 2:], cache)
    again, _, longer = layer.step(x[:, 2:], cache)
    assert torch.equal(first, again)
    assert torch.equal(cache.key, before)
    assert (cache.length, longer.length) == (2, 3)


def test_a_projected_memory_against_cross_attention() -> None:
    layer = MultiHeadAttention(12, 3, key_width=5, key_heads=1)
    x, memory = torch.randn(2, 4, 12), torch.randn(2, 7, 5)
    torch.testing.assert_close(
        layer.attend_cached(x, layer.project_memory(memory))[0], layer(x, memory)[0]
    )


@pytest.mark.parametrize("kind", ["none", "rotary", "alibi", "relative"])
@pytest.mark.parametrize("key_heads", [4, 2])
def test_gradients(kind: str, key_heads: int) -> None:
    layer = MultiHeadAttention(8, 4, key_heads=key_heads, positions=positions(kind, 4)).double()
    x = torch.randn(3, 5, 8, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([5, 2, 0])
    names = [name for name, _ in layer.named_parameters()]

    def run(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        values = dict(zip(names, parameters, strict=True))
        output, _ = torch.func.functional_call(
            layer, values, (x,), {"mask": padding(lengths) & causal()}
        )
        return output

    assert torch.autograd.gradcheck(run, (x, *layer.parameters()), fast_mode=True)


@pytest.mark.parametrize(
    ("score", "normalizer"),
    [
        (scores.Cosine(3.0), normalizers.Softmax()),
        (scores.Dot(), normalizers.Sparsemax()),
        (scores.Additive(torch.linspace(-1, 1, 4)), normalizers.Entmax15()),
        (scores.ScaledDot(), normalizers.Sigmoid()),
    ],
)
def test_any_score_and_normaliser(score: scores.Score, normalizer: normalizers.Normalizer) -> None:
    layer = MultiHeadAttention(12, 3, score=score, normalizer=normalizer)
    x = torch.randn(2, 5, 12)
    output, weights = layer(x, mask=causal())
    _, own = layer._project_self(x)
    mixed = weights.dense() @ own.value
    torch.testing.assert_close(output, layer.output(mixed.transpose(1, 2).flatten(2)))
    rows = weights.dense()[:, :, -1].sum(-1)
    if not isinstance(normalizer, normalizers.Sigmoid):
        torch.testing.assert_close(rows, torch.ones_like(rows))


def test_padding_changes_nothing() -> None:
    layer = MultiHeadAttention(12, 3)
    x = torch.randn(3, 7, 12)
    with_nan = x.clone()
    for row, length in enumerate(LENGTHS):
        with_nan[row, length:] = torch.nan
    real = torch.arange(7) < LENGTHS[:, None]
    clean = layer(x, mask=padding(LENGTHS))[0][real]
    torch.testing.assert_close(layer(with_nan, mask=padding(LENGTHS))[0][real], clean)


def test_dropout_is_of_the_weights_in_training_only() -> None:
    layer = MultiHeadAttention(12, 3, dropout=0.5)
    x = torch.randn(2, 5, 12)
    one, weights = layer(x)
    assert not torch.allclose(one, layer(x)[0])
    torch.testing.assert_close(weights.dense().sum(-1), torch.ones(2, 3, 5))
    torch.manual_seed(5)
    seeded = layer(x)[0]
    torch.manual_seed(5)
    assert torch.equal(layer(x)[0], seeded)
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="width 10 does not divide by 3 heads"):
        MultiHeadAttention(10, 3)
    with pytest.raises(InputError, match="6 heads do not divide by 4 key heads"):
        MultiHeadAttention(12, 6, key_heads=4)
    for heads, key_heads in ((0, None), (-3, None), (6, -2), (6, 0)):
        with pytest.raises(InputError, match="must be at least 1"):
            MultiHeadAttention(12, heads, key_heads=key_heads)
    with pytest.raises(ShapeError, match="memory of width 5"):
        MultiHeadAttention(12, 3, key_width=5)(torch.randn(1, 2, 12))


@pytest.mark.parametrize("kind", ["none", "rotary", "alibi", "relative"])
def test_the_query_as_key_and_value_is_self_attention(kind: str) -> None:
    layer = MultiHeadAttention(24, 6, key_heads=3, positions=positions(kind, 6))
    x, bias = torch.randn(2, 5, 24), torch.randn(6, 5, 5)
    output, weights = layer(x, mask=causal(), bias=bias)
    for arguments in ((x,), (x, x), (x, x, x), (x, x, x.clone())):
        same, other = layer(*arguments, mask=causal(), bias=bias)
        torch.testing.assert_close(same, output)
        torch.testing.assert_close(other.dense(), weights.dense())
    far = layer(x, x.clone())[1].dense()  # another sequence: positions do not apply
    assert torch.allclose(far, layer(x)[1].dense()) == (kind == "none")


def test_keys_and_values_of_several_widths_and_memories() -> None:
    layer = MultiHeadAttention(12, 3, key_heads=1, key_width=5, value_width=7)
    x, key, value = torch.randn(2, 4, 12), torch.randn(2, 6, 5), torch.randn(2, 6, 7)
    output, weights = layer(x, key, value, mask=padding([6, 2]))
    assert weights.shape == (2, 3, 4, 6)
    cached, _ = layer.attend_cached(x, layer.project_memory(key, value), mask=padding([6, 2]))
    torch.testing.assert_close(cached, output)
    assert not torch.allclose(layer(x, key, value.flip(1))[0], layer(x, key, value)[0])
    with pytest.raises(ShapeError, match=r"value has shape \(2, 6, 5\); expected .* 7\)"):
        layer(x, key)
    with pytest.raises(ShapeError, match="each key needs a value"):
        layer(x, key, value[:, :5])
    with pytest.raises(InputError, match="value_width=0 must be at least 1"):
        MultiHeadAttention(12, 3, value_width=0)


@pytest.mark.parametrize("kind", ["none", "rotary", "alibi", "relative"])
def test_nested_tensors_as_if_each_sequence_were_alone(kind: str) -> None:
    layer = MultiHeadAttention(12, 3, positions=positions(kind, 3))
    sequences = [torch.randn(n, 12) for n in (7, 0, 3)]
    memories = [torch.randn(n, 12) for n in (2, 4, 5)]
    x, memory = (torch.nested.nested_tensor(s, layout=torch.jagged) for s in (sequences, memories))
    for n, (one, other) in enumerate(zip(sequences, memories, strict=True)):
        output, weights = layer(x, mask=causal())
        alone, own = layer(one[None], mask=causal())
        torch.testing.assert_close(output[n], alone[0])
        torch.testing.assert_close(weights[n, :, : len(one), : len(one)], own.dense()[0])
        cross, _ = layer(x, memory)
        torch.testing.assert_close(cross[n], layer(one[None], other[None])[0][0])
    torch.testing.assert_close((x + output).values(), x.values() + output.values())
    with pytest.raises(InputError, match="key and value is no nested tensor"):
        layer(x, torch.randn(3, 5, 12))


def test_the_names_of_the_parameters_stay() -> None:
    """They are the keys of models on disk."""
    assert list(MultiHeadAttention(12, 3).state_dict()) == [
        "projection.weight", "projection.bias", "output.weight", "output.bias",
    ]  # fmt: skip
    assert list(MultiHeadAttention(12, 3, key_width=5, bias=False).state_dict()) == [
        "projection.weight", "memory.weight", "output.weight",
    ]  # fmt: skip


def test_broadcasting_without_gradients_against_with_gradients() -> None:
    """The kernel of a decoding step reads a row of keys and of the mask for each row: no broadcasting."""
    torch.manual_seed(12)
    attention = MultiHeadAttention(8, 2).eval()
    query, memory = torch.randn(37, 1, 8), torch.randn(37, 5, 8)
    real = torch.arange(5) < torch.randint(1, 6, (37, 1))
    for kept, mask in (
        (memory, real[:1, None, None]),
        (memory, real[:, None, None, 1:2]),
        (memory[:1], None),
        (memory[:1], real[:, None, None]),
    ):
        expected, weights = attention(query, kept, mask=mask)
        with torch.no_grad():
            found, found_weights = attention(query, kept, mask=mask)
        torch.testing.assert_close(found, expected.detach())
        torch.testing.assert_close(found_weights.dense(), weights.dense().detach())
    for wrong in (real[:, None, None].float(), real[:, None, None, :4], real[1:, None, None]):
        with pytest.raises(InputError), torch.no_grad():
            attention(query, memory, mask=wrong)


def test_a_mask_of_rows_applies_to_keys_that_a_beam_shares() -> None:
    torch.manual_seed(13)
    attention = MultiHeadAttention(8, 2).eval()
    mask = (torch.rand(37, 1, 1, 4) < 0.7).logical_or(torch.arange(4) == 0)
    with torch.no_grad():
        cache = attention.step(torch.randn(37, 3, 8), None)[2]
        cache = attention.step(torch.randn(37, 1, 8), cache)[2].select(torch.randint(37, (37,)))
        query = torch.randn(37, 1, 8)
        found, _ = attention.attend_cached(query, cache, mask=mask)
    expected, _ = attention.attend_cached(query, cache, mask=mask)
    torch.testing.assert_close(found, expected.detach())


@torch.no_grad()
def test_steps_with_a_cap_and_a_sink_are_the_full_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the kernel of a decoding step, as without them: `attend` is not called."""
    layer = MultiHeadAttention(
        8,
        2,
        score=scores.Capped(scores.ScaledDot(), 0.5),
        normalizer=normalizers.Softmax(nn.Parameter(torch.tensor([0.3, -1.0]))),
    ).eval()
    x = torch.randn(40, 4, 8)
    expected, weights = layer(x, mask=causal())
    monkeypatch.setattr("regard.layers.multihead.attend", None)
    cache = None
    for i in range(4):
        output, row, cache = layer.step(x[:, i : i + 1], cache)
        torch.testing.assert_close(output, expected[:, i : i + 1])
        torch.testing.assert_close(row.dense(), weights.dense()[:, :, i : i + 1, : i + 1])
