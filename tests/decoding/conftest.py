"""Small models to decode with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from regard.models import EncoderDecoder, LanguageModel, build, configure

SIZE = 7


def made(kind: str) -> EncoderDecoder:
    """A model with large random weights, so that its answers differ from source to source."""
    torch.manual_seed(4)
    values = {
        "transformer": {"width": 16, "heads": 2, "feedforward": 16},
        "rnn": {"embedding": 8, "width": 9},
        "pointer": {"embedding": 8, "width": 9},
    }[kind]
    sizes = {"size": SIZE} if kind == "pointer" else {"source_size": SIZE, "target_size": SIZE}
    model = build(configure(kind, "tiny", **sizes, **values))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    assert isinstance(model, EncoderDecoder)
    return model.double().eval()


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(params=["transformer", "rnn", "pointer"])
def model(request: pytest.FixtureRequest) -> EncoderDecoder:
    return made(request.param)


@pytest.fixture
def language_model() -> LanguageModel:
    torch.manual_seed(4)
    model = build(configure("lm", "tiny", size=SIZE, width=16, heads=2, feedforward=16))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    assert isinstance(model, LanguageModel)
    return model.double().eval()


@pytest.fixture
def source() -> tuple[Tensor, Tensor]:
    torch.manual_seed(9)
    lengths = torch.tensor([3, 5, 1, 4, 5, 2])
    ids = torch.randint(4, SIZE, (6, 5))
    ids[torch.arange(5) >= lengths[:, None]] = 0
    return ids, lengths
