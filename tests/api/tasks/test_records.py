"""Maps of models as records: every kind of model can be looked at, in every place."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from typer.testing import CliRunner

import regard
from regard.api.tasks import records
from regard.api.views import select_map
from regard.attention import AttentionMap
from regard.cli.app import app
from regard.data import Example
from regard.errors import InputError
from regard.viewing import MapSummary

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


@pytest.fixture(scope="module", params=["cnn", "transformer-classifier", "hierarchical"])
def ensemble(request, tmp_path_factory):
    texts = [f"the {w} film was good . I liked it ! so {w} ." for w in ("good", "bad")] * 6
    layers = {"layers": 2} if request.param == "transformer-classifier" else {}
    return regard.train(
        "classification",
        train=[Example(text, labels=(str(n % 2),)) for n, text in enumerate(texts)],
        out=tmp_path_factory.mktemp("runs") / "model",
        model=request.param,
        preset="tiny",
        settings={"steps": 1, "tokenizer": "word", "members": 3, **layers},
    )


def test_members_are_heads_and_not_layers(ensemble):
    record = ensemble.look(TEXT)
    layers = 2 if ensemble.settings.kind == "transformer-classifier" else 1
    for name in {track.name for track in record.tracks}:
        tracks = record.select(name).tracks
        assert len(tracks) == (layers if name == "encoder" else 1)
        assert [track.layer for track in tracks] == list(range(len(tracks)))
        for layer, track in enumerate(tracks):
            own = [m for m in ensemble.classify(TEXT)[0].maps[name] if m.member == 1][layer]
            each = track.heads // 3
            assert track.members == 3
            assert track.head_name(each).startswith("member 2")
            np.testing.assert_allclose(
                track.weights[each : 2 * each], own.dense()[0].numpy(), atol=1e-6
            )
    shown = str(record.select(record.tracks[-1].name))
    assert "3 members" in shown
    (aligned,) = ensemble.classify(TEXT)[0].aligned().tracks
    assert aligned.members == 3


def test_rollout_of_an_ensemble_is_refused(ensemble):
    maps = ensemble.classify(TEXT)[0].maps.get("encoder")
    if maps is not None:
        with pytest.raises(InputError, match="members of an ensemble"):
            regard.rollout(maps)
        assert regard.rollout([m for m in maps if m.member == 2]).shape[-1] == len(TEXT.split())


def test_large_maps_are_summarised_without_the_matrix(ensemble, monkeypatch):
    expected = ensemble.look(TEXT)
    monkeypatch.setattr(records, "DENSE_WEIGHTS", 50)
    monkeypatch.setattr(records, "SMALL_MAP", 15)
    dense = AttentionMap.dense

    def refuse(weights):
        assert weights.shape[-2] * weights.shape[-1] <= 15
        return dense(weights)

    monkeypatch.setattr(AttentionMap, "dense", refuse)
    found = ensemble.look(TEXT)
    for track, exact in zip(found.tracks, expected.tracks, strict=True):
        assert isinstance(track.weights, MapSummary) == (exact.shape[0] * exact.shape[1] > 15)
        summary, whole = track.summary(), exact.summary()
        for name in ("mean", "max", "top_values", "entropy", "received"):
            got, wanted = getattr(summary, name), getattr(whole, name)
            np.testing.assert_allclose(got, wanted, atol=2e-6)
