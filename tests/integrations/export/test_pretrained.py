"""Classifiers of transformers as graphs: the logits of the folder, with the inputs that transformers has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import regard
from regard.api.export import export_obstacles
from regard.data import Example
from regard.errors import InputError
from regard.integrations.export.pretrained import classifier_graph
from regard.integrations.pretrained.networks import PretrainedClassifier

Pretrained = Callable[[str], Path]

IDS = torch.tensor([[9, 8, 7, 12, 11], [8, 9, 7, 0, 0], [6, 0, 0, 0, 0]])
LENGTHS = torch.tensor([5, 3, 1])


@torch.no_grad()
def check(network: PretrainedClassifier, *, attention: bool = False) -> tuple[str, ...]:
    graph = classifier_graph(network, longest=64, attention=attention)
    inputs = network.inputs(IDS, LENGTHS)
    given = [inputs.get(name, torch.zeros_like(IDS)) for name in graph.inputs]
    found = graph.module(*given)
    assert tuple(found) == graph.outputs
    expected = network(IDS, LENGTHS)
    torch.testing.assert_close(found["logits"], expected.logits, atol=1e-4, rtol=0)
    if attention:
        (layers,) = expected.maps.values()
        for number, layer in enumerate(layers, 1):
            row = found[f"attention_{number}"][0]
            torch.testing.assert_close(row, layer.dense()[0], atol=1e-5, rtol=0)
    return tuple(graph.inputs)


@pytest.mark.parametrize(
    ("kind", "types"), [("sentiment", True), ("roberta", False), ("gpt2-sentiment", False)]
)
def test_against_the_folder(pretrained: Pretrained, kind: str, types: bool) -> None:
    """A GPT-2 would add the vector of its first token for a type of 0."""
    network = regard.load(pretrained(kind)).network
    assert isinstance(network, PretrainedClassifier)
    assert ("token_type_ids" in check(network, attention=True)) == types


def test_low_rank_changes_are_merged(pretrained: Pretrained) -> None:
    pytest.importorskip("peft")
    examples = [Example(f"a {mood} film", labels=(mood,)) for mood in ("warm", "dull")] * 4
    model = regard.train(
        "classification",
        train=examples,
        model=pretrained("roberta"),
        tune="lora",
        settings={"steps": 2, "learning_rate": 0.1},
    )
    network = model.network
    assert isinstance(network, PretrainedClassifier)
    check(network)
    assert regard.load(pretrained("roberta")).weights != model.weights


@pytest.mark.parametrize("kind", ["bert", "gpt2", "marian", "bart-sentiment"])
def test_what_else_is_theirs_is_named(pretrained: Pretrained, kind: str) -> None:
    model = regard.load(pretrained(kind))
    found = export_obstacles(model)
    assert "optimum-cli export onnx" in found["onnx"]
    assert found["torch"] == found["onnx"]
    assert ("ct2-transformers-converter" if model.writes else "models that write") in found[
        "ctranslate2"
    ]
    with pytest.raises(InputError, match=r"onnx cannot run this model .*optimum-cli"):
        regard.export(model, "nowhere", to="onnx")
