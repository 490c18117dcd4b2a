"""Models of transformers beside our own: the endpoints, drafts, knock-outs and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from regard.api import Generator
from regard.api.config.settings import resolve
from regard.data import Example
from regard.errors import InputError
from regard.serving import ModelRegistry, create_app

TEXT = "It was a dark and stormy night"


@pytest.fixture(scope="module")
def registry(pretrained: Callable[[str], Path], folders: list[Path]) -> ModelRegistry:
    kinds = ("gpt2", "sentiment", "marian")
    return ModelRegistry.of([*map(pretrained, kinds), folders[0]])


@pytest.fixture(scope="module")
def client(registry: ModelRegistry) -> Iterator[TestClient]:
    with TestClient(create_app(registry), base_url="http://localhost") as client:
        yield client


def answer(client: TestClient, path: str, **question: Any) -> Any:
    response = client.post(path, json=question)
    assert response.status_code == 200, response.text
    return response.json()


def test_theirs_stand_beside_ours(client: TestClient, registry: ModelRegistry) -> None:
    models = {info["name"]: info for info in client.get("/health").json()["models"]}
    assert list(models) == ["gpt2", "sentiment", "marian", *list(registry.models)[3:]]
    assert models["gpt2"]["task"] == "language"
    assert models["gpt2"]["kind"] == "GPT2LMHeadModel"
    assert models["sentiment"]["labels"] == ["bad", "neutral", "good"]


def test_a_continuation(client: TestClient, registry: ModelRegistry) -> None:
    found = answer(client, "/generate", text=TEXT, begin="in the")
    model = registry.models["gpt2"]
    assert isinstance(model, Generator)
    (expected,) = model.generate(TEXT, prefix=["in the"])
    assert found["answer"]["text"].strip() == expected.text.strip()
    assert expected.text.startswith(" in the")
    assert [word["text"] for word in found["source"]["words"]] == TEXT.split()
    weights = np.array(found["attention"])
    assert weights.shape == (len(found["answer"]["words"]), len(TEXT.split()))
    assert weights[-1].sum() < weights[0].sum()  # the more was written, the more else is looked at
    track = expected.aligned().tracks[0]
    assert track.dense()[0].sum() == pytest.approx(1, abs=1e-5)


def test_a_language_model_of_ours() -> None:
    examples = [Example(text) for text in (TEXT, "a man rides a bicycle")]
    model = Generator.from_examples(examples, resolve("language", preset="tiny"))
    model.network.eval()
    with TestClient(
        create_app(ModelRegistry({"book": model})), base_url="http://localhost"
    ) as client:
        found = answer(client, "/generate", text=TEXT, begin="a man", beam=1)
        assert found["answer"]["text"].strip().startswith("a man")
        assert [word["text"] for word in found["source"]["words"]] == TEXT.split()
        refused = client.post("/generate", json={"text": TEXT, "hide": [1]})
        assert refused.status_code == 422
        assert "cannot hide words" in refused.json()["error"]
        choices = answer(client, "/alternatives", text=TEXT)["choices"]
        assert 0 < sum(choice["probability"] for choice in choices) <= 1


def test_words_of_a_beginning_are_hidden(client: TestClient) -> None:
    found = answer(client, "/generate", text=TEXT, hide=[3, 5], begin="in the", beam=1)
    weights = np.array(found["attention"])
    assert weights[:, [3, 5]].max() == 0
    assert weights[:, [0, 1, 2, 4]].max() > 0
    choices = answer(client, "/alternatives", text=TEXT, model="gpt2", begin="in", hide=[3])
    probabilities = [choice["probability"] for choice in choices["choices"]]
    assert probabilities
    assert all(choice["text"].strip().startswith("in") for choice in choices["choices"])


def test_drafts_of_a_continuation(client: TestClient) -> None:
    question = {"text": TEXT, "model": "gpt2", "beam": 1}
    response = client.post("/generate", json={**question, "stream": True})
    events = [part.split("\ndata: ") for part in response.text.strip().split("\n\n")]
    assert [name for name, _ in events[:-1]] == ["event: draft"] * (len(events) - 1)
    whole = answer(client, "/generate", **question)
    assert json.loads(events[-1][1]) == whole


def test_pages_and_maps(client: TestClient) -> None:
    for name in ("gpt2", "sentiment", "marian"):
        target = {"target": "a man"} if name != "sentiment" else {}
        page = client.get("/view", params={"text": TEXT, "model": name, **target})
        assert page.status_code == 200, page.text
        assert answer(client, "/look", text=TEXT, model=name, **target)["map"]["weights"]
    found = answer(client, "/classify", text=TEXT, explain=True)
    assert found["label"] in ("bad", "neutral", "good")
    assert not found["editable"]
    found = answer(client, "/translate", text=TEXT, model="marian", beam=2, hide=[0], begin="Das")
    assert np.array(found["attention"])[:, 0].max() == 0


def test_a_model_that_only_reads_is_not_served(pretrained: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match="only reads"):
        ModelRegistry.of([pretrained("bert")])
