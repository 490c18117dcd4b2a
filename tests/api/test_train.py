"""From files to folders: what is refused, what is split off, what is left behind."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard import __version__
from regard.api import Classifier, evaluate
from regard.api.config.settings import resolve
from regard.api.storage.format1 import OLD_SETTING_NAMES
from regard.api.storage.seal import FILES, IDENTITY, RESULTS, SEAL
from regard.data import Corpus, Example, Labelled, ReadOptions, dates
from regard.errors import DataError, InputError, ModelFolderError, SettingsError
from regard.training import Callback, Interrupted, Progress

TINY = {"steps": 2, "batch_tokens": 256, "width": 16, "heads": 2, "feedforward": 16}
CHARS = {**TINY, "tokenizer": "char", "joint": False, "decoding.max_length": 12}


class Listener(Callback):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_message(self, message: str) -> None:
        self.messages.append(message)


def write_pairs(folder: Path, count: int = 30) -> list[Path]:
    examples = dates.generate(count, seed=1)
    paths = [folder / "train.src", folder / "train.tgt"]
    paths[0].write_text("".join(example.text + "\n" for example in examples))
    paths[1].write_text("".join(f"{example.target}\n" for example in examples))
    return paths


def train(files: list[Path], out: Path | None, **options: Any) -> regard.api.Model:
    settings = {**CHARS, **options.pop("settings", {})}
    return regard.train(
        "translation", train=files, out=out, preset="tiny", settings=settings, **options
    )


def test_a_folder_holds_everything_and_says_where_it_came_from(tmp_path: Path) -> None:
    files, out = write_pairs(tmp_path), tmp_path / "run"
    listener = Listener()
    train(files, out, callback=listener)
    assert {file.name for file in out.iterdir()} == {
        "README.md",
        "config.json",
        "history.jsonl",
        "history.png",
        "last",
        "model.safetensors",
        "source.json",
        "target.json",
    }
    held_out, fitted, small, choice, *found, scores, words, place = listener.messages
    assert "Words are read at the step where the target token is the decoder's output" in words
    assert fitted.startswith("warmup=1, ema=0.0: fitted to 27 training examples (2 updates)")
    assert small.startswith("note: the validation part has 3 examples")
    assert choice.startswith("kept the weights of update 2 (epoch 1), of the only validation: bleu")
    assert [message.partition(":")[0] for message in found] == ["note"] * len(found)
    assert "| this model " in scores
    assert "| copy of the source " in scores
    assert [held_out, place] == [
        "held out 3 of 30 examples for validation",
        f"the model is in {out}",
    ]
    card = (out / "README.md").read_text()
    findings = [small, *found]
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    records = [record for record in history if "finding" in record]
    assert [f"note: {record['message']}" for record in records] == findings
    assert [record["step"] for record in records] == [0, *[2] * len(found)]
    for expected in (
        *(f"* {record['message']}" for record in records),
        choice.removeprefix("kept"),
        "Decoded by beam search of 5; the weights were chosen by greedy decoding of the same 3",
        "| warmup | 1 (fitted to the data) |",
        "copy of the source",
        "train.src",
        "seed 1",
        "Limits",
        "BLEU",
        "| steps | 2 |",
    ):
        assert expected in card
    config = json.loads((out / "config.json").read_text())
    assert config["regard"] == __version__
    assert config["data"]["train"] == [str(file) for file in files]
    assert config["derived"] == ["warmup", "ema"]
    assert (config["settings"]["training"]["warmup"], config["settings"]["training"]["ema"]) == (
        1,
        0,
    )
    assert evaluate(out, files).examples == 30


def test_a_folder_in_use_is_not_touched(tmp_path: Path) -> None:
    files, out = write_pairs(tmp_path), tmp_path / "run"
    train(files, out)
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="--resume goes on with it, --overwrite replaces it"):
        train(files, out)
    assert (out / "model.safetensors").read_bytes() == before
    (out / "notes.txt").write_text("mine")
    train(files, out, overwrite=True, settings={"seed": 5})
    assert (out / "model.safetensors").read_bytes() != before
    assert (out / "notes.txt").read_text() == "mine"


def test_a_model_is_replaced_only_once_the_data_has_been_read(tmp_path: Path) -> None:
    files, out = write_pairs(tmp_path), tmp_path / "run"
    train(files, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for wrong in ([tmp_path / "trian.src", files[1]], [files[0], tmp_path]):
        with pytest.raises(DataError):
            train(wrong, out, overwrite=True)
    with pytest.raises(InputError, match="raise max_tokens"):
        train(files, out, overwrite=True, settings={"max_tokens": 1})
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_other_peoples_folders_are_refused(tmp_path: Path) -> None:
    files, out = write_pairs(tmp_path), tmp_path / "run"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"other files \(thesis\.tex"):
        train(files, out, overwrite=True)
    readme = (
        tmp_path / "project" / "README.md"
    )  # a model has one, too; without config.json it is theirs
    readme.parent.mkdir()
    readme.write_text("years of work")
    with pytest.raises(InputError, match=r"other files \(README\.md"):
        train(files, readme.parent)
    assert readme.read_text() == "years of work"
    with pytest.raises(InputError, match="is a file"):
        train(files, files[0])
    with pytest.raises(ModelFolderError, match="no run to go on with"):
        train(files, tmp_path / "new", resume=True)


def test_going_on_needs_the_same_settings_and_data(tmp_path: Path) -> None:
    files, out = write_pairs(tmp_path), tmp_path / "run"
    first = train(files, out)
    history = (out / "history.jsonl").read_text()
    again = train(files, out, resume=True, settings={"minutes": 7})
    assert (out / "history.jsonl").read_text() == history
    for one, other in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert one.equal(other)
    with pytest.raises(SettingsError, match=r"begun with learning_rate=0\.001, this is .*=0\.5"):
        train(files, out, resume=True, settings={"learning_rate": 0.5})
    with pytest.raises(SettingsError, match="begun with width=16"):
        train(files, out, resume=True, settings={"width": 32})
    files[0].write_text(files[0].read_text().replace("1", "2"))
    with pytest.raises(InputError, match="give the same data"):
        train(files, out, resume=True)


def test_going_on_needs_the_same_labels_and_validation_too(tmp_path: Path) -> None:
    table, valid, out = tmp_path / "a.tsv", tmp_path / "b.tsv", tmp_path / "run"
    rows = [f"film {n} was {mood}\t{mood}\n" for n in range(10) for mood in ("good", "poor")]
    table.write_text("".join(rows))
    valid.write_text("".join(rows[:8]))

    def run(table: Path, valid: Path, *, resume: bool = True) -> None:
        settings = {"steps": 2}
        regard.train(
            "classification",
            train=table,
            valid=valid,
            out=out,
            model="bigru",
            preset="tiny",
            settings=settings,
            resume=resume,
        )

    run(table, valid, resume=False)
    moved = tmp_path / "elsewhere" / "c.tsv"
    moved.parent.mkdir()
    moved.write_text(table.read_text())
    run(moved, valid)  # the same data, wherever it lies
    moved.write_text("".join(rows[:-2]) + "film 9 was good\tpoor\nfilm 9 was poor\tgood\n")
    with pytest.raises(InputError, match=r"with 20 training and 8 validation .* not all the same"):
        run(moved, valid)
    valid.write_text("".join(rows[2:10]))
    with pytest.raises(InputError, match="give the same data"):
        run(table, valid)


def test_a_run_of_format_1_is_resumed(tmp_path: Path) -> None:
    out = tmp_path / "run"
    rows = [Example(f"film {n} was {m}", labels=(m,)) for n in range(10) for m in ("good", "poor")]

    def run(**options: Any) -> None:
        settings = {"steps": 2, "skip_bigrams": 1, **options.pop("settings", {})}
        regard.train(
            "classification", train=rows, out=out, preset="tiny", settings=settings, **options
        )

    run()
    history = (out / "history.jsonl").read_text()
    config = json.loads((out / "config.json").read_text())
    assert config["format"] == 3
    config = {name: config[name] for name in config if name not in (FILES, IDENTITY, RESULTS, SEAL)}
    old = {new: old for old, new in OLD_SETTING_NAMES["wide"].items()}
    config = {**config, "format": 1, "several": config.pop("multilabel")}
    for part in (config, config["settings"]):
        part["model"] = {old.get(name, name): value for name, value in part["model"].items()}
    assert config["settings"]["model"] == {"skips": 1}
    (out / "config.json").write_text(json.dumps(config))
    run(resume=True)
    assert (out / "history.jsonl").read_text() == history
    with pytest.raises(SettingsError, match="begun with skip_bigrams=1, this is skip_bigrams=2"):
        run(resume=True, settings={"skip_bigrams": 2})


def test_the_state_of_another_run_is_told(tmp_path: Path) -> None:
    files, out = write_pairs(tmp_path), tmp_path / "run"
    train(files, out)
    train(files, tmp_path / "wider", settings={"width": 32})
    state = Path("last") / "run.safetensors"
    (out / state).write_bytes((tmp_path / "wider" / state).read_bytes())
    with pytest.raises(ModelFolderError, match=r"run\.safetensors: .* belongs to another model"):
        train(files, out, resume=True)


def test_going_on_with_a_finished_run_leaves_its_figures(tmp_path: Path) -> None:
    """Its weights were refitted on what was held out, which must not judge them then."""
    rng, out = np.random.default_rng(0), tmp_path / "run"
    moods = rng.choice(["good", "poor"], 100)
    texts = [f"word{n} was {mood}" for n, mood in enumerate(rng.permutation(moods))]
    rows = [Example(text, labels=(mood,)) for text, mood in zip(texts, moods, strict=True)]

    def run(*, resume: bool) -> tuple[str, list[torch.Tensor]]:
        settings = {"epochs": 1}
        model = regard.train(
            "classification", train=rows, out=out, preset="tiny", settings=settings, resume=resume
        )
        card = (out / "README.md").read_text()
        return card, [tensor.clone() for tensor in model.network.state_dict().values()]

    card, weights = run(resume=False)
    again, same = run(resume=True)
    assert [line for line in again.splitlines() if "this model" in line] == [
        line for line in card.splitlines() if "this model" in line
    ]
    assert all(torch.equal(one, other) for one, other in zip(weights, same, strict=True))


def test_an_interruption_names_the_folder_to_go_on_with(tmp_path: Path) -> None:
    files, out = write_pairs(tmp_path), tmp_path / "run"

    class Scored(Callback):
        def on_message(self, message: str) -> None:
            if "simple baseline" in message:
                raise KeyboardInterrupt

    class Begun(Callback):
        def on_step(self, progress: Progress) -> None:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=r"go on with resume in .*run"):
        train(files, out, callback=Scored())
    with pytest.raises(Interrupted) as stopped:
        train(files, None, callback=Begun())
    assert stopped.value.folder is None  # nothing is left of a run in memory


def test_a_run_killed_before_its_first_save_begins_again(tmp_path: Path) -> None:
    files, out = write_pairs(tmp_path), tmp_path / "run"
    train(files, out)
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    (out / "last" / "run.safetensors").unlink()
    train(files, out, resume=True)
    again = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [r.get("train_loss") for r in again] == [r.get("train_loss") for r in history]


def test_wrong_numbers_of_files(tmp_path: Path) -> None:
    files = write_pairs(tmp_path)
    with pytest.raises(InputError, match=r"1 files .* expected pairs"):
        train(files[:1], tmp_path / "run")
    files[1].write_text("one line\n")
    with pytest.raises(DataError, match="30"):
        train(files, tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_metric_nobody_measures(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no metric 'blue'; did you mean 'bleu'"):
        train(write_pairs(tmp_path), tmp_path / "run", settings={"metric": "blue"})


def test_settings_are_refused_before_the_data_is_read(tmp_path: Path) -> None:
    missing = [tmp_path / "no.src", tmp_path / "no.tgt"]
    with pytest.raises(SettingsError, match="transformer setting width=0: expected at least 1"):
        train(missing, tmp_path / "run", settings={"width": 0})
    with pytest.raises(SettingsError, match="no preset 'huge' for transformer"):
        regard.train("translation", train=missing, out=tmp_path / "run", preset="huge")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("task", "model", "passes"),
    [
        ("translation", "transformer", 4),  # both tokenizers, ids, fingerprint
        ("classification", "wide", 4),  # tokenizer, ids, fingerprint, baseline
        ("classification", "cnn", 4),
        ("summarization", "extractive", 3),  # tokenizer, ids, fingerprint
        ("language", "lm", 4),  # tokenizer, ids, fingerprint, baseline
    ],
)
def test_the_training_part_is_read_no_more_often_than_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, model: str, passes: int
) -> None:
    files = write_pairs(tmp_path)
    table = tmp_path / "t.tsv"
    table.write_text("".join(f"text {n}\t{n % 2}\n" for n in range(30)))
    names = {"translation": files, "language": files[:1]}.get(task, [table])
    sizes, iterate = [], Corpus.__iter__

    def counted(corpus: Corpus) -> Iterator[Example]:
        sizes.append(len(corpus))
        return iterate(corpus)

    monkeypatch.setattr(Corpus, "__iter__", counted)
    settings = {"steps": 1, "decoding.max_length": 9}
    regard.train(task, train=names, model=model, preset="tiny", settings=settings)
    assert sizes.count(max(sizes)) == passes  # the validation part is smaller


def test_over_long_pairs_are_left_out_and_counted(tmp_path: Path) -> None:
    listener = Listener()
    settings = {"max_tokens": 16}
    train(write_pairs(tmp_path), tmp_path / "run", settings=settings, callback=listener)
    assert any("longer than 16 tokens" in message for message in listener.messages)
    with pytest.raises(InputError, match="raise max_tokens"):
        train(write_pairs(tmp_path), tmp_path / "other", settings={"max_tokens": 2})


def test_labels_that_cannot_be_learned(tmp_path: Path) -> None:
    table = tmp_path / "t.tsv"
    table.write_text("good\tyes\nbad\tno\nfine\tyes\nawful\tno\nodd\tperhaps\n")
    with pytest.raises(DataError, match=r"t\.tsv:5: the label 'perhaps' is seen only once"):
        regard.train("classification", train=table)
    table.write_text("good\tyes\nbad\tyes\n")
    with pytest.raises(DataError, match="one class only"):
        regard.train("classification", train=table)
    with pytest.raises(DataError, match="one class only"):
        regard.train("classification", train=[Example("a", labels=("x",))] * 3)


def test_columns_and_separators_are_remembered(tmp_path: Path) -> None:
    table = tmp_path / "t.txt"
    table.write_text("".join(f"{i % 2} text {i % 3}\n" for i in range(20)))
    out = tmp_path / "run"
    reading, columns = ReadOptions(separator=" "), Labelled(text=2, label=1)
    settings = {"steps": 1}
    model = regard.train(
        "classification",
        train=table,
        out=out,
        preset="tiny",
        settings=settings,
        columns=columns,
        read_options=reading,
    )
    assert isinstance(model, Classifier)
    assert model.labels == ("0", "1")
    found = evaluate(out, table)
    assert set(found.baselines) == {"TF-IDF, logistic regression"}
    table.rename(tmp_path / "moved.txt")
    found = evaluate(out, tmp_path / "moved.txt")
    assert not found.baselines
    assert f"no baseline: {table} is gone" in found.note


def test_without_a_folder_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = regard.train("translation", train=dates.generate(20), preset="tiny", settings=CHARS)
    assert model.folder is None
    assert list(tmp_path.iterdir()) == []
    fitted = {**CHARS, "warmup": 1, "ema": 0.0}
    assert resolve("translation", preset="tiny", values=fitted) == model.settings
