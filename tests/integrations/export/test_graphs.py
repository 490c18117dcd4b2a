"""Networks as graphs: the same logits step by step as in one pass, from tensors with names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from regard.integrations.export.graphs import Graph, graphs_of, obstacle
from regard.models import build, configure

SIZES = {"source_size": 30, "target_size": 30}
SMALL = {"width": 16, "heads": 2, "feedforward": 24}
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
    assert graph.longest == {"length": 511}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("wide", ""), ("hierarchical", "number of sentences"), ("bigru", "")],
)
def test_what_no_graph_can_hold_is_named(kind, reason):
    found = obstacle(build(configure(kind, "tiny", size=30, labels=2)))
    assert (reason in found) if reason else not found


def test_a_network_of_others_has_tools_of_its_own():
    assert "another library" in obstacle(torch.nn.Linear(2, 2))
