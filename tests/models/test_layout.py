"""The layout of a model's tensors: that of the model itself, for any sizes and soon."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from regard.errors import SettingsError
from regard.models import KINDS, ModelSettings, build, configure
from regard.models.layout import state_layout

SIZES = {
    "size": 30,
    "source_size": 30,
    "target_size": 30,
    "labels": 3,
    "alphabet_size": 7,
    "ngrams": 5,
}


def settings_of(kind: str, preset: str = "tiny", **values: Any) -> ModelSettings:
    sizes = {name: size for name, size in SIZES.items() if name in KINDS[kind][0].model_fields}
    return configure(kind, preset, **{**sizes, **values})


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("preset", ["tiny", "base"])
def test_names_shapes_and_types_are_those_of_the_model(kind: str, preset: str) -> None:
    settings = settings_of(kind, preset)
    wanted = build(settings).state_dict()
    found = state_layout(settings, tensors=len(wanted))
    assert all(tensor.is_meta for tensor in found.values())
    assert {n: (t.shape, t.dtype) for n, t in found.items()} == {
        n: (t.shape, t.dtype) for n, t in wanted.items()
    }


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("transformer", {"encoder_layers": 1_000_000_000}),
        ("rnn", {"decoder_layers": 1_000_000_000}),
        ("bigru", {"layers": 1_000_000_000}),
        ("cnn", {"members": 1_000_000_000}),
        ("lm", {"layers": 1_000_000_000}),
    ],
)
def test_endless_models_are_given_up(kind: str, values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="many more tensors than the file"):
        state_layout(settings_of(kind, **values), tensors=40)


@pytest.mark.parametrize("size", [10**12, 10**30])
def test_sizes_that_no_tensor_can_have(size: int) -> None:
    with pytest.raises(SettingsError, match="no transformer can have these sizes"):
        state_layout(settings_of("transformer", width=size, heads=1), tensors=40)


def test_large_sizes_take_no_memory() -> None:
    found = state_layout(settings_of("transformer", width=4_000_000, heads=1), tensors=99)
    assert found["source.weight"].numel() * 4 > 100_000_000


@pytest.mark.parametrize("name", ["words", "skip_bigrams", "lead_pairs"])
def test_settings_that_no_tensor_shows_are_bounded(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}=1000000000: expected at most"):
        settings_of("wide", "tiny", **{name: 1_000_000_000})


OUTLINES = """
import sys
from regard.models import KINDS, configure
from regard.models.layout import state_layout
sizes = {sizes!r}
for kind in KINDS:
    known = {{name: size for name, size in sizes.items() if name in KINDS[kind][0].model_fields}}
    state_layout(configure(kind, "tiny", **known), tensors=400)
print([name for name in ("sympy", "torch._dynamo", "torch._inductor") if name in sys.modules])
"""


def test_an_outline_imports_no_compiler() -> None:
    """torch's random numbers of the meta device do: a second and 140 MB for every `regard.load`."""
    program = [sys.executable, "-c", OUTLINES.format(sizes=SIZES)]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_a_model_that_is_given_up_leaves_gradients_on() -> None:
    settings = configure("masked", "tiny", size=9, layers=3000)
    for most in range(4):
        with pytest.raises(SettingsError):
            state_layout(settings, tensors=most)
        assert torch.is_grad_enabled()
