"""Our Transformers in CTranslate2's format: its log-probabilities are ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from regard.errors import InputError
from regard.integrations.export.ctranslate2 import (
    NEVER_WRITTEN,
    generator_spec,
    obstacle,
    translator_spec,
)
from regard.models import KINDS, build, configure
from regard.text import SPECIALS

ctranslate2: Any = pytest.importorskip("ctranslate2")
SMALL = {"width": 16, "heads": 2, "feedforward": 24, "encoder_layers": 2, "decoder_layers": 2}
SIZE = 23


def tokens(size: int) -> list[str]:
    return [*SPECIALS, *(f"t{index}" for index in range(size - len(SPECIALS)))]


def random_network(kind: str, **values: Any) -> Any:
    """A network whose norms and biases are not those of the beginning, as after training."""
    torch.manual_seed(5)
    network = build(configure(kind, "tiny", **values)).eval()
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return network


def saved(spec: Any, folder: Path) -> str:
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    return str(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"positions": "sinusoidal", "norm": "pre", "joint": True},
        {"positions": "learned", "norm": "post", "activation": "gelu", "tied": False},
        {"positions": "rotary", "norm": "post", "joint": True, "tied": False},
    ],
    ids=["sinusoidal", "learned", "rotary"],
)
def test_against_ctranslate2(tmp_path, values):
    target_size = SIZE if values.get("joint") else 19
    network = random_network(
        "transformer", source_size=SIZE, target_size=target_size, max_length=40, **SMALL, **values
    )
    sources = torch.tensor([[5, 9, 1, 22, 3], [7, 3, 0, 0, 0]])
    targets = [[4, 18, 9, 9], [6]]
    spec = translator_spec(network, tokens(SIZE), tokens(target_size), positions=30)
    translator = ctranslate2.Translator(saved(spec, tmp_path), intra_threads=1)
    names, written = tokens(SIZE), tokens(target_size)
    found = translator.score_batch(
        [[names[i] for i in row if i not in (0, 3)] for row in sources.tolist()],
        [[written[i] for i in row] for row in targets],
    )
    inputs = torch.tensor([[2, *row] + [0] * (4 - len(row)) for row in targets])
    with torch.no_grad():
        logits = network(sources, torch.tensor([5, 2]), inputs).logits
    logits[..., list(NEVER_WRITTEN)] = -torch.inf
    for ours, target, theirs in zip(logits.log_softmax(-1), targets, found, strict=True):
        expected = [float(ours[step, token]) for step, token in enumerate([*target, 3])]
        assert theirs.log_probs == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("key_heads", [None, 2], ids=["heads", "grouped"])
def test_against_its_generator(tmp_path, key_heads):
    network = random_network(
        "lm", size=SIZE, width=16, heads=4, key_heads=key_heads, feedforward=24, layers=2
    )
    generator = ctranslate2.Generator(
        saved(generator_spec(network, tokens(SIZE)), tmp_path), intra_threads=1
    )
    ids = [2, 5, 22, 9, 9, 4, 3]
    (found,) = generator.score_batch([[tokens(SIZE)[i] for i in ids]])
    with torch.no_grad():
        logits = network(torch.tensor([ids[:-1]]), torch.tensor([6])).logits[0]
    logits[:, list(NEVER_WRITTEN)] = -torch.inf
    expected = logits.log_softmax(-1)[range(6), ids[1:]].tolist()
    assert found.log_probs == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    ("kind", "values", "reason"),
    [
        ("transformer", {"positions": "alibi"}, "ALiBi"),
        ("transformer", {"positions": "relative"}, "one table"),
        ("transformer", {"positions": "rotary"}, ""),
        ("rnn", {}, "recurrent"),
    ],
)
def test_what_has_no_place_is_named(kind, values, reason):
    network = build(configure(kind, "tiny", source_size=9, target_size=9, **values))
    assert (reason in obstacle(network)) if reason else not obstacle(network)


def test_every_kind_has_a_place_or_a_reason():
    sizes = {"size": 30, "source_size": 30, "target_size": 30, "labels": 2}
    runs = set()
    for kind, (settings, _) in KINDS.items():
        given = {name: size for name, size in sizes.items() if name in settings.model_fields}
        if not obstacle(build(configure(kind, "tiny", **given))):
            runs.add(kind)
    assert runs == {"transformer", "lm"}


def test_a_token_of_two_ids_is_an_error():
    network = random_network("lm", size=6, width=8, heads=2, feedforward=8, layers=1)
    with pytest.raises(InputError, match="two ids of the vocabulary have the token 'a'"):
        generator_spec(network, [*SPECIALS, "a", "a"])
