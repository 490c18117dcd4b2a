"""Networks as graphs: the same logits step by step as in one pass, from tensors with names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regard.attention.exporting import exporting
from regard.integrations.export.graphs import Graph, graphs_of, obstacle
from regard.models import KINDS, build, configure
from regard.models.transformer import TransformerState

SIZES = {"source_size": 30, "target_size": 30}
SMALL = {"width": 16, "heads": 2, "feedforward": 24}
PAGE = (Path(__file__).parents[3] / "docs" / "export.md").read_text(encoding="utf-8")
TARGET = torch.tensor([[2, 9, 20, 4, 7], [2, 5, 5, 29, 3]])


def random_network(kind: str, **values: Any) -> Any:
    torch.manual_seed(3)
    network = build(configure(kind, "tiny", **values)).eval()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return network


def named(network: Any, *, attention: bool = False) -> dict[str, Graph]:
    return {graph.name: graph for graph in graphs_of(network, longest=40, attention=attention)}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("transformer", {**SIZES, **SMALL, "positions": "sinusoidal"}),
        ("transformer", {**SIZES, **SMALL, "positions": "relative", "norm": "post"}),
        ("rnn", {**SIZES, "width": 16, "cell": "lstm", "decoder_layers": 2}),
        ("rnn", {**SIZES, "width": 16, "score": "dot", "input_feeding": False}),
        ("pointer", {"size": 30, "width": 16}),
    ],
    ids=["sinusoidal", "relative", "lstm", "dot", "pointer"],
)
@torch.no_grad()
def test_steps_of_a_decoder_against_one_pass(kind, values):
    network = random_network(kind, **values)
    source, lengths = torch.tensor([[4, 8, 15, 16], [23, 29, 0, 0]]), torch.tensor([4, 2])
    if kind == "pointer":
        source[0, 1] = 30  # an unknown word, which can be copied
    expected = network(source, lengths, TARGET).logits
    graphs = named(network, attention=True)
    state = graphs["encoder"].module(source, lengths)
    assert tuple(state) == graphs["encoder"].outputs
    for step in range(TARGET.shape[1]):
        found = graphs["decoder"].module(TARGET[:, step], *state.values())
        assert tuple(found) == graphs["decoder"].outputs
        allowed = found["logits"] > -torch.inf
        torch.testing.assert_close(
            found["logits"].where(allowed, 0.0),
            expected[:, step].where(allowed, 0.0),
            atol=2e-5,
            rtol=0,
        )
        torch.testing.assert_close(found["attention"].sum(-1), torch.ones(2))
        state |= {name[5:]: x for name, x in found.items() if name.startswith("next_")}


@torch.no_grad()
def test_steps_of_a_language_model_against_one_pass():
    network = random_network("lm", size=30, width=16, heads=4, key_heads=2, feedforward=24)
    expected = network(TARGET, torch.tensor([5, 5])).logits
    (graph,) = named(network).values()
    keys = torch.zeros(2, 2, 2, 0, 4)
    found = graph.module(TARGET[:, :2], keys, keys)
    torch.testing.assert_close(found["logits"], expected[:, 1], atol=2e-5, rtol=0)
    found = graph.module(TARGET[:, 2:3], found["next_keys"], found["next_values"])
    torch.testing.assert_close(found["logits"], expected[:, 2], atol=2e-5, rtol=0)


@torch.no_grad()
def test_maps_of_a_reader_have_names():
    network = random_network(
        "transformer-classifier", size=30, labels=3, embedding=16, layers=2, feedforward=24
    )
    (graph,) = named(network, attention=True).values()
    assert graph.outputs == (
        "logits", "attention_encoder_1", "attention_encoder_2", "attention_pooling_1",
    )  # fmt: skip
    found = graph.module(TARGET, torch.tensor([5, 3]))
    assert found["attention_encoder_1"].shape == (2, 4, 5, 5)
    np.testing.assert_allclose(found["attention_encoder_2"][1, :, :, 3:], 0)
    assert graph.longest == {"length": 512}


@torch.no_grad()
def test_sentences_of_a_graph_are_as_many_as_its_texts_have():
    network = random_network("hierarchical", size=30, labels=2, width=8, max_sentence_length=3)
    for encoder in network.readers:
        encoder.stops[5] = True
    (graph,) = named(network, attention=True).values()
    for ids, lengths in (
        (torch.tensor([[4, 5, 7, 8, 9, 6, 5, 4], [6, 6, 5, 0, 0, 0, 0, 0]]), torch.tensor([8, 3])),
        (torch.tensor([[4]]), torch.tensor([1])),
    ):
        expected = network(ids, lengths)
        with exporting():
            found = graph.module(ids, lengths)
        torch.testing.assert_close(found["logits"], expected.logits, atol=1e-6, rtol=0)
        words, count = expected.maps["words"][0].dense(), max(2, expected.maps["words"][0].shape[2])
        assert found["attention_words_1"].shape == (*words.shape[:2], count, words.shape[3])
        np.testing.assert_allclose(
            found["attention_words_1"][:, :, : words.shape[2]], words, atol=1e-6
        )


def test_every_kind_can_become_a_graph():
    sizes = {"size": 30, "source_size": 30, "target_size": 30, "labels": 2}
    for kind, (settings, _) in KINDS.items():
        given = {name: size for name, size in sizes.items() if name in settings.model_fields}
        assert not obstacle(build(configure(kind, "tiny", **given))), kind
        assert f"`{kind}`" in PAGE, kind


def test_a_network_of_others_has_tools_of_its_own():
    assert "another library" in obstacle(torch.nn.Linear(2, 2))


@torch.no_grad()
def test_steps_of_a_graph_are_those_of_modules_for_every_batch():
    """Compiled steps begin at a number of examples, which would be the largest batch of the graph."""
    network = random_network("transformer", **SIZES, **SMALL)
    memory = network.encode(torch.full((8, 3), 5), torch.full((8,), 3))
    with exporting():
        assert isinstance(network.start(memory), TransformerState)
