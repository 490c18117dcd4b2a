"""Low-rank changes: merged weights answer as the changes beside them do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from regard.integrations.pretrained.adapters import add_adapters, merged_state, remove_adapters
from regard.integrations.pretrained.folder import load_pretrained

pytest.importorskip("peft")


@pytest.mark.parametrize("kind", ["sentiment", "gpt2", "t5", "roberta"])
def test_merged_weights_answer_as_the_changes_do(
    pretrained: Callable[[str], Path], kind: str
) -> None:
    model = load_pretrained(pretrained(kind)).model
    names = model.state_dict().keys()
    add_adapters(model, rank=2, scaling=4.0, dropout=0.0, seed=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B" in name:
                parameter.normal_(std=0.3)
    ids = torch.arange(5, 11)[None]
    more = {"decoder_input_ids": ids} if kind == "t5" else {}
    with torch.no_grad():
        beside = model(input_ids=ids, **more).logits
    merged = merged_state(model)
    remove_adapters(model)
    with torch.no_grad():
        before = model(input_ids=ids, **more).logits
        model.load_state_dict(merged)
        after = model(input_ids=ids, **more).logits
    assert model.state_dict().keys() == names
    assert (before - beside).abs().max() > 1e-2
    torch.testing.assert_close(after, beside, atol=1e-5, rtol=1e-5)


def test_changes_and_head_are_trained_alone(pretrained: Callable[[str], Path]) -> None:
    model = load_pretrained(pretrained("sentiment")).model
    add_adapters(model, rank=2, scaling=4.0, dropout=0.0, seed=1)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {"classifier.weight", "classifier.bias"} <= trained
    rest = {n for n in trained if ".lora_" not in n and "pooler" not in n}
    assert rest == {"classifier.weight", "classifier.bias"}
