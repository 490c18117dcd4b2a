"""Every endpoint against tiny models: right answers, and refusals that say what to do."""

import json
import re
from urllib.parse import urljoin

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from regard.api.tasks.encoding import Encoder
from regard.decoding import DecodingSettings
from regard.errors import InputError
from regard.serving import Limits, ModelRegistry, create_app, handlers
from regard.text import EOS

TEXT = "der alt mann sieht die katze ."


@pytest.fixture(scope="module")
def client(models):
    with TestClient(create_app(models), base_url="http://localhost") as client:
        yield client


def answer(client, path, status=200, **question):
    response = client.post(path, json=question)
    assert response.status_code == status, response.text
    return response.json()


def test_translating(client, models):
    found = answer(client, "/translate", text=TEXT, model="de-en")
    model = models.models["de-en"]
    expected = model.translate(TEXT, settings=DecodingSettings(n_best=5))[0]
    assert found["answer"]["text"] == expected.text
    assert [other["text"] for other in found["alternatives"]] == [
        a.text for a in expected.alternatives
    ]
    assert [word["text"] for word in found["source"]["words"]] == [*TEXT.split(), "</s>"]
    assert len(found["answer"]["words"]) == len(found["attention"])
    np.testing.assert_allclose(np.sum(found["attention"], axis=1), 1.0, atol=1e-3)
    for word in found["answer"]["words"]:
        assert found["answer"]["text"][word["start"] : word["end"]] == word["text"]


def test_no_request_waits_for_a_thread_of_the_pool(client, monkeypatch):
    """Models run in the queue's own thread, and everything else is too short to go anywhere."""

    async def refused(*arguments, **options):
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr("anyio.to_thread.run_sync", refused)
    answer(client, "/classify", text=TEXT)


def test_greedy_has_no_alternatives(client):
    assert answer(client, "/translate", text=TEXT, model="de-en", beam=1)["alternatives"] == []


def test_a_forced_beginning(client):
    found = answer(client, "/translate", text=TEXT, model="de-en", begin="a dog")
    assert found["answer"]["text"].startswith("a dog ")


def test_a_hidden_word_gets_no_attention(client):
    plain = answer(client, "/translate", text=TEXT, model="de-en")
    found = answer(client, "/translate", text=TEXT, model="de-en", hide=[1, 3])
    weights = np.array(found["attention"])
    assert not weights[:, [1, 3]].any()
    assert np.array(plain["attention"])[:, 1].any()
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-3)


def test_both_readings_of_attention(client, models):
    question = {"text": TEXT, "model": "de-en"}
    as_input = answer(client, "/translate", reading="input", **question)
    as_output = answer(client, "/translate", reading="output", **question)
    assert as_output == answer(client, "/translate", **question)
    assert as_output["reading"].startswith(
        "at the step where the target token is the decoder's output"
    )
    # A step whose input is one word has the next word as its output.
    assert as_input["attention"][:-1] == as_output["attention"][1:]


def test_both_readings_of_a_map(client):
    question = {"text": TEXT, "model": "de-en", "target": "the man sees the cat ."}
    as_input = answer(client, "/look", reading="input", **question)
    as_output = answer(client, "/look", reading="output", **question)
    assert as_output == answer(client, "/look", **question)
    assert as_input["map"]["weights"] == as_output["map"]["weights"]  # row t is step t
    words = [
        [w["text"] for w in found["map"]["queries"]["words"]] for found in (as_input, as_output)
    ]
    assert words[0] == ["<s>", *question["target"].split()]
    assert words[1] == [*question["target"].split(), "</s>"]
    assert "decoder's output" in as_output["reading"]
    problem = answer(client, "/look", 422, text=TEXT, model="mood", reading="input")
    assert "for models with cross-attention" in problem["error"]
    problem = answer(client, "/look", 422, reading="sideways", **question)
    assert "reading" in problem["error"]
    assert "decoder's input" in client.get("/view", params={**question, "reading": "input"}).text


def test_hiding_everything_is_answered(client):
    found = answer(client, "/translate", text="der mann", model="de-en", hide=[0, 1, 2])
    assert not np.array(found["attention"]).any()


def test_streaming_ends_in_the_same_answer(client):
    question = {"text": TEXT, "model": "de-en"}
    response = client.post("/translate", json={**question, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [block.split("\n") for block in response.text.strip().split("\n\n")]
    names = [event.removeprefix("event: ") for event, _ in events]
    assert names[-1] == "answer"
    assert set(names[:-1]) <= {"draft"}
    final = json.loads(events[-1][1].removeprefix("data: "))
    assert final == answer(client, "/translate", **question)


def test_a_stream_that_fails_says_so(client):
    response = client.post(
        "/translate", json={"text": "der", "model": "de-en", "hide": [7], "stream": True}
    )
    assert response.text.startswith("event: error\ndata: ")
    assert "word 7 of a text of 2 words" in response.text


def test_what_else_could_be_said(client):
    found = answer(client, "/alternatives", text=TEXT, model="de-en", begin="the", count=3)
    assert len(found["choices"]) == 3
    probabilities = [choice["probability"] for choice in found["choices"]]
    assert probabilities == sorted(probabilities, reverse=True)
    for choice in found["choices"]:
        assert choice["text"].startswith(f"the {choice['word']}")
    greedy = answer(client, "/translate", text=TEXT, model="de-en", beam=1, begin="the")
    assert found["choices"][0]["text"] == greedy["answer"]["text"]


def test_an_explanation_is_there_for_those_who_ask(client, models):
    text = "the film was not good"
    found = answer(client, "/classify", text=text, explain=True)
    expected = models.models["mood"].explain(text)
    explanation = found["explanation"]
    assert explanation["label"] == expected.label == found["label"]
    assert explanation["reason"] == expected.reason
    for one, scores in zip(explanation["attributions"], expected.attributions, strict=True):
        assert (one["name"], one["signed"], one["scale"]) == (
            scores.name,
            scores.signed,
            scores.scale,
        )
        assert one["values"] == pytest.approx(scores.values.tolist(), abs=2e-5)
        assert len(one["values"]) == len(found["source"]["words"])
    assert answer(client, "/classify", text=text)["explanation"] is None
    assert answer(client, "/classify", text="  ", explain=True)["explanation"] is None
    steered = answer(client, "/classify", text=text, explain=True, strength={"3": 2})
    assert steered["explanation"] is None


def test_heads_are_named_beside_their_mean(client):
    found = answer(client, "/classify", text="the film was good")
    assert [head["name"] for head in found["heads"]] == [
        f"head {n + 1}" for n in range(len(found["heads"]))
    ]
    mean = np.mean([head["attention"] for head in found["heads"]], axis=0)
    assert found["attention"] == pytest.approx(mean.tolist(), abs=2e-5)


def test_classifying(client, models):
    found = answer(client, "/classify", text="the film was good")
    expected = models.models["mood"].classify("the film was good")[0]
    assert found["label"] == expected.label == "positive"
    assert {p["label"]: p["probability"] for p in found["probabilities"]} == pytest.approx(
        expected.probabilities
    )
    assert sum(found["attention"]) == pytest.approx(1.0, abs=1e-3)
    assert found["attention"][3] == max(found["attention"])


def test_the_verdict_of_regard_trust_is_passed_on(client, models):
    said = {name: model.verdict for name, model in models.models.items()}
    assert said["mood"].startswith("Read this with care")
    found = client.get("/health").json()["models"]
    assert {model["name"]: model["verdict"] for model in found} == said
    for name in ("mood", "de-en"):
        assert answer(client, "/look", text=TEXT, model=name)["verdict"] == said[name]


def test_another_strength_of_attention(client, models):
    text = "the film was good"
    plain = answer(client, "/classify", text=text)
    found = answer(client, "/classify", text=text, strength={"3": 0})
    rest = np.array(plain["attention"][:3])
    assert found["attention"][3] == 0.0
    record = models.models["mood"].classify(text)[0].aligned().tracks[0].weights[:, 0, :3]
    np.testing.assert_allclose(
        found["attention"][:3], (record / record.sum(1, keepdims=True)).mean(0), atol=1e-4
    )
    assert rest.shape == (3,)
    assert _positive(found) < _positive(plain)
    more = answer(client, "/classify", text=text, strength={"3": 10, "0": 1})
    assert _positive(more) > _positive(plain)
    same = answer(client, "/classify", text=text, strength={"3": 1})
    assert _positive(same) == pytest.approx(_positive(plain), abs=1e-6)


def _positive(found):
    return next(p["probability"] for p in found["probabilities"] if p["label"] == "positive")


def test_summarising_by_picking(client):
    text = "der mann sieht die katze . ein hund jagt die frau ."
    found = answer(client, "/summarize", text=text)
    assert [word["text"] for word in found["source"]["words"]] == [text[:26], text[27:]]
    assert found["answer"]["text"] in text
    assert sum(found["attention"][0]) == pytest.approx(1.0, abs=1e-3)
    problem = answer(client, "/summarize", 422, text=text, hide=[0])
    assert "leave out 'begin' and 'hide'" in problem["error"]


def test_looking(client, models):
    found = answer(client, "/look", text=TEXT, model="de-en", target="the man sees the cat .")
    weights = np.array(found["map"]["weights"])
    record = models.models["de-en"].look(TEXT, "the man sees the cat .")
    np.testing.assert_allclose(weights, record.words().tracks[-1].dense(), atol=1e-5)
    assert len(found["map"]["queries"]["words"]) == weights.shape[0]
    assert found["reading"] == record.reading
    problem = answer(client, "/look", 422, text=TEXT, model="de-en", map="croos")
    assert "cross" in problem["error"]
    problem = answer(client, "/look", 422, text=TEXT, model="de-en", head=9)
    assert problem["error"] == "no head 9; expected 1 to 1"


def test_an_empty_text_has_an_empty_answer(client):
    for text in ("", " \n\t "):
        assert answer(client, "/translate", text=text, model="de-en")["answer"]["words"] == []
        assert answer(client, "/classify", text=text)["label"] == ""
        assert answer(client, "/summarize", text=text)["attention"] == []
        assert answer(client, "/alternatives", text=text, model="de-en")["choices"] == []
        for model in ("mood", "de-en", "gist"):
            assert "look" in answer(client, "/look", 422, text=text, model=model)["error"]


def test_an_answer_without_words(client, models, monkeypatch):
    model = models.models["de-en"]
    first = [0.0] * len(model.target_tokenizer)
    first[EOS] = 1e4  # whatever it reads, it ends at once
    monkeypatch.setattr(model.network.output.bias, "data", torch.tensor(first))
    found = answer(client, "/translate", text="der mann", model="de-en")
    assert found["answer"] == {"text": "", "words": []}
    assert [word["text"] for word in found["source"]["words"]] == ["der", "mann", "</s>"]
    assert found["attention"] == []
    assert model.translate("der mann")[0].word_alignment() == []


def test_which_model(client):
    problem = answer(client, "/translate", 422, text=TEXT)
    assert problem["error"] == "say which model: 'model' is one of de-en, de-en-young, see /health"
    problem = answer(client, "/translate", 404, text=TEXT, model="de-eng")
    assert problem["error"] == "no model 'de-eng' here; did you mean 'de-en'?"
    problem = answer(client, "/translate", 422, text=TEXT, model="mood")
    assert problem["error"] == "'mood' is for classification; try /classify"
    problem = answer(client, "/alternatives", 422, text=TEXT, model="mood")
    assert "does not write word by word" in problem["error"]
    for path in ("../mood", "/etc/passwd", "runs/mood", "."):
        assert answer(client, "/classify", 404, text=TEXT, model=path)["error"].startswith(
            "no model"
        )


def test_health_says_what_is_there(client):
    found = client.get("/health").json()
    assert found["status"] == "ok"
    assert [model["name"] for model in found["models"]] == ["de-en", "de-en-young", "mood", "gist"]
    assert (found["max_queue"], found["max_characters"]) == (100, 5000)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "JSON"),
        (b'{"txet": "x"}', "text: Field required"),
        (b'{"text": "x", "hide": [-1]}', "hide.0"),
        (b'{"text": "x", "beam": 99}', "beam"),
        (b'{"text": "x", "folder": "/etc"}', "folder: Extra inputs"),
        (b"\xff\xfe", "see /docs"),
        (b"[1]", "see /docs"),
    ],
)
def test_what_cannot_be_understood(client, body, said):
    response = client.post("/translate", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422, response.text
    assert said in response.json()["error"]


def test_half_a_surrogate_pair_is_an_unknown_character(client):
    body = b'{"text": "der \\ud800 mann", "model": "de-en"}'
    response = client.post("/translate", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 200
    assert response.json()["source"]["text"] == "der \ufffd mann"


def test_texts_and_bodies_that_are_too_long(client):
    problem = answer(client, "/classify", 413, text="x" * 5001)
    assert problem["error"].startswith(
        "'text' has 5,001 characters, at most 5,000 are taken; send it"
    )
    assert answer(client, "/translate", 413, text="x", begin="x" * 5001, model="de-en")
    problem = answer(client, "/translate", 413, text="der " * 1000, model="de-en")
    assert "the text has 1,001 tokens, at most 256" in problem["error"]
    assert "--max-characters" not in problem["error"]
    for path in ("/look", "/alternatives"):
        assert answer(client, path, 413, text="der " * 1000, model="de-en") == problem
    assert client.get("/view", params={"text": "der " * 1000, "model": "de-en"}).status_code == 413
    for path, field in (("/translate", "begin"), ("/alternatives", "begin"), ("/look", "target")):
        problem = answer(client, path, 413, text="der", model="de-en", **{field: "the " * 1000})
        assert f"'{field}' has 1,001 tokens, at most 256" in problem["error"]
    huge = client.post("/classify", content=b"x" * 200_000)
    assert huge.status_code == 413
    assert "more than 136,384 bytes" in huge.json()["error"]
    unknown_length = client.post("/classify", content=(b"x" * 10_000 for _ in range(20)))
    assert unknown_length.status_code == 413


def test_a_full_queue_is_429_with_a_time_to_come_back(models):
    app = create_app(models, limits=Limits(max_queue=1, timeout=0.001))
    with TestClient(app, base_url="http://localhost") as client:
        response = client.post("/translate", json={"text": "der mann " * 60, "model": "de-en"})
        assert response.status_code == 503
        assert "try again later" in response.json()["error"]
        codes = {client.post("/classify", json={"text": "good"}).status_code for _ in range(3)}
        assert codes <= {200, 429, 503}


def test_headers_and_hosts(client):
    for path in ("/", "/docs", "/health", "/assets/serving/page/main.js", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers
    problem = client.get("/", headers={"host": "evil.example"})
    assert problem.status_code == 421
    for host in ("localhost:8000", "LOCALHOST", "127.0.0.1", "127.0.0.2:8000", "[::1]:8000"):
        assert client.get("/health", headers={"host": host}).status_code == 200
    for host in ("127.0.0.1.evil.example", "0.0.0.0", "[::1", "192.168.1.5", ""):
        assert client.get("/health", headers={"host": host}).status_code == 421


def test_an_open_server_answers_to_any_name(models):
    with TestClient(create_app(models, loopback=False), base_url="http://any.example") as client:
        assert client.get("/health").status_code == 200


def test_pages_hold_no_inline_script_and_name_no_other_server(client):
    for path in ("/", "/docs"):
        text = client.get(path).text
        assert "<script>" not in text
        assert "http" not in text
    for name in ("serving/page/main.js", "serving/page/serve.css", "viewing/page/dom.js"):
        response = client.get(f"/assets/{name}")
        assert response.status_code == 200
        assert "//cdn" not in response.text
    for name in (
        "serving/app.py",
        "serving/page/..%2Fapp.py",
        "viewing/page/pack.py",
        "viewing/page/bundle/page.js",
        "%2Fetc%2Fpasswd",
        "serving/page/index.html%00",
    ):
        assert client.get(f"/assets/{name}").status_code == 404


def test_every_module_that_a_served_page_imports_is_served(client):
    seen, ahead = set(), {"/assets/serving/page/main.js", "/assets/serving/page/docs.js"}
    while ahead:
        path = ahead.pop()
        response = client.get(path)
        assert response.status_code == 200, path
        assert response.headers["content-type"] == "text/javascript; charset=utf-8"
        seen.add(path)
        imported = re.findall(r'^import .*from "(\..*)";$', response.text, re.MULTILINE)
        ahead |= {urljoin(path, name) for name in imported} - seen
    assert "/assets/viewing/page/dom.js" in seen


def test_the_full_view_has_a_policy_of_its_own(client):
    response = client.get("/view", params={"model": "de-en", "text": "der </script> mann"})
    assert response.status_code == 200
    assert "script-src 'sha256-" in response.text
    assert response.headers["x-frame-options"] == "DENY"
    assert "</script> mann" not in response.text


def test_the_api_describes_itself(client):
    api = client.get("/openapi.json").json()
    posted = {
        "/translate",
        "/summarize",
        "/generate",
        "/classify",
        "/fill",
        "/alternatives",
        "/look",
    }
    assert set(api["paths"]) == posted | {"/health"}
    for path in posted:
        assert {"404", "413", "422", "429", "503"} <= set(api["paths"][path]["post"]["responses"])


def test_what_cannot_be_served(models, tmp_path):
    with pytest.raises(InputError, match="no model to serve"):
        ModelRegistry({})
    with pytest.raises(InputError, match="two folders are called 'a'; rename one"):
        ModelRegistry.of([tmp_path / "a", tmp_path / "b" / "a"])
    reader = Encoder.__new__(Encoder)
    reader.folder = None
    with pytest.raises(InputError, match="try: regard look"):
        ModelRegistry({"reader": reader})


def test_a_fault_of_ours_says_nothing_of_itself(models, monkeypatch):
    def faulty(name, model, items):
        raise ZeroDivisionError("the secret text")

    monkeypatch.setattr(handlers, "look", faulty)
    app = create_app(models)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        problem = answer(client, "/look", 500, text="der", model="de-en")
        assert problem["error"].startswith("a fault of the server, noted in its log")
        assert "secret" not in str(problem)
        assert answer(client, "/classify", text="good")["label"]  # and goes on
