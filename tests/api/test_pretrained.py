"""Folders of transformers as models of our tasks: the same answers as transformers gives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import regard
from regard.api import Classifier, Translator
from regard.api.evaluate import evaluate
from regard.api.pairs import paired
from regard.api.trust import trust
from regard.data import Example, Labelled
from regard.errors import DataError, InputError, ModelFolderError
from regard.evaluation.faithfulness.contracts import TrustSettings
from regard.text import SentencePair

TEXTS = ["The bank raised its rates.", "I did not like it", "A man rides a bicycle at night."]
QUICK = TrustSettings(random_rankings=1, permutations=2, removal_steps=2, resamples=20)


def reference(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer as transformers loads them."""
    kind = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, kind).from_pretrained(folder, attn_implementation="eager")
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    "kind", ["sentiment", "topics", "gpt2-sentiment", "roberta", "bart-sentiment"]
)
def test_probabilities_are_those_of_transformers(
    pretrained: Callable[[str], Path], kind: str
) -> None:
    folder = pretrained(kind)
    model, tokenizer = reference(folder)
    answers = regard.load(folder).classify(TEXTS)  # type: ignore[attr-defined]
    for text, answer in zip(TEXTS, answers, strict=True):
        with torch.no_grad():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        expected = logits.sigmoid() if kind == "topics" else logits.softmax(-1)
        for index, name in model.config.id2label.items():
            assert answer.probabilities[name] == pytest.approx(float(expected[index]), abs=1e-5)
        wanted = [model.config.id2label[int(i)] for i in expected.argsort(descending=True)]
        assert answer.label == wanted[0]
        applying = [n for n in wanted if answer.probabilities[n] >= 0.5]
        assert list(answer.labels) == (applying if kind == "topics" else wanted[:1])


@pytest.mark.parametrize("kind", ["bert", "sentiment", "gpt2-sentiment"])
def test_look_shows_the_attention_of_transformers(
    pretrained: Callable[[str], Path], kind: str
) -> None:
    folder = pretrained(kind)
    model, tokenizer = reference(folder)
    record = regard.load(folder).look(TEXTS[0])
    inputs = tokenizer(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs, output_attentions=True).attentions
    assert len(record.tracks) == len(expected)
    for track, weights in zip(record.tracks, expected, strict=True):
        np.testing.assert_allclose(np.asarray(track.weights), weights[0].numpy(), atol=1e-5)
    tokens = record.tokens["text"]
    assert len(tokens) == inputs["input_ids"].shape[1]
    if kind != "gpt2-sentiment":
        assert tokens.pieces[0] == "[CLS]"
        assert tokens.special[0]
        assert tokens.special[-1]
        assert not any(tokens.special[1:-1])
    assert [w for w in tokens.words().pieces if not w.startswith("[")] == [
        "The", "bank", "raised", "its", "rates", "."
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["sentiment", "roberta"])
def test_a_text_that_is_too_long_is_cut_before_its_last_mark(
    pretrained: Callable[[str], Path], kind: str
) -> None:
    folder = pretrained(kind)
    model, tokenizer = reference(folder)
    text = "the bank " * 80
    (answer,) = regard.load(folder).classify(text)  # type: ignore[attr-defined]
    inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
    expected = model(**inputs).logits.softmax(-1)[0]
    assert answer.probabilities["good"] == pytest.approx(expected[-1].item(), abs=1e-5)
    assert "only the first 64" in answer.note


def test_an_encoder_gives_no_answer(pretrained: Callable[[str], Path]) -> None:
    model = regard.load(pretrained("bert"))
    with pytest.raises(InputError, match="only reads"):
        evaluate(model, [Example("a", None)])
    with pytest.raises(InputError, match="no target"):
        model.look("a", "b")


def test_verbs_on_a_classifier(pretrained: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "sentiment"
    shutil.copytree(pretrained("sentiment"), folder)
    model = regard.load(folder)
    assert isinstance(model, Classifier)
    rows = [(text, answer.label) for text, answer in zip(TEXTS, model.classify(TEXTS), strict=True)]
    other = next(name for name in model.labels if name != rows[0][1])
    found = evaluate(model, [*rows, (TEXTS[0], other)])
    assert found.scores[0].value == pytest.approx(100 * 3 / 4)
    assert "trained elsewhere" in found.note
    verdict = trust(model, [Example(text) for text in TEXTS], settings=QUICK)
    assert regard.load(folder).verdict == verdict.sentence
    explained = model.explain(TEXTS[1])
    marks = [piece.startswith("[") for piece in explained.tokens.pieces]
    assert np.isnan(explained["leave-one-out"].values).tolist() == marks


def test_the_head_of_a_bert_reads_one_state(pretrained: Callable[[str], Path]) -> None:
    folder = pretrained("sentiment")
    model, tokenizer = reference(folder)
    inputs = tokenizer(TEXTS[0], return_tensors="pt")
    weights = model(**inputs, output_attentions=True).attentions[-1][0]
    (answer,) = regard.load(folder).classify(TEXTS[0], attention=True)  # type: ignore[attr-defined]
    found = np.asarray(answer.aligned().tracks[0].weights)[:, 0]
    np.testing.assert_allclose(found, weights[:, 0].detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", ["roberta", "gpt2-sentiment", "bart-sentiment"])
def test_a_classifier_is_explained(pretrained: Callable[[str], Path], kind: str) -> None:
    model = regard.load(pretrained(kind))
    assert isinstance(model, Classifier)
    (answer,) = model.classify(TEXTS[1], attention=True)
    weights = np.asarray(answer.aligned().tracks[0].weights)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    examples = [Example(text) for text in TEXTS]
    if kind == "bart-sentiment":
        with pytest.raises(InputError, match="reads a text twice"):
            trust(model, examples, settings=QUICK)
        return
    assert "occlusion" in str(trust(model, examples, settings=QUICK))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pytorch_model.bin", b"", "pickled weights"),
        ("adapter_config.json", b"{}", "merge_and_unload"),
        ("tf_model.h5", b"", "only tf_model.h5"),
        ("model.safetensors", b"oh", "cannot load"),
        (
            "model.safetensors.index.json",
            b'{"weight_map": {"a": "model-1.safetensors"}}',
            "missing",
        ),
    ],
)
def test_other_weights_are_refused(
    pretrained: Callable[[str], Path], tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(pretrained("bert"), folder)
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(ModelFolderError, match=message):
        regard.load(folder)


def test_a_model_is_saved_as_transformers_saves_it(
    pretrained: Callable[[str], Path], tmp_path: Path
) -> None:
    model = regard.load(pretrained("sentiment"))
    assert isinstance(model, Classifier)
    model.save(tmp_path / "copy")
    theirs, tokenizer = reference(tmp_path / "copy")
    expected = theirs(**tokenizer(TEXTS[0], return_tensors="pt")).logits.softmax(-1)[0, 2].item()
    for one in (model, regard.load(tmp_path / "copy")):
        assert isinstance(one, Classifier)
        assert one.classify(TEXTS[0])[0].probabilities["good"] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(InputError, match="not empty"):
        model.save(tmp_path / "copy", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_weights_in_several_files(pretrained: Callable[[str], Path], tmp_path: Path) -> None:
    model, tokenizer = reference(pretrained("sentiment"))
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    tokenizer.save_pretrained(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    loaded = regard.load(tmp_path)
    assert isinstance(loaded, Classifier)
    verdict = trust(loaded, [Example(text) for text in TEXTS], settings=QUICK)
    assert regard.load(tmp_path).verdict == verdict.sentence
    shard = next(tmp_path.glob("model-*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"1")
    assert regard.load(tmp_path).verdict == ""


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("score", {}, "gives a number"),
        ("bert", {"auto_map": {"AutoModel": "modeling.Own"}}, "auto_map: AutoModel"),
        ("bert", {"architectures": ["OwnModel"]}, "no class 'OwnModel'"),
        ("bert", {"model_type": "own"}, "does not know the model type 'own'"),
        ("bert", {"num_hidden_layers": 4}, "do not fit"),
        ("bert", {"architectures": ["BertForMaskedLM"]}, "do not fit"),
    ],
)
def test_what_cannot_be_served_is_refused(
    pretrained: Callable[[str], Path],
    tmp_path: Path,
    kind: str,
    changes: dict[str, Any],
    message: str,
) -> None:
    folder = tmp_path / kind
    shutil.copytree(pretrained(kind), folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ModelFolderError, match=message):
        regard.load(folder)


def write_table(path: Path, labels: tuple[str, str]) -> Path:
    """A table of texts and labels, without a header."""
    rows = [f"{text}\t{labels[n % 2]}\n" for n, text in enumerate(TEXTS * 2)]
    path.write_text("".join(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("kind", "written", "named"),
    [
        ("unnamed", ("0", "1"), ("LABEL_0", "LABEL_1")),
        ("shouting", ("negative", "Positive"), ("NEGATIVE", "POSITIVE")),
    ],
)
def test_labels_of_a_file_are_read_as_the_models(
    pretrained: Callable[[str], Path],
    tmp_path: Path,
    kind: str,
    written: tuple[str, str],
    named: tuple[str, str],
) -> None:
    model = regard.load(pretrained(kind))
    found = evaluate(model, write_table(tmp_path / "theirs.tsv", written))
    same = evaluate(model, write_table(tmp_path / "ours.tsv", named))
    assert found.scores == same.scores
    assert f"read as the model's: {written[0]!r} as {named[0]!r}, " in found.note
    assert "read as" not in same.note
    verdict = trust(model, tmp_path / "theirs.tsv", settings=QUICK)
    assert verdict == trust(model, tmp_path / "ours.tsv", settings=QUICK)


@pytest.mark.parametrize(
    ("kind", "written"),
    [("unnamed", ("1", "2")), ("sentiment", ("0", "1")), ("unnamed", ("a", "b"))],
)
def test_other_labels_are_an_error_that_names_both_sets(
    pretrained: Callable[[str], Path], tmp_path: Path, kind: str, written: tuple[str, str]
) -> None:
    model = regard.load(pretrained(kind))
    with pytest.raises(DataError) as raised:
        evaluate(model, write_table(tmp_path / "test.tsv", written))
    assert f"which are {', '.join(model.labels)}" in str(raised.value)
    assert f"labels of this part are {', '.join(written)}" in str(raised.value)


PAIRS = [
    ("The bank raised its rates.", "A man rides"),
    ("It was dark", "I did not like it at all."),
]


@pytest.mark.parametrize("kind", ["sentiment", "roberta", "bart-sentiment"])
def test_pairs_are_read_as_transformers_reads_them(
    pretrained: Callable[[str], Path], kind: str
) -> None:
    folder = pretrained(kind)
    model, tokenizer = reference(folder)
    loaded = regard.load(folder)
    assert isinstance(loaded, Classifier)
    answers = loaded.classify([*PAIRS, TEXTS[0]])  # texts among them
    for given, answer in zip([*PAIRS, (TEXTS[0],)], answers, strict=True):
        inputs = tokenizer(*given, return_tensors="pt")
        with torch.no_grad():
            expected = model(**inputs).logits[0].softmax(-1)
        for index, name in model.config.id2label.items():
            assert answer.probabilities[name] == pytest.approx(float(expected[index]), abs=1e-5)
        with torch.no_grad():
            output = model(**inputs, output_attentions=True)
        weights = output["encoder_attentions" if "bart" in kind else "attentions"][0][0]
        np.testing.assert_allclose(
            np.asarray(answer.look().tracks[0].weights), weights.numpy(), atol=1e-5
        )
    tokens = answers[0].look().tokens["text"]
    words = tokens.words()
    second = [
        p
        for p, own, mark in zip(words.pieces, words.segments, words.special, strict=True)
        if own and not mark
    ]
    assert second == ["A", "man", "rides"]
    assert answers[2].look().tokens["text"].segments == ()


def test_a_long_pair_is_cut_as_transformers_cuts_it(pretrained: Callable[[str], Path]) -> None:
    model, tokenizer = reference(pretrained("sentiment"))
    pair = ("the bank " * 50, "a man rides " * 4)
    (answer,) = regard.load(pretrained("sentiment")).classify([pair])  # type: ignore[attr-defined]
    inputs = tokenizer(*pair, truncation="longest_first", max_length=64, return_tensors="pt")
    expected = model(**inputs).logits[0].softmax(-1)[0].item()
    assert answer.probabilities["bad"] == pytest.approx(expected, abs=1e-5)
    assert "64 of its" in answer.note


@pytest.mark.parametrize("columns", [None, ("first", "second")])
def test_tables_of_pairs_are_evaluated_and_trusted(
    pretrained: Callable[[str], Path], tmp_path: Path, columns: tuple[str, str] | None
) -> None:
    model = regard.load(pretrained("sentiment"))
    assert isinstance(model, Classifier)
    names = columns or ("premise", "hypothesis")
    predicted = [answer.label for answer in model.classify(PAIRS)]
    rows = [f"{a}\t{b}\t{label}" for (a, b), label in zip(PAIRS, predicted, strict=True)] * 2
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(["\t".join([*names, "label"]), *rows]))
    given = None if columns is None else Labelled(text=columns, label="label")
    found = evaluate(model, path, columns=given)
    assert found.scores[0].value == 100
    assert ("read as a pair" in found.note) == (columns is None)
    verdict = trust(model, path, columns=given, settings=QUICK)
    assert verdict == trust(model, [Example(SentencePair(*p)) for p in PAIRS * 2], settings=QUICK)


def test_texts_are_never_glued_together(pretrained: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "three.tsv"
    path.write_text("a\tb\tc\tlabel\nx\ty\tz\tbad\n")
    columns = Labelled(text="a,b,c", label="label")
    with pytest.raises(InputError, match="3 columns of text"):
        evaluate(regard.load(pretrained("sentiment")), path, columns=columns)
    for kind in ("gpt2-sentiment", "marian"):
        model = regard.load(pretrained(kind))
        with pytest.raises(InputError, match="reads one text at a time"):
            paired(model, "a", "b")
    assert isinstance(model, Translator)
    decoder = regard.load(pretrained("gpt2-sentiment"))
    with pytest.raises(InputError, match="reads one text at a time"):
        decoder.look(PAIRS[0])  # type: ignore[arg-type]
