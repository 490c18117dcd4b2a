"""What models of each task answer, fresh and from their folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import regard
from regard.api import (
    AbstractiveSummarizer,
    Classifier,
    ExtractiveSummarizer,
    Generator,
    Model,
    Translator,
)
from regard.api.tasks.answers import Classification
from regard.api.tasks.classification import _labels
from regard.api.tasks.extractive import resemblance
from regard.cli.formats import classification_line
from regard.data import Example, dates
from regard.data.ragged import Ragged
from regard.decoding import DecodingSettings
from regard.errors import DataError, InputError, ModelFolderError
from regard.text import Tokenizer
from regard.training.batch import labelled_batch

TEXTS = ["3. Mai 2018", "", "jeudi 4 juin 2020", "   "]


def reloaded(model: Model) -> Model:
    assert model.folder is not None
    return regard.load(model.folder)


def test_a_translator_from_its_folder_translates_the_same(translator: Translator) -> None:
    again = reloaded(translator)
    assert isinstance(again, Translator)
    for one, other in zip(translator.translate(TEXTS), again.translate(TEXTS), strict=True):
        assert (one.text, one.tokens, one.source_tokens) == (
            other.text,
            other.tokens,
            other.source_tokens,
        )
        assert one.score == pytest.approx(other.score)


@pytest.mark.parametrize(
    "kind", ["translator", "classifier", "extractive", "abstractive", "generator"]
)
def test_the_tokenizer_of_another_model_is_told(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model: Model = request.getfixturevalue(kind)
    assert model.folder is not None
    here = shutil.copytree(model.folder, tmp_path / "model")
    for path in (here / "source.json", here / "target.json"):
        if path.is_file():
            own = path.read_bytes()
            Tokenizer.train(["other words"], kind="word", size=9).save(path)
            with pytest.raises(ModelFolderError, match=rf"{path.name}: \d tokens, config.json has"):
                regard.load(here)
            path.write_bytes(own)
    regard.load(here)


def test_an_empty_text_has_an_empty_answer_in_its_place(
    translator: Translator,
    classifier: Classifier,
    extractive: ExtractiveSummarizer,
    abstractive: AbstractiveSummarizer,
) -> None:
    translations = translator.translate(TEXTS)
    assert [bool(t.text) for t in translations] == [True, False, True, False]
    assert translations[2].text == translator.translate(TEXTS[2])[0].text
    assert [bool(c.label) for c in classifier.classify(TEXTS)] == [True, False, True, False]
    assert [s.source for s in extractive.summarize(["", "One. Two."])] == ["", "One. Two."]
    assert abstractive.summarize([""])[0].text == ""
    with pytest.raises(InputError, match="empty text"):
        translations[1].look()


def test_a_translation_carries_maps_tokens_and_alignment(translator: Translator) -> None:
    answer = translator.translate("3. Mai 2018", settings=DecodingSettings(n_best=3))[0]
    tokens, sources = len(answer.tokens), len(answer.source_tokens)
    assert answer.source_tokens == (*"3. Mai 2018", "</s>")
    assert answer.text == "".join(answer.tokens)
    assert answer.alignment.shape == (tokens, sources)
    np.testing.assert_allclose(answer.alignment.sum(1), 1, atol=1e-5)
    cross = answer.maps["cross"]
    assert [m.shape for m in cross] == [(1, 2, tokens + 1, sources)] * 2
    # What the decoder reported on the way is what a second pass finds: the last layer but one, the
    # heads' mean, a row later, since row 0 is of the step that read BOS.
    found = cross[-2].dense()[0].mean(0)[1:].numpy()
    np.testing.assert_allclose(answer.alignment, found, atol=1e-5)
    assert len(answer.alternatives) == 2
    assert answer.score >= answer.alternatives[0].score >= answer.alternatives[1].score
    assert all(0 <= i < 4 and j >= 0 for i, j in answer.word_alignment())


def test_a_look_shows_what_a_given_target_would_see(translator: Translator) -> None:
    record = translator.look("3. Mai 2018", "2018-05-03")
    assert record.tokens["target"].pieces == ("<s>", *"2018-05-03")
    assert "decoder's input" in record.reading
    assert {(t.name, t.layer) for t in record.tracks} == {
        (name, layer) for name in ("encoder", "decoder", "cross") for layer in (0, 1)
    }


def test_a_prefix_is_where_a_translation_begins(translator: Translator) -> None:
    found = translator.translate(["", "3. Mai 2018"], prefix=["", "20"])
    assert found[1].text.startswith("20")


def test_a_classifier_says_how_sure_it_is(classifier: Classifier) -> None:
    again = reloaded(classifier)
    assert isinstance(again, Classifier)
    texts = ["red green is good", "pink blue is bad"]
    for one, other in zip(classifier.classify(texts), again.classify(texts), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities)
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert next(iter(one.probabilities)) == one.label == one.labels[0]
    answer = classifier.classify(texts)[0]
    assert answer.label == "yes"  # the n-grams beside attention know it after any training
    assert answer.tokens == ("red", "green", "is", "good")
    assert answer.maps["pooling"][0].shape[-1] == 4
    record = answer.look()
    assert record.tracks[0].kind == "pooling"
    assert record.keys(record.tracks[0]).pieces == answer.tokens


def test_several_labels(tmp_path: Path) -> None:
    words = ["red", "green", "blue", "gold"]
    examples = [
        Example(f"{words[i % 4]} and {words[i % 3]}", labels=tuple({words[i % 4], words[i % 3]}))
        for i in range(60)
    ]
    settings = {"steps": 2, "metric": "macro_f1"}
    model = regard.train("classification", train=examples, preset="tiny", settings=settings)
    assert isinstance(model, Classifier)
    assert model.multilabel
    answer = model.classify("red and blue")[0]
    assert set(answer.labels) == {"red", "blue"}
    found = model.evaluate(examples, train=examples)
    assert {score.name for score in found.scores} == {"micro F1", "macro F1", "subset accuracy"}
    assert set(found.baselines) == {"TF-IDF, logistic regression"}


def test_a_picker_gives_back_sentences(extractive: ExtractiveSummarizer) -> None:
    again = reloaded(extractive)
    assert isinstance(again, ExtractiveSummarizer)
    document = ["The red zyx sings.", "Nobody knows.", "It is pink."]
    one, other = extractive.summarize([document])[0], again.summarize([" ".join(document)])[0]
    assert one.text == other.text == document[one.sentences[0]]
    record = one.look()
    assert record.tokens["text"].pieces == tuple(document)
    assert float(record.tracks[0].dense().sum()) == pytest.approx(1, abs=1e-5)


def test_a_picker_reads_a_plain_text_by_its_sentences(extractive: ExtractiveSummarizer) -> None:
    sentences = ("The red zyx sings.", "Nobody knows.", "It is pink.")
    cut = [Example(sentences, target) for target in ("zyx sings", "it is pink", "nobody", "red")]
    plain = [replace(example, source=example.text) for example in cut]
    for one, other in zip(plain, cut, strict=True):
        assert resemblance(one) == resemblance(other)
    parts = [extractive.encode_examples(examples, training=True) for examples in (plain, cut)]
    first, second = (part.batch(range(4)).source for part in parts)
    assert first.shape[1] == 3
    assert torch.equal(first, second)
    assert extractive.evaluate(plain) == extractive.evaluate(cut)


def test_a_writer_copies_words_it_does_not_know(abstractive: AbstractiveSummarizer) -> None:
    source = abstractive.encode_sources(["The Qrst99 sings"])[0]
    known = len(abstractive.source_tokenizer)
    assert source.copy_ids == {"qrst99": known}
    assert known in source.ids
    encoding = abstractive.target_tokenizer.encode("qrst99 abc")
    assert abstractive.target_ids(encoding, source.copy_ids)[1] == known
    assert abstractive.to_tokens([known], source.copy_ids) == ["qrst99"]
    again = reloaded(abstractive)
    assert isinstance(again, AbstractiveSummarizer)
    text = "The qrst99 sings. Nobody knows."
    one, other = abstractive.summarize(text)[0], again.summarize(text)[0]
    assert one.text == other.text
    assert one.maps["cross"][0].shape[-1] == len(source.ids) + 4  # ". Nobody knows ."


def test_a_generator_goes_on(generator: Generator) -> None:
    again = reloaded(generator)
    assert isinstance(again, Generator)
    settings = generator.decoding_settings({"n_best": 2, "seed": 5})
    one, other = (m.generate(["red green", ""], settings=settings) for m in (generator, again))
    assert [c.text for c in one] == [c.text for c in other]
    assert one[0].prompt == "red green"
    assert len(one[0].alternatives) == 1
    assert generator.look("red green is").tracks[0].direction == "causal"


@pytest.mark.parametrize(
    ("name", "scores", "baseline"),
    [
        ("translator", {"BLEU", "chrF", "exact match"}, "copy of the source"),
        ("extractive", {"ROUGE-1", "ROUGE-2", "ROUGE-L"}, "first sentence"),
        ("abstractive", {"ROUGE-1", "ROUGE-2", "ROUGE-L"}, "first sentence"),
    ],
)
def test_every_figure_stands_beside_a_baseline(
    name: str, scores: set[str], baseline: str, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(name)
    examples = dates.generate(6, part="test")
    if name != "translator":
        examples = [Example((e.text, "It is so."), e.target) for e in examples]
    found = model.evaluate(examples)
    assert {score.name for score in found.scores} == scores
    assert list(found.baselines) == [baseline]
    assert "this model" in str(found)
    assert all(score.interval is not None for score in found.scores)


def test_perplexity_of_word_frequencies_by_hand(generator: Generator) -> None:
    train = [Example("red")]
    found = generator.evaluate([Example("red"), Example("red red")], train=train)
    size, ids = len(generator.tokenizer), generator.tokenizer.encode("red").ids
    more = generator.tokenizer.encode("red red").ids
    assert len(more) > len(ids)  # one row is padded
    total = size + len(ids) + 1
    nats = [-np.log((1 + [*ids, 3].count(index)) / total) for index in (*ids, 3, *more, 3)]
    assert found.baselines["word frequencies"][0].value == pytest.approx(np.exp(np.mean(nats)))


def test_perplexity_and_loss_of_a_language_model_by_its_probabilities(generator: Generator) -> None:
    texts, nats = ["red gold", "blue and grey is good"], []
    generator.network.eval()
    for text in texts:
        ids = torch.tensor([[2, *generator.tokenizer.encode(text).ids, 3]])
        with torch.no_grad():
            logits = generator.network(ids[:, :-1], torch.tensor([ids.shape[1] - 1])).logits
        nats += (-logits[0].log_softmax(-1))[range(ids.shape[1] - 1), ids[0, 1:]].tolist()
    examples = [Example(text) for text in texts]
    (score,) = generator.evaluate(examples).scores
    assert score.value == pytest.approx(np.exp(np.mean(nats)), rel=1e-5)
    encoded = generator.encode_examples(examples, training=False)
    found = generator.validator(examples, encoded)(generator.network)
    assert found == pytest.approx({"loss": np.mean(nats), "perplexity": score.value}, rel=1e-5)


def test_the_validation_loss_of_a_classifier_by_its_probabilities(classifier: Classifier) -> None:
    texts, golds = ["red gold", "blue and grey is good", "pink"], ["yes", "no", "yes"]
    answers = classifier.classify(texts)
    nats = [
        -np.log(answer.probabilities[gold]) for answer, gold in zip(answers, golds, strict=True)
    ]
    examples = [Example(text, labels=(gold,)) for text, gold in zip(texts, golds, strict=True)]
    encoded = classifier.encode_examples(examples, training=False)
    with torch.no_grad():
        found = classifier.validator(examples, encoded)(classifier.network.eval())
    assert found["loss"] == pytest.approx(np.mean(nats), rel=1e-5)


def test_the_smoothed_loss_of_several_labels_by_hand() -> None:
    many = SimpleNamespace(multilabel=True, labels=["a", "b"])
    target = torch.tensor([[1.0, 0.0]])
    batch = labelled_batch(Ragged([[4]]), target, [0])
    loss = Classifier._loss(many, torch.tensor([[2.0, -1.0]]), batch, 0.2)  # type: ignore[arg-type]
    yes, no = 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(1.0))
    likely = 0.9 * np.log(yes) + 0.1 * np.log(1 - yes) + 0.1 * np.log(no) + 0.9 * np.log(1 - no)
    assert float(loss.value) == pytest.approx(-likely / 2)
    assert loss.count == 1


def test_labels_that_are_numbers_come_first_in_their_order() -> None:
    examples = [Example("x", labels=(label,)) for label in ("b", "10", "a", "9", "9")]
    assert _labels(examples) == (["9", "10", "a", "b"], False)


def test_a_label_of_two_lines_is_written_on_one() -> None:
    answer = Classification(text="x", labels=("very\ngood",), probabilities={"very\ngood": 0.5})
    assert classification_line(answer) == "very good"
    assert classification_line(answer, probability=True) == "very good\t0.5000"


def test_what_the_baseline_cannot_learn_from_is_told(classifier: Classifier) -> None:
    test = [Example("A C G", labels=("yes",)), Example("C T", labels=("no",))]
    for train, note in (
        (test, "no baseline: TF-IDF counts words of two letters or more"),
        (test[:1], "no baseline: no training example has the label 'no' any more"),
    ):
        found = classifier.evaluate(test, train=train)
        assert found.baselines == {}
        assert found.note.startswith(note)
        assert found.scores


def test_a_baseline_beside_a_label_that_every_example_has() -> None:
    texts = {"green grass": ("all", "yes"), "red roses": ("all",)}
    examples = [Example(text, labels=labels) for text, labels in texts.items()] * 10
    model = regard.train(
        "classification", train=examples, valid=examples, preset="tiny", settings={"steps": 1}
    )
    baseline = model.evaluate(examples, train=examples).baselines["TF-IDF, logistic regression"]
    assert [score.value for score in baseline] == [100.0] * 3


def test_a_label_that_training_never_saw_names_its_line(classifier: Classifier) -> None:
    strange = Example("red", labels=("perhaps",), origin=("test.tsv", 7))
    with pytest.raises(DataError, match=r"test\.tsv:7: label 'perhaps' .* no, yes"):
        classifier.evaluate([strange])
    for labels in ((), ("yes", "no")):
        several = Example("red", labels=labels, origin=("test.tsv", 7))
        with pytest.raises(DataError, match=rf"test\.tsv:7: {len(labels)} labels, expected one"):
            classifier.evaluate([several])
