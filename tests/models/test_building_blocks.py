"""Building blocks, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from regard.attention.exporting import exporting
from regard.models.building_blocks import (
    Embedding,
    Residual,
    WordDropout,
    all_real,
    mask_of_padding,
    padding_mask,
)


def test_padding_mask_by_hand() -> None:
    assert padding_mask(torch.tensor([0, 2]), 3).tolist() == [[False] * 3, [True, True, False]]


def test_no_padding_needs_no_mask() -> None:
    assert mask_of_padding(torch.tensor([3, 3]), 3) is None
    for lengths in (torch.tensor([3, 2]), torch.tensor([2])):
        mask = mask_of_padding(lengths, 3)
        assert mask is not None
        assert torch.equal(mask, padding_mask(lengths, 3))
    with exporting():  # a graph is made for other lengths, too
        mask = mask_of_padding(torch.tensor([3]), 3)
    assert mask is not None
    assert mask.all()


def test_a_graph_of_torch_compile_gets_the_mask() -> None:
    """It cannot branch on the values of the lengths."""

    def masks(lengths: Tensor) -> Tensor:
        mask = mask_of_padding(lengths, 3)
        assert mask is not None
        assert not all_real(mask)
        return mask

    lengths = torch.tensor([3, 3])
    compiled = torch.compile(masks, fullgraph=True, backend="eager")
    assert torch.equal(compiled(lengths), padding_mask(lengths, 3))


def test_padding_has_no_vector_and_no_gradient() -> None:
    embedding = Embedding(7, 4, scaled=True)
    vectors = embedding(torch.tensor([[0, 3]]))
    assert not vectors[0, 0].any()
    torch.testing.assert_close(vectors[0, 1], 2 * embedding.weight[3])
    vectors.sum().backward()
    assert embedding.weight.grad is not None
    assert not embedding.weight.grad[0].any()


def test_residual_normalises_before_or_after() -> None:
    x = torch.randn(2, 3, 4)
    normed = nn.LayerNorm(4)(x)
    pre, post = (Residual(4, norm=norm, dropout=0.0) for norm in ("pre", "post"))  # type: ignore[arg-type]
    torch.testing.assert_close(pre.pre(x), normed)
    torch.testing.assert_close(pre.post(x, x), 2 * x)
    torch.testing.assert_close(post.pre(x), x)
    torch.testing.assert_close(post.post(x, x), nn.LayerNorm(4)(2 * x))


def test_word_dropout_drops_whole_vectors_and_scales_the_others() -> None:
    torch.manual_seed(0)
    dropout, x = WordDropout(0.25), torch.ones(50, 40, 3)
    found = dropout(x)
    assert found.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert torch.equal(found.amax(-1), found.amin(-1))
    assert float((found == 0).double().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(dropout.eval()(x), x)
