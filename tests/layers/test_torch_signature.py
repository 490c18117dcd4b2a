"""Our attention inside torch's Transformer layers, against torch's own with equal weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regard.attention.normalizers import Sparsemax
from regard.errors import InputError, MaskError, ShapeError
from regard.layers import ALiBiPositions, MultiHeadAttention

LENGTHS = torch.tensor([7, 3, 1])
PADDING = torch.arange(7) >= LENGTHS[:, None]
FUTURE = torch.ones(7, 7, dtype=torch.bool).triu(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(4)


def encoder_layers(
    **settings: Any,
) -> tuple[nn.TransformerEncoderLayer, nn.TransformerEncoderLayer]:
    """A layer of torch, and its copy with our attention."""
    theirs = nn.TransformerEncoderLayer(
        12, 4, 20, dropout=0.0, batch_first=True, **settings
    ).double()
    if theirs.self_attn.in_proj_bias is not None:
        nn.init.normal_(theirs.self_attn.out_proj.bias)
        nn.init.normal_(theirs.self_attn.in_proj_bias)
    ours = copy.deepcopy(theirs)
    ours.self_attn = MultiHeadAttention.from_torch(theirs.self_attn)  # type: ignore[assignment]
    return theirs, ours


MASKS: dict[str, dict[str, Any]] = {
    "none": {},
    "padding": {"src_key_padding_mask": PADDING},
    "future": {"src_mask": FUTURE},
    "future, said to be causal": {"src_mask": FUTURE, "is_causal": True},
    "both": {"src_mask": FUTURE, "src_key_padding_mask": PADDING, "is_causal": True},
    "floats": {"src_mask": torch.zeros(7, 7).double().masked_fill(FUTURE, -torch.inf)},
    "biases": {"src_mask": torch.linspace(-2, 2, 49).double().view(7, 7)},
    "of each head": {"src_mask": torch.linspace(-2, 2, 12 * 49).double().view(12, 7, 7)},
    "each head, Boolean": {
        "src_mask": (FUTURE | (torch.rand(12, 7, 7) < 0.2)) & ~torch.eye(7).bool()
    },
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("grad", [True, False])
def test_an_encoder_layer(name: str, training: bool, grad: bool) -> None:
    """In training and evaluation, where torch would take a fused path around our attention."""
    theirs, ours = (layer.train(training) for layer in encoder_layers())
    x = torch.randn(3, 7, 12, dtype=torch.float64)
    real = ~PADDING if "src_key_padding_mask" in MASKS[name] else torch.ones_like(PADDING)
    with torch.set_grad_enabled(grad):
        found = ours(x, **MASKS[name])
        # The fused path of torch 2.13 gives NaN for floats other than 0 and -inf.
        torch.backends.mha.set_fastpath_enabled(name not in ("biases", "of each head"))
        try:
            expected = theirs(x, **MASKS[name])
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
    torch.testing.assert_close(found[real], expected[real])
    if grad:
        grads = [
            torch.autograd.grad(y[real].square().sum(), layer.linear1.weight)[0]
            for layer, y in ((theirs, expected), (ours, found))
        ]
        torch.testing.assert_close(grads[1], grads[0])


@pytest.mark.parametrize(
    "settings", [{"bias": False}, {"norm_first": True}, {"activation": "gelu"}]
)
def test_other_encoder_layers(settings: dict[str, Any]) -> None:
    theirs, ours = (layer.eval() for layer in encoder_layers(**settings))
    x = torch.randn(3, 7, 12, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x, src_mask=FUTURE), theirs(x, src_mask=FUTURE))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype")
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("replaced_first", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_a_whole_encoder(replaced_first: bool, training: bool) -> None:
    """Attention may be replaced before the stack is built or after, when it has chosen nested tensors."""
    theirs_layer, ours_layer = encoder_layers()
    theirs = nn.TransformerEncoder(theirs_layer, 2).train(training)
    ours = nn.TransformerEncoder(ours_layer if replaced_first else theirs_layer, 2).train(training)
    for layer in ours.layers:
        if not replaced_first:
            layer.self_attn = MultiHeadAttention.from_torch(layer.self_attn)
    x = torch.randn(3, 7, 12, dtype=torch.float64)
    with torch.no_grad():
        expected = theirs(x, src_key_padding_mask=PADDING)
        found = ours(x, src_key_padding_mask=PADDING)
    torch.testing.assert_close(found[~PADDING], expected[~PADDING])


@pytest.mark.parametrize("training", [True, False])
def test_a_decoder_layer(training: bool) -> None:
    theirs = nn.TransformerDecoderLayer(12, 4, 20, dropout=0.0, batch_first=True).double()
    ours = copy.deepcopy(theirs).train(training)
    for name in ("self_attn", "multihead_attn"):
        setattr(ours, name, MultiHeadAttention.from_torch(getattr(theirs, name)).train(training))
    theirs.train(training)
    x, memory = torch.randn(3, 7, 12).double(), torch.randn(3, 7, 12).double()
    settings = {"tgt_mask": FUTURE, "memory_key_padding_mask": PADDING, "tgt_is_causal": True}
    torch.testing.assert_close(ours(x, memory, **settings), theirs(x, memory, **settings))


def test_an_encoder_layer_on_nested_tensors() -> None:
    """Texts of several lengths without padding."""
    layer = encoder_layers()[1].eval()
    texts = [torch.randn(n, 12).double() for n in (7, 3)]
    with torch.no_grad():
        output = layer(torch.nested.nested_tensor(texts, layout=torch.jagged))
        for found, text in zip(output.unbind(), texts, strict=True):
            torch.testing.assert_close(found, layer(text[None])[0])


def test_our_own_parts_inside_a_torch_layer() -> None:
    """What torch does not have: positions, and other normalisers."""
    layer = nn.TransformerEncoderLayer(12, 4, 20, dropout=0.0, batch_first=True).eval()
    own = MultiHeadAttention(12, 4, positions=ALiBiPositions(), normalizer=Sparsemax())
    layer.self_attn = own  # type: ignore[assignment]
    x = torch.randn(3, 7, 12)
    with torch.no_grad():
        expected = layer.norm1(x + own(x, key_padding_mask=PADDING)[0])
        expected = layer.norm2(expected + layer._ff_block(expected))
        torch.testing.assert_close(layer(x, src_key_padding_mask=PADDING), expected)


def test_a_query_that_may_attend_to_nothing_gets_zeros_where_torch_gives_nan() -> None:
    attention = MultiHeadAttention(12, 4)
    x = torch.randn(2, 7, 12)
    everything = torch.ones(2, 7, dtype=torch.bool)
    output, weights = attention(x, x, x, key_padding_mask=everything, need_weights=False)
    assert not weights.dense().any()
    torch.testing.assert_close(output, attention.output.bias.expand_as(output))


def test_is_causal_without_a_mask_is_no_mask_to_forget() -> None:
    attention, x = MultiHeadAttention(12, 4), torch.randn(2, 7, 12)
    _, weights = attention(x, x, x, is_causal=True)
    assert not weights.dense()[..., FUTURE].any()
    _, cross = attention(x[:, :3], x, is_causal=True)  # as torch aligns it: first with first
    assert not cross.dense()[..., FUTURE[:3]].any()


def test_masks_of_both_kinds_together() -> None:
    attention, x = MultiHeadAttention(12, 4), torch.randn(3, 7, 12)
    bias = torch.randn(7, 7)
    _, both = attention(x, mask=~FUTURE, bias=bias, key_padding_mask=PADDING, attn_mask=2 * bias)
    allowed = ~FUTURE & ~PADDING[:, None, None]
    _, alone = attention(x, mask=allowed, bias=3 * bias)
    torch.testing.assert_close(both.dense(), alone.dense())


def test_a_torch_layer_with_the_length_first_is_refused() -> None:
    """It would attend from example to example."""
    theirs = nn.TransformerEncoderLayer(12, 4, 20)
    theirs.self_attn = MultiHeadAttention.from_torch(theirs.self_attn)  # type: ignore[assignment]
    with pytest.raises(InputError, match="batch_first=True"):
        theirs(torch.randn(7, 3, 12))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda f, x: f(x, attn_mask=torch.ones(7, 7).int()),
            MaskError,
            "attn_mask holds torch.int32",
        ),
        (lambda f, x: f(x, attn_mask=torch.ones(7)), ShapeError, r"attn_mask has shape \(7,\)"),
        (lambda f, x: f(x, attn_mask=torch.ones(3, 7, 7)), ShapeError, "with 4 heads"),
        (lambda f, x: f(x, key_padding_mask=FUTURE[0]), ShapeError, r"expected \(batch, keys\)"),
        (
            lambda f, x: f(x, key_padding_mask=PADDING[:, :4]),
            MaskError,
            r"mask has shape \(3, 1, 1, 4\)",
        ),
    ],
)
def test_what_is_refused(
    call: Callable[[nn.Module, Tensor], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(MultiHeadAttention(12, 4), torch.randn(3, 7, 12))
