"""Summaries of our kinds: every number equals the module's own, and shapes hold at any size of input."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from regard.layers import MultiHeadAttention
from regard.models import KINDS, build, configure
from regard.models.summarizing import Probe, named_shape, probe_network, summarize
from regard.models.summary import LayerSummary, ModelSummary

SIZES = {"size": 30, "source_size": 30, "target_size": 30, "labels": 3}


def network_of(kind: str, **values: object) -> nn.Module:
    torch.manual_seed(0)
    known = {name: n for name, n in SIZES.items() if name in KINDS[kind][0].model_fields}
    network: nn.Module = build(configure(kind, "tiny", **known, **values))
    if kind == "wide":
        surfaces = ["", "", "", "", *(f" {letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
        texts = [[4, 5, 6], [7, 8, 9], [5, 10]]
        network.fit_features(surfaces, texts, torch.tensor([0, 1, 2]))  # type: ignore[operator]
    return network.eval()


def summary_of(kind: str, **values: object) -> tuple[nn.Module, ModelSummary]:
    network = network_of(kind, **values)
    return network, summarize(network, probe_network(network), title=kind)


def by_name(summary: ModelSummary) -> Mapping[str, LayerSummary]:
    return {row.name: row for row in summary.layers}


@pytest.mark.parametrize("kind", list(KINDS))
def test_totals_are_those_of_the_module(kind: str) -> None:
    network, summary = summary_of(kind)
    first = next(network.parameters())
    first.requires_grad_(False)
    frozen = summarize(network, probe_network(network), title=kind)
    state = network.state_dict(keep_vars=True)
    distinct = {id(tensor): tensor for tensor in state.values()}.values()
    parameters = sum(p.numel() for p in network.parameters())
    assert summary.parameters == summary.trainable == parameters
    assert frozen.trainable == parameters - first.numel()
    assert summary.parameters + summary.buffers == sum(t.numel() for t in distinct)
    assert summary.size == sum(t.numel() * t.element_size() for t in distinct)
    assert any(row.attention for row in summary.layers)
    assert all(row.shapes for row in summary.layers)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_summary_is_made_where_the_module_lies(kind: str) -> None:
    """torch's meta device, the default here, mixes with no other, as a GPU does not."""
    network, summary = summary_of(kind)
    with torch.device("meta"):
        assert summarize(network, probe_network(network), title=kind) == summary


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_summary_leaves_the_module_and_the_random_numbers_as_they_were(kind: str) -> None:
    network = network_of(kind).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    summarize(network, probe_network(network), title=kind)
    assert torch.equal(state, torch.get_rng_state())
    assert all(part.training for part in network.modules())
    assert not any("forward" in vars(part) for part in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_transformer_row_by_row() -> None:
    _, summary = summary_of("transformer", width=16, heads=4, feedforward=8)
    rows = by_name(summary)
    names = [row.name for row in summary.layers]
    assert names[:4] == ["source ids", "target ids", "source", "places"]
    assert rows["source"].shapes == (("batch", "source", 16),)
    assert rows["places"].shapes == (("source", 16), ("target", 16))
    assert rows["encoder.0.attention"].connected_to == ("encoder.0.around_attention.norm",)
    assert rows["encoder.0.attention"].parameters == 4 * (16 * 16 + 16)
    assert rows["add_1"].connected_to == ("add", "encoder.0.attention")
    assert rows["decoder.1.cross"].connected_to == ("encoder_norm", "decoder.1.around_cross.norm")
    seen = {
        name: str(row.attention)
        for name, row in rows.items()
        if name in ("encoder.0.attention", "decoder.0.attention", "decoder.0.cross")
    }
    assert seen == {
        "encoder.0.attention": "self-attention, 4 heads, scaled dot product, mask: padding",
        "decoder.0.attention": "self-attention, 4 heads, scaled dot product, mask: causal",
        "decoder.0.cross": "cross-attention, 4 heads, scaled dot product, mask: padding",
    }
    assert rows["output"].parameters == 0
    assert rows["output"].shares == ("target",)
    assert "Shared parameters, counted once: output (with target)" in summary.table()


def test_shared_embeddings_are_one_row_that_reads_both_texts() -> None:
    _, summary = summary_of("transformer", joint=True)
    shared = by_name(summary)["target"]
    assert shared.shapes == (("batch", "source", 128), ("batch", "target", 128))
    assert shared.connected_to == ("source ids", "target ids")


@pytest.mark.parametrize(
    ("score", "name"),
    [
        ("additive", "additive score"),
        ("dot", "dot product"),
        ("general", "general score"),
        ("concat", "additive score"),
    ],
)
@pytest.mark.parametrize("feeding", [True, False])
def test_a_recurrent_decoder_that_attends_step_by_step_or_at_once(
    score: str, name: str, feeding: bool
) -> None:
    _, summary = summary_of("rnn", score=score, input_feeding=feeding)
    rows = by_name(summary)
    attention = rows["attention"]
    assert str(attention.attention) == f"cross-attention, 1 head, {name}, mask: padding"
    assert attention.connected_to == ("encoder", "cell")
    queries = 1 if feeding else "target"
    width = 128 if score == "dot" else 256
    assert attention.shapes == (("batch", queries, width),)


def test_grouped_heads_positions_and_another_normalizer() -> None:
    _, summary = summary_of("lm", width=16, heads=4, key_heads=2)
    found = by_name(summary)["decoder.0.attention"].attention
    assert str(found) == (
        "self-attention, 4 heads, 2 of keys, scaled dot product, rotary positions, mask: causal"
    )


def test_sentences_of_a_hierarchical_model_have_no_fixed_number() -> None:
    network = network_of("hierarchical")
    for known in (False, True):
        for name, buffer in network.named_buffers():
            if name.endswith("stops"):
                buffer[5] = known
        rows = by_name(summarize(network, probe_network(network), title=""))
        pooling = rows["readers.0.word_pooling"]
        assert pooling.shapes == (("batch", None, 64),)
        assert pooling.attention is not None
        assert pooling.attention.mask == ("padding", "other positions")
        assert rows["readers.0.sentence_pooling"].shapes == (("batch", 64),)
        assert rows["readers.0.word_encoder"].shapes == ((None, None, 64),)


class _Own(nn.Module):
    """A module with a parameter of its own, dropout, a branch that does not run, and a doubled batch."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.first = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
        self.unused = nn.Linear(4, 2)
        self.attention = MultiHeadAttention(4, heads=2)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.attention(self.first(x) * self.scale)
        return torch.cat([x, y], 0)


def test_any_module_of_torch() -> None:
    module = _Own()

    def probe(batch: int, length: int) -> Probe:
        x = torch.randn(batch, length, 4)
        return Probe(lambda: module(x), {"x": x}, {"batch": batch, "length": length})

    summary = summarize(module, (probe(3, 7), probe(2, 9)), title="mine")
    assert [row.name for row in summary.layers] == [
        "x", "first.0", "scale", "attention", "concatenate", "unused",
    ]  # fmt: skip
    rows = by_name(summary)
    assert rows["scale"].kind == "Parameter"
    assert rows["attention"].connected_to == ("scale",)
    assert rows["concatenate"].shapes == ((None, "length", 4),)
    assert rows["concatenate"].connected_to == ("x", "attention")
    assert rows["unused"].shapes == ()
    assert "did not run" in summary.table()
    assert summary.parameters == sum(p.numel() for p in module.parameters())


def test_products_and_sizes_that_follow_otherwise() -> None:
    sizes = ({"batch": 3, "length": 7}, {"batch": 2, "length": 9})
    assert named_shape((21, 8), (18, 8), sizes) == ("batch*length", 8)
    assert named_shape((3, 8), (9, 8), sizes) == (None, 8)
    assert named_shape((3,), (2, 1), sizes) == (None,)
