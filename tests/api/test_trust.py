"""`trust` on models in folders: the verdict is found, kept, shown, and forgotten with the weights."""

from __future__ import annotations

import html
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import regard
from regard.api import Classifier, ExtractiveSummarizer
from regard.api.trust import trust
from regard.cli.app import app
from regard.data import Labelled
from regard.errors import DataError, InputError, ModelFolderError
from regard.evaluation.alignment.verdict import AlignmentVerdict
from regard.evaluation.faithfulness.contracts import TrustSettings
from regard.evaluation.faithfulness.extractive import ExtractionVerdict
from regard.evaluation.faithfulness.verdict import Verdict
from regard.models.settings import TransformerSettings
from regard.viewing.figure import draw

QUICK = TrustSettings(random_rankings=2, permutations=4, resamples=50)
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


def test_the_verdict_is_saved_and_shown(mood, table):
    assert regard.load(mood).verdict == ""
    verdict = trust(mood, table, texts=12, settings=QUICK)
    assert isinstance(verdict, Verdict)
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


def test_every_view_shows_the_verdict(mood, table, tmp_path):
    sentence = trust(mood, table, texts=4, settings=QUICK).sentence
    model = regard.load(mood)
    assert isinstance(model, Classifier)
    answer = model.classify("the food was good")[0]
    for record in (answer.look(), answer.aligned()):
        assert record.verdict == sentence
    run = CliRunner().invoke
    plain = {"NO_COLOR": "1", "COLUMNS": "80"}
    terminal = run(app, ["look", str(mood), "the food was good"], env=plain)
    assert sentence in " ".join(terminal.output.split())
    out = tmp_path / "view.html"
    assert run(app, ["look", str(mood), "the food was good", "--out", str(out)]).exit_code == 0
    escaped = json.dumps(sentence)[1:-1].replace("&", r"\u0026")
    assert escaped in out.read_text()
    assert html.escape(escaped) in record._repr_html_()
    drawn = draw(record).texts[-1].get_text()
    assert " ".join(drawn.split()) == sentence


def test_a_verdict_that_cannot_be_saved_is_returned(mood, table, tmp_path):
    """A folder that is read-only, a disk that is full: what was computed is not lost."""
    there = shutil.copytree(mood, tmp_path / "mood")
    (there / "trust.json").unlink(missing_ok=True)
    (there / "trust.json").mkdir()  # no file can take its place, not even the superuser's
    with pytest.warns(UserWarning, match=r"the verdict is not kept: .*trust\.json: cannot be"):
        verdict = trust(there, table, texts=4, settings=QUICK)
    assert isinstance(verdict, Verdict)
    assert verdict.texts == 4
    arguments = ["trust", str(there), "--test", str(table), "--texts", "4"]
    found = CliRunner().invoke(app, [*arguments, "--json"])
    assert found.exit_code == 0
    assert json.loads(found.stdout)["texts"] == 4
    assert "regard: the verdict is not kept: " in found.stderr
    assert "UserWarning" not in found.stderr


def test_a_damaged_verdict_is_reported(mood, table):
    trust(mood, table, texts=4, settings=QUICK)
    kept = (mood / "trust.json").read_text()
    for broken in (kept[:20], "[]", "{}"):
        (mood / "trust.json").write_text(broken)
        with pytest.raises(ModelFolderError, match=r"trust\.json: damaged .*`regard trust`"):
            regard.load(mood).look("the food was good")
    (mood / "trust.json").write_text(kept)


def test_a_translator_is_compared_with_links(translator, pairs):
    verdict = trust(translator, pairs[:2], gold=pairs[2])
    assert isinstance(verdict, AlignmentVerdict)
    assert verdict.pairs == 20
    assert verdict.diagonal.error_rate == 0  # these links are the diagonal
    assert verdict.sentence.startswith("Do not read this as word alignment")
    settings = regard.load(translator).network.settings
    assert isinstance(settings, TransformerSettings)
    assert len(verdict.layers) == settings.decoder_layers
    assert regard.load(translator).look("ein Hund .").verdict == verdict.sentence


def test_links_count_as_their_file_does(translator, pairs, tmp_path):
    from_1 = pairs[2].read_text().splitlines()
    from_0 = [" ".join(f"{n}-{n}" for n in range(len(line.split()))) for line in from_1]
    naacl = [
        f"{number:04} {link.replace('-', ' ')} S"
        for number, line in enumerate(from_1, start=1)
        for link in line.split()
    ]
    expected = trust(translator, pairs[:2], gold=pairs[2])
    assert isinstance(expected, AlignmentVerdict)
    for name, lines in (("zero", from_0), ("naacl", naacl)):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        found = trust(translator, pairs[:2], gold=tmp_path / name)
        assert isinstance(found, AlignmentVerdict)
        assert replace(found, links=expected.links) == expected
    assert "NAACL format), words counted from 1" in str(found)
    with pytest.raises(DataError, match=r"zero:1: '0-0' is not a link of words counted from 1"):
        trust(translator, pairs[:2], gold=tmp_path / "zero", gold_from=1)
    (tmp_path / "far").write_text(pairs[2].read_text().replace("3-3", "3-4", 1))
    with pytest.raises(DataError, match=r"far:1: link '3-4' is outside .* 3 and 3 words"):
        trust(translator, pairs[:2], gold=tmp_path / "far")
    run = CliRunner().invoke
    arguments = ["trust", str(translator), "--test", *map(str, pairs[:2]), "--gold"]
    shifted = run(app, [*arguments, str(pairs[2]), "--gold-from", "0"])
    assert shifted.exit_code == 2
    assert "a.links:1: link '3-3' is outside" in shifted.stderr
    assert run(app, [*arguments, str(tmp_path / "zero"), "--gold-from", "0"]).exit_code == 0


def test_links_belong_to_lines_also_where_a_pair_is_blank(translator, pairs, tmp_path):
    files = [tmp_path / "a.de", tmp_path / "a.en", tmp_path / "a.links"]
    for file, source in zip(files, pairs, strict=True):
        lines = source.read_text().splitlines()
        file.write_text("\n".join([*lines[:1], "", *lines[1:]]) + "\n")
    found = trust(translator, files[:2], gold=files[2])
    expected = trust(translator, pairs[:2], gold=pairs[2])
    assert isinstance(found, AlignmentVerdict)
    assert isinstance(expected, AlignmentVerdict)
    assert found.layers == expected.layers
    with pytest.raises(DataError, match="20 lines of gold links for 21 sentence pairs"):
        trust(translator, files[:2], gold=pairs[2])


def test_a_recurrent_translator_is_compared_with_links(pairs):
    settings = {**QUIET, "vocabulary": 60}
    model = regard.train(
        "translation", train=pairs[:2], model="rnn", preset="tiny", settings=settings
    )
    verdict = trust(model, pairs[:2], gold=pairs[2])
    assert isinstance(verdict, AlignmentVerdict)
    assert len(verdict.layers) == 1
    assert set(verdict.layers[0]) == {"input", "output"}


def test_what_does_not_go_together_is_refused(mood, table, translator, pairs):
    with pytest.raises(InputError, match="gold links are for models that write"):
        trust(mood, table, gold=pairs[2])
    with pytest.raises(InputError, match="texts is 0"):
        trust(mood, table, texts=0)
    with pytest.raises(InputError, match="needs gold links"):
        trust(translator, pairs[:2])
    with pytest.raises(DataError, match="20 lines of gold links for 40 sentence pairs"):
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


def test_with_several_labels_the_most_probable_is_judged(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["text\tlabel"]
    for _ in range(80):
        labels = [label for label in ("good", "cheap") if rng.random() < 0.6]
        text = rng.permutation([*rng.choice(["the", "a", "film", "food", "was"], 4), *labels])
        lines.append(f"{' '.join(text)}\t{','.join(labels)}")
    table = tmp_path / "tags.tsv"
    table.write_text("\n".join(lines) + "\n")
    out = tmp_path / "tags"
    regard.train(
        "classification",
        train=table,
        out=out,
        model="feedforward",
        preset="tiny",
        columns=Labelled(separator=","),
        settings={"epochs": 30, "batch_tokens": 256, "learning_rate": 1e-2},
    )
    verdict = trust(out, table, texts=30, settings=QUICK)
    assert isinstance(verdict, Verdict)
    assert 0 < verdict.texts <= 30  # those given no label are left out
    assert verdict.controls is not None
    needed = verdict.comprehensiveness["delete"]
    assert needed.attention.mean > needed.random.mean
    assert regard.load(out).look("good food").verdict == verdict.sentence


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("papers")
    rng = np.random.default_rng(1)
    words = ["the", "a", "room", "film", "food", "was"]
    rows = []
    for _ in range(12):
        document = [" ".join(rng.choice(words, 4)) + "." for _ in range(3)]
        document.insert(int(rng.integers(4)), "we show the thing.")
        rows.append(json.dumps({"source": document, "target": "we show the thing."}))
    (folder / "papers.jsonl").write_text("\n".join(rows) + "\n")
    return folder / "papers.jsonl"


def test_an_extractive_summariser_is_judged_by_the_words_of_its_sentences(papers, tmp_path):
    out = tmp_path / "short"
    regard.train(
        "summarization", train=papers, valid=papers, out=out, preset="tiny", settings=QUIET
    )
    verdict = trust(out, papers, settings=QUICK)
    assert isinstance(verdict, ExtractionVerdict)
    assert verdict.texts == 12
    assert verdict.sentence.startswith("The weights over sentences are the choice itself")
    assert verdict.position_bias.chance == pytest.approx(1 / 4)
    kept = json.loads((out / "trust.json").read_text())
    assert kept["position_bias"]["first_sentence"] == verdict.position_bias.first_sentence
    model = regard.load(out)
    assert isinstance(model, ExtractiveSummarizer)
    record = model.summarize([["the film was a film.", "we show the thing."]])[0].look()
    assert record.verdict == verdict.sentence
    words, sentences = record.tracks
    by_word, over = words.dense("mean")[0], sentences.dense("mean")[0]
    np.testing.assert_allclose(by_word.sum(), 1, atol=1e-5)
    assert record.keys(words).pieces[-1].strip() in ("thing.", ".")
    by_sentence = [by_word[indices].sum() for indices in _sentences_of(record, words)]
    np.testing.assert_allclose(by_sentence, over, atol=1e-5)


def _sentences_of(record, words):
    """Places of the words of each of two sentences."""
    second = record.keys(words).text.index("we show")
    starts = np.array([start for start, _ in record.keys(words).offsets])
    return [starts < second, starts >= second]


def test_models_without_a_verdict_are_told_what_there_is(papers, tmp_path):
    book = tmp_path / "book.txt"
    book.write_text("the film was good\n" * 12)
    model = regard.train("language", train=book, preset="tiny", settings=QUIET)
    with pytest.raises(InputError, match="a language model gives no one answer"):
        trust(model, book)
    abstractive = regard.train(
        "summarization", train=papers, model="pointer", preset="tiny", settings=QUIET
    )
    with pytest.raises(InputError, match="a summariser that writes needs gold links"):
        trust(abstractive, papers)
