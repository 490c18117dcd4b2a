"""Maps of models as records: every kind of model can be looked at, in every place."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from typer.testing import CliRunner

import regard
from regard.api.views import select_map
from regard.cli.app import app
from regard.data import Example

KINDS = ("wide", "feedforward", "bigru", "cnn", "transformer-classifier", "hierarchical")
TEXT = "the film was good . I liked it ! so good ."


@pytest.fixture(scope="module", params=KINDS)
def classifier(request, tmp_path_factory):
    texts = [f"the {w} film was good . I liked it ! so {w} ." for w in ("good", "bad")] * 6
    return regard.train(
        "classification",
        train=[Example(text, labels=(str(n % 2),)) for n, text in enumerate(texts)],
        out=tmp_path_factory.mktemp("runs") / "model",
        model=request.param,
        preset="tiny",
        settings={"steps": 1, "tokenizer": "word"},
    )


def test_every_classifier_can_be_looked_at(classifier, tmp_path):
    record = classifier.look(TEXT)
    for view in (record, record.words(), select_map(record), select_map(record, words=False)):
        for track in view.tracks:
            assert track.shape == (len(view.queries(track)), len(view.keys(track)))
            assert isinstance(track.weights, np.ndarray)
            np.testing.assert_allclose(track.weights.sum(-1), 1, atol=1e-5)
    run = CliRunner().invoke
    assert run(app, ["look", str(classifier.folder), TEXT]).exit_code == 0
    for name in ("x.png", "x.html"):
        path = str(tmp_path / name)
        assert run(app, ["look", str(classifier.folder), TEXT, "--out", path]).exit_code == 0


@pytest.mark.parametrize("classifier", ["hierarchical"], indirect=True)
def test_words_of_sentences_and_sentences_of_the_text(classifier):
    record = classifier.look(TEXT)
    words, sentences = (record.select(name).tracks[0] for name in ("words", "sentences"))
    found = ["the film was good .", "I liked it !", "so good ."]
    assert list(record.queries(words).pieces) == list(record.keys(sentences).pieces) == found
    ends = np.cumsum([0, 5, 4, 3])
    for row, (start, end) in enumerate(pairwise(ends)):
        inside = words.weights[:, row, start:end]
        np.testing.assert_allclose(inside.sum(-1), 1, atol=1e-5)
    assert words.kind == sentences.kind == "pooling"
    assert [track.name for track in select_map(record).tracks] == ["sentences"]
    alone = classifier.look("good")
    assert alone.select("words").tracks[0].shape == (1, 1)
