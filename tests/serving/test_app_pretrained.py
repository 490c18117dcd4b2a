"""Models of transformers beside our own: the endpoints, drafts, knock-outs and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import regard
from regard.api import Classifier, Generator
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
    assert found["editable"]
    found = answer(client, "/translate", text=TEXT, model="marian", beam=2, hide=[0], begin="Das")
    assert np.array(found["attention"])[:, 0].max() == 0


def test_a_model_that_only_reads_is_not_served(pretrained: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match="only reads"):
        ModelRegistry.of([pretrained("bert")])


def test_heads_and_words_of_a_classifier_are_taken_away(
    client: TestClient, registry: ModelRegistry
) -> None:
    model = registry.models["sentiment"]
    assert isinstance(model, Classifier)
    plain = answer(client, "/classify", text=TEXT, model="sentiment")
    words = [word["text"] for word in plain["source"]["words"]]
    number = words.index("dark")
    found = answer(
        client,
        "/classify",
        text=TEXT,
        model="sentiment",
        silence=["2.1", "encoder.3.4"],
        strength={str(number): 0, "2": 3},
    )
    tokens = model.input_tokens(TEXT)
    starts = [*tokens.word_starts(), len(tokens)]
    factors = dict.fromkeys(range(starts[number], starts[number + 1]), 0.0)
    factors |= dict.fromkeys(range(starts[2], starts[3]), 3.0)
    with regard.steer(model.network, heads={1: [0], 2: [3]}, scale=factors):
        (expected,) = model.classify([TEXT], attention=True)
        weights = expected.aligned().words().tracks[0].dense()[0]
    assert {p["label"]: p["probability"] for p in found["probabilities"]} == pytest.approx(
        dict(expected.probabilities), abs=1e-6
    )
    np.testing.assert_allclose(found["attention"], weights, atol=1e-5)
    assert found["attention"][number] == 0
    assert found["probabilities"] != plain["probabilities"]
    assert answer(client, "/classify", text=TEXT, model="sentiment") == plain


def test_heads_of_models_that_write_are_taken_away(
    client: TestClient, registry: ModelRegistry
) -> None:
    requested = {"text": TEXT, "model": "gpt2", "beam": 1, "begin": "in the"}
    plain = answer(client, "/generate", **requested)
    found = answer(client, "/generate", **requested, silence=["1.1", "2.3"], hide=[3])
    gpt2 = registry.models["gpt2"]
    assert isinstance(gpt2, Generator)
    with regard.steer(gpt2.network, heads={0: [0], 1: [2]}):
        settings = gpt2.decoding_settings({"method": "greedy", "beam": 1})
        tokens = gpt2.input_tokens(TEXT)
        starts = [*tokens.word_starts(), len(tokens)]
        hidden = [*range(starts[3], starts[4])]
        (expected,) = gpt2.generate(TEXT, prefix=["in the"], settings=settings, masked_out=[hidden])
        weights = expected.aligned().words().tracks[0].dense()
    assert found["answer"]["text"] == expected.text
    np.testing.assert_allclose(found["attention"], weights, atol=1e-5)
    assert np.array(found["attention"])[:, 3].max() == 0
    assert answer(client, "/generate", **requested) == plain
    choices = answer(client, "/alternatives", text=TEXT, model="gpt2", silence=["1.1"])["choices"]
    assert choices != answer(client, "/alternatives", text=TEXT, model="gpt2")["choices"]
    requested = {"text": TEXT, "model": "marian", "beam": 2}
    plain = answer(client, "/translate", **requested)
    found = answer(
        client, "/translate", **requested, silence=["cross.1.1", "encoder.2.3"], hide=[1]
    )
    assert found["score"] != plain["score"]
    assert np.array(found["attention"])[:, 1].max() == 0
    assert answer(client, "/translate", **requested) == plain


@pytest.mark.parametrize(
    ("path", "question", "message"),
    [
        (
            "/classify",
            {"model": "sentiment", "silence": ["9.1"]},
            "no layer 9 in 'encoder', which has 3",
        ),
        (
            "/classify",
            {"model": "sentiment", "silence": ["1.9"]},
            "no head 9 in layer 1 of 'encoder'",
        ),
        ("/classify", {"model": "sentiment", "silence": ["1"]}, "silence.0"),
        ("/classify", {"model": "sentiment", "strength": {"99": 0}}, "word 99"),
        ("/generate", {"model": "gpt2", "silence": ["cross.1.1"]}, "no map 'cross'"),
        (
            "/translate",
            {"model": "marian", "silence": ["1.1"]},
            "say of which: encoder.1.1, decoder.1.1",
        ),
        ("/translate", {"model": "de-en", "silence": ["1.1"]}, "nothing to steer"),
        ("/look", {"model": "marian", "pair": "a"}, "one text at a time"),
    ],
)
def test_after_an_error_the_model_is_as_before(
    client: TestClient, path: str, question: dict[str, Any], message: str
) -> None:
    before = answer(client, path, text=TEXT, model=question["model"])
    refused = client.post(path, json={"text": TEXT, **question})
    assert refused.status_code == 422
    assert message in refused.json()["error"]
    assert answer(client, path, text=TEXT, model=question["model"]) == before


def test_maps_and_pages_are_those_of_the_steered_run(client: TestClient) -> None:
    requested = {"text": TEXT, "model": "sentiment", "map": "encoder", "layer": 2}
    found = answer(client, "/look", **requested, head=1, silence=["2.1"], hide=[4])
    assert np.array(found["map"]["weights"]).max() == 0
    found = answer(client, "/look", **requested, head=2, silence=["2.1"], hide=[4])
    word = found["map"]["keys"]["words"][4]["text"]
    assert np.array(found["map"]["weights"])[:, 4].max() == 0
    assert found["notes"][-1] == f"Steered: without head 2.1, no attention to {word!r}."
    page = client.get("/view", params={"text": TEXT, "model": "sentiment", "silence": "2.1"})
    assert "without head 2.1" in page.text
    requested = {"text": "in the night", "model": "gpt2", "map": "decoder", "layer": 1}
    found = answer(client, "/look", **requested, hide=[1])
    assert np.array(found["map"]["weights"])[1:, 1].max() == 0


def test_pairs_are_classified_together(client: TestClient, registry: ModelRegistry) -> None:
    model = registry.models["sentiment"]
    assert isinstance(model, Classifier)
    pair = ("It was a dark", "and stormy night")
    found = answer(client, "/classify", text=pair[0], pair=pair[1], model="sentiment", explain=True)
    (expected,) = model.classify([pair])
    assert {p["label"]: p["probability"] for p in found["probabilities"]} == pytest.approx(
        dict(expected.probabilities), abs=1e-6
    )
    assert [w["text"] for w in found["source"]["words"]].count("[SEP]") == 2
    infos = {info["name"]: info for info in client.get("/health").json()["models"]}
    assert infos["sentiment"]["reads_pairs"]
    assert infos["sentiment"]["heads"] == {"encoder": [4, 4, 4]}
    assert infos["marian"]["heads"] == {"encoder": [4, 4], "decoder": [4, 4], "cross": [4, 4]}
    assert infos["de-en"]["heads"] == {}
    page = client.get("/view", params={"text": "a", "pair": "b", "model": "sentiment"})
    assert page.status_code == 200
