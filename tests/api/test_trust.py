"""`trust` on models in folders: the verdict is found, kept, shown, and forgotten with the weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import regard
from regard.api.trust import trust
from regard.cli.app import app
from regard.errors import InputError
from regard.evaluation.alignment_attention import AlignmentVerdict
from regard.evaluation.faithfulness import TrustSettings

QUICK = TrustSettings(draws=2, permutations=4, resamples=50)
QUIET = {"epochs": 2, "batch_tokens": 256}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table in which `good` or `bad` decides."""
    rng = np.random.default_rng(0)
    words = ["the", "a", "room", "film", "food", "was", "is", "very", "quite", "here"]
    path = tmp_path_factory.mktemp("data") / "mood.tsv"
    lines = ["text\tlabel"]
    for _ in range(60):
        label = rng.choice(["good", "bad"])
        text = [*rng.choice(words, 6), label]
        lines.append(" ".join(rng.permutation(text)) + "\t" + label)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def mood(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "mood"
    regard.train(
        "classification", train=table, out=out, model="feedforward", preset="tiny", settings=QUIET
    )
    return out


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    sentences = ["ein Hund .", "der Hund schläft .", "ein Mann .", "der Mann schläft ."] * 5
    english = ["a dog .", "the dog sleeps .", "a man .", "the man sleeps ."] * 5
    (folder / "a.de").write_text("\n".join(sentences) + "\n")
    (folder / "a.en").write_text("\n".join(english) + "\n")
    links = [" ".join(f"{n}-{n}" for n in range(1, len(s.split()) + 1)) for s in sentences]
    (folder / "a.links").write_text("\n".join(links) + "\n")
    return folder / "a.de", folder / "a.en", folder / "a.links"


@pytest.fixture(scope="module")
def translator(pairs, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "de-en"
    settings = {**QUIET, "vocabulary": 60}
    regard.train("translation", train=pairs[:2], out=out, preset="tiny", settings=settings)
    return out


def test_the_verdict_is_kept_and_shown(mood, table):
    assert regard.load(mood).verdict == ""
    verdict = trust(mood, table, texts=12, settings=QUICK)
    assert verdict.texts == 12
    assert verdict.controls is not None
    kept = json.loads((mood / "trust.json").read_text())
    assert kept["sentence"] == verdict.sentence
    model = regard.load(mood)
    assert model.verdict == verdict.sentence
    assert model.look("the food was good").verdict == verdict.sentence


def test_other_weights_have_no_verdict(mood, table):
    trust(mood, table, texts=4, settings=QUICK)
    weights = mood / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before + b" ")
    assert regard.load(mood, weights=False).verdict == ""
    weights.write_bytes(before)
    assert regard.load(mood).verdict


def test_a_translator_is_held_against_links(translator, pairs):
    verdict = trust(translator, pairs[:2], gold=pairs[2])
    assert isinstance(verdict, AlignmentVerdict)
    assert verdict.pairs == 20
    assert verdict.diagonal.error_rate == 0  # these links are the diagonal
    assert verdict.sentence.startswith("Do not read this as word alignment")
    network = regard.load(translator).network
    assert len(verdict.layers) == network.settings.decoder_layers
    assert regard.load(translator).look("ein Hund .").verdict == verdict.sentence


def test_what_does_not_go_together_is_told(mood, table, translator, pairs):
    with pytest.raises(InputError, match="gold links are for translators"):
        trust(mood, table, gold=pairs[2])
    with pytest.raises(InputError, match="texts is 0"):
        trust(mood, table, texts=0)
    choosy = regard.load(mood)
    choosy.several = True
    with pytest.raises(InputError, match="may give a text several labels"):
        trust(choosy, table)
    with pytest.raises(InputError, match="needs gold links"):
        trust(translator, pairs[:2])
    with pytest.raises(InputError, match="20 lines of gold links for 40 sentence pairs"):
        trust(translator, [*pairs[:2], *pairs[:2]], gold=pairs[2])


def test_the_command_prints_words_and_numbers(mood, table):
    found = CliRunner().invoke(app, ["trust", str(mood), "--test", str(table), "--texts", "6"])
    assert found.exit_code == 0, found.output
    assert "comprehensiveness (high is good)" in found.output
    assert regard.load(mood).verdict in found.output
    found = CliRunner().invoke(
        app, ["trust", str(mood), "--test", str(table), "--texts", "6", "--json"]
    )
    assert json.loads(found.output)["texts"] == 6
