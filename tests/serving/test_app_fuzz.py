"""The API under generated requests: whatever comes, the answer is one that its description names."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from regard.serving import Limits, create_app

schemathesis = pytest.importorskip("schemathesis")
from schemathesis.specs.openapi import checks  # noqa: E402 - only where it is installed

CHECKS = [
    checks.status_code_conformance,
    checks.response_schema_conformance,
    checks.content_type_conformance,
]
QUIET = settings(
    max_examples=15,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def client(models):
    app = create_app(models, limits=Limits(max_characters=200))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="module")
def described(models):
    app = create_app(models, limits=Limits(max_characters=200), loopback=False)
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize(
    "path", ["/translate", "/summarize", "/classify", "/alternatives", "/look"]
)
def test_answers_are_as_described(described, path):
    @given(case=described[path]["POST"].as_strategy())
    @QUIET
    def answers(case):
        if isinstance(case.body, dict) and case.body.get("stream"):
            case.body["stream"] = False  # an event stream has no schema
        response = case.call()
        case.validate_response(response, checks=CHECKS)
        if response.status_code >= 400:
            assert response.json()["error"]

    answers()


HARD = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "\u202eabc",
            "a\u0000b",
            "👩‍👩‍👧‍👦",
            "e\u0301" * 40,
            "\u200b",
            "x" * 200,
            "</s>",
            "<s> <pad>",
        ]
    ),
    st.lists(st.sampled_from(["der", "mann", "katze", "רֶגַע", "北京", "!?", "\t"])).map(" ".join),
)


@given(text=HARD, begin=HARD, hide=st.lists(st.integers(0, 4), max_size=3))
@QUIET
def test_any_text_is_answered_and_its_words_lie_in_it(client, text, begin, hide):
    question = {"text": text, "begin": begin, "hide": hide, "model": "de-en", "beam": 2}
    response = client.post("/translate", json=question)
    assert response.status_code in (200, 422), response.text
    if response.status_code == 422:
        assert "words" in response.json()["error"]  # one that is hidden is not there
        return
    found = response.json()
    for side in ("source", "answer"):
        whole = found[side]["text"]
        assert all(0 <= w["start"] <= w["end"] <= len(whole) for w in found[side]["words"])
    assert len(found["attention"]) == len(found["answer"]["words"])


@given(
    text=HARD, strength=st.dictionaries(st.integers(0, 4).map(str), st.floats(0, 100), max_size=3)
)
@QUIET
def test_any_text_is_labelled(client, text, strength):
    response = client.post("/classify", json={"text": text, "strength": strength})
    assert response.status_code in (200, 422), response.text
    if response.status_code == 200 and text.split():
        found = response.json()
        assert sum(p["probability"] for p in found["probabilities"]) == pytest.approx(1.0)
        assert len(found["attention"]) == len(found["source"]["words"])
