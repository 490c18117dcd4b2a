"""What tensors were computed from: linear layers, products, parameters, random numbers."""

from __future__ import annotations

import gc

import torch
from torch import nn

from regard.integrations.origins import Origins, StorageTable, result_of, tensors_of


def test_facts_are_found_through_views_and_forgotten_with_the_storage() -> None:
    table: StorageTable[str] = StorageTable()
    tensor = torch.zeros(4, 6)
    table.put(tensor, "fact")
    assert table.get(tensor.t()[2:]) == "fact"
    assert table.get(tensor.clone()) is None
    table.drop(tensor.view(24))
    assert table.get(tensor) is None
    table.put(tensor, "again")
    del tensor
    gc.collect()
    assert not table._entries


def test_tensors_among_arguments_and_results() -> None:
    one, two = torch.zeros(1), torch.ones(2)
    assert [t.numel() for t in tensors_of([one, 3, [two, "x"], None])] == [1, 2]
    assert result_of((two, one)) is two
    assert result_of("x") is None


def test_a_product_with_a_parameter_is_over_features() -> None:
    layer = nn.Linear(3, 5)
    origins = Origins(layer)
    states = torch.randn(4, 3)
    made = states @ layer.weight.t()
    assert origins.is_kind(layer.weight.t(), "parameter")
    origins.observe("mm", (states, layer.weight.t()), made)
    assert origins.is_over_features(made, 1)
    assert not origins.is_over_features(made, 0)
    assert origins.is_over_features(made.t(), 0)  # a view shares what is known
    turned = layer.weight @ states.t()
    origins.observe("mm", (layer.weight, states.t()), turned)
    assert origins.is_over_features(turned, 0)


def test_a_product_of_activations_passes_its_mark_on() -> None:
    origins = Origins(nn.Identity())
    query, key = torch.randn(2, 4, 3), torch.randn(2, 3, 5)
    scores = query @ key
    origins.observe("bmm", (query, key), scores)
    scaled = scores * 0.5
    origins.observe("mul", (scores, 0.5), scaled)
    masked = scaled.masked_fill(torch.zeros(4, 5, dtype=torch.bool), 0.0)
    origins.observe("masked_fill", (scaled, torch.zeros(4, 5, dtype=torch.bool), 0.0), masked)
    assert origins.is_kind(masked, "product")
    joined = torch.cat([masked, torch.zeros(2, 4, 1)], -1)
    origins.observe("cat", ([masked, torch.zeros(2, 4, 1)], -1), joined)
    assert origins.is_kind(joined, "product")
    other = scores.sum(-1)
    origins.observe("sum", (scores, [-1]), other)  # no element-by-element operation
    assert origins.of(other) is None


def test_random_numbers_and_parameters_are_pure() -> None:
    layer = nn.Linear(3, 3)
    origins = Origins(layer)
    drawn = torch.rand(3)
    origins.observe("rand", ([3],), drawn)
    twice = drawn * 2
    origins.observe("mul", (drawn, 2), twice)
    assert origins.is_kind(twice, "random")
    mixed = drawn + torch.ones(3)
    origins.observe("add", (drawn, torch.ones(3)), mixed)
    assert origins.of(mixed) is None
    table = layer.bias.exp()
    origins.observe("exp", (layer.bias,), table)
    assert origins.is_kind(table, "parameter")
