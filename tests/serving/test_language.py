"""Masked words over HTTP: which may stand there, and what their places attended to."""

import numpy as np
import pytest
from starlette.testclient import TestClient

import regard
from regard.api.tasks.masked import MaskedLanguage
from regard.data import Example
from regard.serving import ModelRegistry, create_app


@pytest.fixture(scope="module")
def model():
    places = [(a, b, c) for a in ("fish", "bird") for b in ("old", "red") for c in ("sea", "nest")]
    rows = [Example(" ".join(words)) for words in places]
    settings = {"tokenizer": "word", "embedding": 8, "feedforward": 8, "layers": 2, "steps": 2}
    found = regard.train(
        "language", train=rows * 3, valid=rows, model="masked", preset="tiny", settings=settings
    )
    assert isinstance(found, MaskedLanguage)
    return found


@pytest.fixture(scope="module")
def client(model):
    app = create_app(ModelRegistry({"words": model}))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def test_masked_words_are_found(client, model):
    text = "fish [MASK], x[MASK][MASK]"
    found = client.post("/fill", json={"text": text, "count": 2}).json()
    words = [word["text"] for word in found["source"]["words"]]
    assert [found["source"]["text"][w["start"] : w["end"]] for w in found["source"]["words"]] == [
        "" if word in ("[CLS]", "[SEP]") else word for word in words
    ]
    places = [words[mask["word"]] for mask in found["masks"]]
    assert len(places) == 3
    assert all("[MASK]" in place for place in places)
    for mask, expected in zip(found["masks"], model.fill(text, count=2), strict=True):
        assert [choice["word"] for choice in mask["choices"]] == [word for word, _ in expected]
        values = [choice["probability"] for choice in mask["choices"]]
        assert values == pytest.approx([p for _, p in expected], abs=1e-5)
        assert len(mask["attention"]) == len(words)
        assert sum(mask["attention"]) == pytest.approx(1, abs=1e-3)


def test_attention_is_that_of_the_last_layer(client, model):
    text = "fish red [MASK]"
    (mask,) = client.post("/fill", json={"text": text}).json()["masks"]
    last = model.look(text).words().tracks[-1]
    np.testing.assert_allclose(mask["attention"], last.dense("mean")[mask["word"]], atol=1e-5)


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("/fill", "fish red sea", r"holds no [MASK]; write one where a word is to be found"),
        ("/fill", "  ", "empty"),
        ("/generate", "fish", "'words' is for language; try /fill"),
        ("/alternatives", "fish", "'words' does not write word by word; try /fill"),
        ("/classify", "fish", "'words' is for language; try /fill"),
    ],
)
def test_what_cannot_be_answered_is_told(client, path, text, message):
    refused = client.post(path, json={"text": text, "model": "words"})
    assert refused.status_code == 422
    assert message in refused.json()["error"]


def test_it_can_be_looked_at(client):
    assert client.get("/health").json()["models"][0]["verb"] == "fill"
    found = client.post("/look", json={"text": "fish [MASK] sea"}).json()
    assert len(found["map"]["weights"]) == 5
    assert "<html" in client.get("/view", params={"text": "fish [MASK] sea"}).text
