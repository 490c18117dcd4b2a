"""Fine-tuned models: plain transformers opens their folder, and runs go on to the same losses."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import regard
from regard.api import Classifier, Model
from regard.api.inspection import inspect_folder, seal_folder
from regard.api.trust import trust
from regard.api.tuning import TunedClassifier
from regard.data import Example
from regard.errors import DataError, InputError, ModelFolderError, SettingsError
from regard.evaluation.faithfulness.contracts import TrustSettings
from regard.training import Callback, Interrupted, Progress

Pretrained = Callable[[str], Path]

MOODS = [
    Example(f"a {word} film , part {n}", labels=(label,))
    for n in range(12)
    for word, label in (("warm", "Good"), ("dull", "bad"), ("long", "10"))
]
TWO = ["a warm film , part 3", "a dull film , part 5"]
PAIRS = [Example(f"Ein Mann sieht {n} Hunde", f"A man sees {n} dogs") for n in range(12)]
TEXTS = [Example(f"It was a dark night , {n}") for n in range(12)]
DATA = {
    "classification": MOODS,
    "translation": PAIRS,
    "summarization": PAIRS,
    "language": TEXTS,
}
QUICK = {"epochs": 2, "batch_tokens": 128}
TRUST = TrustSettings(random_rankings=1, permutations=2, removal_steps=2, resamples=20)


def tune(task: str, base: Path, out: Path | None = None, **options: Any) -> Model:
    settings = {**QUICK, **options.pop("settings", {})}
    return regard.train(task, train=DATA[task], model=base, out=out, settings=settings, **options)


def plain(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer as transformers loads them, without a word about the weights."""
    kind = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, report = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


def tensors(model: Any) -> dict[str, torch.Tensor]:
    return dict(model.state_dict())


@pytest.mark.parametrize(
    ("task", "kind", "how"),
    [
        ("classification", "bert", "frozen"),
        ("classification", "roberta", "full"),
        ("classification", "gpt2", "lora"),
        ("translation", "marian", "full"),
        ("summarization", "bart", "lora"),
        ("language", "gpt2", "full"),
    ],
)
def test_transformers_and_regard_open_the_folder(
    pretrained: Pretrained, tmp_path: Path, task: str, kind: str, how: str
) -> None:
    if how == "lora":
        pytest.importorskip("peft")
    out = tmp_path / "tuned"
    model = tune(task, pretrained(kind), out, tune=how)
    theirs, _ = plain(out)
    again = regard.load(out)
    assert type(again) is type(model)
    assert again.settings == model.settings
    for loaded in (theirs, again.network.model):
        wanted, found = tensors(model.network.model), tensors(loaded)
        assert wanted.keys() == found.keys()
        assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert inspect_folder(out).problems == ()


def test_logits_are_those_of_transformers(pretrained: Pretrained, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    tune("classification", pretrained("bert"), out)
    model, tokenizer = plain(out)
    assert [model.config.id2label[i] for i in range(3)] == ["10", "Good", "bad"]
    again = regard.load(out)
    assert isinstance(again, Classifier)
    assert again.labels == ("10", "Good", "bad")
    (answer,) = again.classify("a dull film")
    with torch.no_grad():
        expected = model(**tokenizer("a dull film", return_tensors="pt")).logits.double()
    for name, value in zip(again.labels, expected.softmax(-1)[0], strict=True):
        assert answer.probabilities[name] == pytest.approx(float(value), abs=1e-12)


@pytest.mark.parametrize("how", ["frozen", "full", "lora"])
def test_a_tuned_classifier_learns(pretrained: Pretrained, how: str) -> None:
    if how == "lora":
        pytest.importorskip("peft")
    model = tune("classification", pretrained("bert"), tune=how)
    assert max(record["valid_accuracy"] for record in model.history.validations) == 100
    assert isinstance(model, Classifier)
    assert [a.label for a in model.classify(["a warm film , part 3", "a dull film , part 5"])] == [
        "Good",
        "bad",
    ]


@pytest.mark.parametrize(
    ("task", "kind", "how"),
    [
        ("translation", "t5", "lora"),
        ("summarization", "marian", "full"),
        ("language", "gpt2", "full"),
        ("language", "gpt2", "lora"),
    ],
)
def test_a_tuned_writer_learns(pretrained: Pretrained, task: str, kind: str, how: str) -> None:
    if how == "lora":
        pytest.importorskip("peft")
    values = {"learning_rate": 0.01, "epochs": 4, "batch_tokens": 64, "label_smoothing": 0.1}
    if task == "language":
        del values["label_smoothing"]
    losses = [
        record["valid_loss"]
        for record in tune(task, pretrained(kind), tune=how, settings=values).history.validations
    ]
    assert losses[-1] < 0.8 * losses[0]


class StopAt(Callback):
    """Sends the process a signal once it has made some updates."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, progress: Progress) -> None:
        if progress.step == self.step:
            signal.raise_signal(signal.SIGTERM)


def losses(model: Model) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k != "seconds"} for record in model.history]


@pytest.mark.parametrize(
    ("task", "kind", "how"),
    [
        ("classification", "bert", "full"),
        ("classification", "roberta", "lora"),
        ("translation", "t5", "full"),
        ("language", "gpt2", "lora"),
    ],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_losses(
    pretrained: Pretrained, tmp_path: Path, task: str, kind: str, how: str
) -> None:
    if how == "lora":
        pytest.importorskip("peft")
    base = pretrained(kind)
    whole = tune(task, base, tmp_path / "whole", tune=how)
    moved = tmp_path / "moved"
    shutil.copytree(base, moved)
    with pytest.raises(Interrupted):
        tune(task, base, tmp_path / "halves", tune=how, callback=StopAt(3))
    resumed = tune(task, moved, tmp_path / "halves", tune=how, resume=True)
    assert losses(resumed) == losses(whole)
    wanted = tensors(whole.network.model)
    assert all(torch.equal(wanted[n], t) for n, t in tensors(resumed.network.model).items())


def test_a_frozen_run_is_begun_again_or_finished(pretrained: Pretrained, tmp_path: Path) -> None:
    out, base = tmp_path / "run", pretrained("bert")
    first = tune("classification", base, out)
    again = tune("classification", base, out, resume=True)
    assert losses(again) == losses(first)
    wanted = tensors(first.network.model)
    assert all(torch.equal(wanted[n], t) for n, t in tensors(again.network.model).items())
    replaced = tune("classification", base, out, overwrite=True)
    assert losses(replaced) == losses(first)


def test_another_base_or_way_is_another_run(pretrained: Pretrained, tmp_path: Path) -> None:
    out = tmp_path / "run"
    tune("classification", pretrained("bert"), out)
    with pytest.raises(SettingsError, match="was begun with base_weights="):
        tune("classification", pretrained("sentiment"), out, resume=True)
    with pytest.raises(SettingsError, match=r"was begun with .*frozen"):
        tune("classification", pretrained("bert"), out, resume=True, tune="full")


def test_a_frozen_head_is_the_logistic_regression_of_scikit_learn(
    pretrained: Pretrained, tmp_path: Path
) -> None:
    """Solved on both parts at the end, on what the last layer reads."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    out = tmp_path / "run"
    said: list[str] = []

    class Listener(Callback):
        def on_message(self, message: str) -> None:
            said.append(message)

    tune("classification", pretrained("bert"), out, callback=Listener())
    (solved,) = (message for message in said if message.startswith("solved the head"))
    penalty = float(solved.partition("penalty ")[2].split()[0])
    model, tokenizer = plain(out)
    read: list[torch.Tensor] = []
    model.classifier.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    with torch.no_grad():
        logits = [model(**tokenizer(e.text, return_tensors="pt")).logits for e in MOODS]
    features = torch.cat(read).double().numpy()
    labels = [model.config.label2id[e.labels[0]] for e in MOODS]
    scaled = StandardScaler().fit_transform(features)
    strength = 1 / (penalty * features.shape[1])
    expected = LogisticRegression(C=strength, max_iter=5000, tol=1e-8).fit(scaled, labels)
    np.testing.assert_allclose(
        torch.cat(logits).double().softmax(-1), expected.predict_proba(scaled), atol=1e-3
    )


def test_two_labels_have_the_margin_of_one_regression(pretrained: Pretrained) -> None:
    rows = [example for example in MOODS if example.labels != ("10",)]
    model = regard.train("classification", train=rows, model=pretrained("bert"))
    assert isinstance(model, TunedClassifier)
    bias = model.network.model.classifier.bias.detach()
    assert float(bias.sum()) == pytest.approx(0, abs=1e-6)
    assert [a.label for a in model.classify(["a warm film , part 3", "a dull film , part 5"])] == [
        "Good",
        "bad",
    ]


def test_several_labels(pretrained: Pretrained, tmp_path: Path) -> None:
    rows = [
        Example(f"a {' and '.join(words)} film , part {n}", labels=words)
        for n in range(8)
        for words in (("warm",), ("warm", "long"), ("long",), ())
    ]
    for how in ("frozen", "full"):
        out = tmp_path / how
        model = regard.train(
            "classification",
            train=rows,
            model=pretrained("bert"),
            out=out,
            tune=how,
            settings=QUICK,
        )
        assert isinstance(model, Classifier)
        assert model.multilabel
        assert plain(out)[0].config.problem_type == "multi_label_classification"
        again = regard.load(out)
        assert isinstance(again, Classifier)
        assert set(again.classify("a warm and long film , part 3")[0].labels) == {"warm", "long"}


def test_views_and_verdict(pretrained: Pretrained, tmp_path: Path) -> None:
    out = tmp_path / "run"
    model = tune("classification", pretrained("bert"), out)
    assert isinstance(model, Classifier)
    layers = plain(pretrained("bert"))[0].config.num_hidden_layers
    last = model.look("a warm film").tracks[-1]
    assert last.layer == layers  # one more than the pretrained model has: it takes the mean
    weights = np.asarray(last.weights)
    np.testing.assert_allclose(weights, 1 / weights.shape[-1], rtol=1e-6)
    verdict = trust(model, MOODS[:4], settings=TRUST)
    assert verdict.sentence
    evaluation = model.evaluate(MOODS, train=MOODS)
    assert "TF-IDF, logistic regression" in evaluation.baselines
    assert "| tune | frozen |" in (out / "README.md").read_text()
    model.save(tmp_path / "copy")
    assert plain(tmp_path / "copy")[0].config.id2label == {0: "10", 1: "Good", 2: "bad"}
    assert inspect_folder(tmp_path / "copy").problems == ()


def test_a_translator_looks_where_it_was_found_to_look(
    pretrained: Pretrained, tmp_path: Path
) -> None:
    model: Any = tune("translation", pretrained("t5"), tmp_path / "run")
    again: Any = regard.load(tmp_path / "run")
    assert again.alignment == model.alignment


def test_long_texts_are_cut_and_counted(pretrained: Pretrained) -> None:
    said: list[str] = []

    class Listener(Callback):
        def on_message(self, message: str) -> None:
            said.append(message)

    rows = [
        Example("" if n % 4 == 0 else "word " * (50 if n < 8 else 3), labels=(f"{n % 2}",))
        for n in range(16)
    ]
    model = regard.train(
        "classification",
        train=rows,
        valid=rows[:4],
        model=pretrained("bert"),
        settings={"max_tokens": 20},
        callback=Listener(),
    )
    assert "cut 6 of 16 training texts to their first 20 tokens" in said
    assert isinstance(model, Classifier)
    (answer,) = model.classify("word " * 50)
    assert "20" in answer.note
    assert len(model.look("word " * 50).tokens["text"]) == 20


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "nowhere/at-all"}, InputError, "no such folder"),
        ({"model": "berd"}, SettingsError, "no model 'berd' for classification"),
        ({"tune": "full"}, SettingsError, "tunes a pretrained model; name it"),
        ({"model": "bigru", "tune": "full"}, SettingsError, "tunes a pretrained model; name it"),
    ],
)
def test_what_is_no_pretrained_model(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        regard.train("classification", train=MOODS, **options)


def test_what_cannot_be_tuned(pretrained: Pretrained, tmp_path: Path) -> None:
    bert, gpt2, t5 = pretrained("bert"), pretrained("gpt2"), pretrained("t5")
    with pytest.raises(SettingsError, match="tune is 'frozen', which solves the head"):
        tune("translation", t5, tune="frozen")
    with pytest.raises(SettingsError, match="tune is 'half'"):
        tune("classification", bert, tune="half")
    with pytest.raises(SettingsError, match="has a size of its own"):
        tune("classification", bert, preset="tiny")
    with pytest.raises(SettingsError, match="no setting 'rang'; did you mean 'rank'"):
        tune("classification", bert, tune="lora", settings={"rang": 4})
    with pytest.raises(InputError, match="translation tunes an encoder-decoder"):
        tune("translation", gpt2)
    with pytest.raises(InputError, match="language tunes a causal language model"):
        tune("language", t5)
    with pytest.raises(ModelFolderError, match="a model of type 't5' cannot be tuned to classify"):
        tune("classification", t5)
    with pytest.raises(InputError, match="tune it full, or lora"):
        tune("classification", gpt2)
    with pytest.raises(DataError, match="one class only"):
        regard.train("classification", train=[e for e in MOODS if e.labels == ("bad",)], model=bert)
    with pytest.raises(InputError, match="holds the pretrained model; choose another folder"):
        tune("classification", bert, bert, overwrite=True)
    tune("classification", bert, tmp_path / "own", settings={"epochs": 1})
    with pytest.raises(InputError, match="already holds a model"):
        tune("classification", bert, tmp_path / "own")


def test_pickled_weights_and_own_code_are_refused(pretrained: Pretrained, tmp_path: Path) -> None:
    pickled, own = tmp_path / "pickled", tmp_path / "own"
    for place in (pickled, own):
        shutil.copytree(pretrained("bert"), place)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelFolderError, match="pickled weights"):
        tune("classification", pickled)
    config = json.loads((own / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Own"}
    (own / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFolderError, match="trust_remote_code"):
        tune("classification", own)


def test_changes_to_the_folder_are_seen(pretrained: Pretrained, tmp_path: Path) -> None:
    out = tmp_path / "run"
    tune("classification", pretrained("bert"), out)
    config = json.loads((out / "config.json").read_text())
    config["id2label"]["0"] = "other"
    (out / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFolderError, match=r"config\.json was changed"):
        regard.load(out)
    seal_folder(out)
    regard.load(out)
    tokenizer = json.loads((out / "tokenizer.json").read_text())
    tokenizer["truncation"] = None
    (out / "tokenizer.json").write_text(json.dumps(tokenizer) + "\n\n")
    with pytest.raises(ModelFolderError, match="changed after training"):
        regard.load(out)
    assert inspect_folder(out).problems


def test_a_tuned_model_is_tuned_again(pretrained: Pretrained, tmp_path: Path) -> None:
    """Its folder is one of transformers; its head stays, and takes no second mean."""
    first, second = tmp_path / "first", tmp_path / "second"
    tune("classification", pretrained("bert"), first)
    tune("classification", first, second, tune="full")
    layers = [plain(folder)[0].config.num_hidden_layers for folder in (first, second)]
    assert layers[0] == layers[1]


def test_a_folder_that_transformers_saves_again_is_theirs(
    pretrained: Pretrained, tmp_path: Path
) -> None:
    out, again = tmp_path / "run", tmp_path / "again"
    tune("classification", pretrained("bert"), out)
    for part in plain(out):
        part.save_pretrained(again)
    model = regard.load(again)
    assert isinstance(model, Classifier)
    assert model.labels == ("10", "Good", "bad")


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_run_that_was_killed_at_its_beginning_is_begun_again(
    pretrained: Pretrained, tmp_path: Path, left: int
) -> None:
    """After the tokenizer, after regard.json, and after config.json, which is written last."""
    out, base = tmp_path / "run", pretrained("bert")
    whole = tune("classification", base, tmp_path / "whole", tune="full")
    out.mkdir()
    names = ["tokenizer.json", "tokenizer_config.json", "regard.json", "config.json"]
    for name in names[: left + 2]:
        shutil.copy(tmp_path / "whole" / name, out)
    again = tune("classification", base, out, tune="full", resume=True)
    assert losses(again) == losses(whole)
    assert inspect_folder(out).problems == ()
