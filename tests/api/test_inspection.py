"""What `regard check` finds: the state of every file, in words and for programs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import regard
from regard.api import Classifier
from regard.api.inspection import inspect_folder, seal_folder
from regard.api.storage.folder import weights_sha256
from regard.api.storage.lock import locked
from regard.api.storage.verdict import save_verdict
from regard.errors import ModelFolderError
from regard.training.tensors import read_tensors, write_tensors


@pytest.fixture
def here(classifier: Classifier, tmp_path: Path) -> Path:
    assert classifier.folder is not None
    return shutil.copytree(classifier.folder, tmp_path / "model")


def labels_of(folder: Path, texts: list[str]) -> list[str | None]:
    model = regard.load(folder)
    assert isinstance(model, Classifier)
    return [answer.label for answer in model.classify(texts)]


def states(folder: Path) -> dict[str, str]:
    return {file.name: file.state for file in inspect_folder(folder).files}


def test_a_folder_as_it_was_written(here: Path) -> None:
    found = inspect_folder(here)
    assert not found.problems
    assert set(states(here).values()) == {"whole"}
    assert {file.note for file in found.files} == {""}
    assert {"config.json", "source.json", "model.safetensors", "history.jsonl"} <= states(
        here
    ).keys()
    facts = found.facts
    assert (facts["task"], facts["labels"], facts["format"]) == ("classification", 2, 3)
    stored = read_tensors(here / "model.safetensors").tensors.values()
    assert facts["values"] == sum(tensor.numel() for tensor in stored)
    assert json.loads(found.to_json())["usable"] is True


def test_a_card_about_other_weights(here: Path) -> None:
    """Weights of an earlier save of the run fit its other files, and have other scores than its card says."""
    path = here / "model.safetensors"
    stored = read_tensors(path)
    changed = {name: tensor.clone() for name, tensor in stored.tensors.items()}
    next(iter(changed.values())).view(-1)[0] += 1
    write_tensors(changed, path, stored.texts, belongs_to=stored.belongs_to)
    found = {file.name: file for file in inspect_folder(here).files}
    assert found["model.safetensors"].state == found["README.md"].state == "whole"
    assert re.fullmatch(
        r"about other weights: it names [0-9a-f]{12}\.\.\., model\.safetensors is [0-9a-f]{12}\.\.\.",
        found["README.md"].note,
    )
    text = (here / "README.md").read_text(encoding="utf-8")
    (here / "README.md").write_text("Tried on Monday.\n" + text, encoding="utf-8")
    (card,) = (file for file in inspect_folder(here).files if file.name == "README.md")
    assert (card.state, card.note[:19]) == ("edited", "about other weights")
    seal_folder(here)  # takes the weights as they are, and claims nothing of what they score
    assert (
        "about other weights" in {f.name: f for f in inspect_folder(here).files}["README.md"].note
    )
    (here / "README.md").write_text("My own words.\n", encoding="utf-8")
    (card,) = (file for file in inspect_folder(here).files if file.name == "README.md")
    assert (card.state, card.note) == ("edited", "")


def test_the_lock_of_who_writes_there_is_not_foreign(here: Path) -> None:
    before = states(here)
    with locked(here, "trust"):
        assert states(here) == before


@pytest.mark.parametrize(
    "name",
    ["config.json", "source.json", "model.safetensors", "history.jsonl", "last/run.safetensors"],
)
def test_a_flipped_bit(here: Path, name: str) -> None:
    content = bytearray((here / name).read_bytes())
    content[len(content) // 2] ^= 1
    (here / name).write_bytes(content)
    found = inspect_folder(here)
    assert states(here)[name] == "faulty"
    assert [state for other, state in states(here).items() if other != name].count("faulty") == 0
    assert len(found.problems) == 1
    assert name in found.problems[0]


def test_a_missing_file(here: Path) -> None:
    (here / "source.json").unlink()
    assert states(here)["source.json"] == "faulty"


def test_a_card_may_be_edited_and_other_files_are_not_read(here: Path) -> None:
    (here / "README.md").write_text("# Mine\n")
    (here / "weights.pkl").write_bytes(b"cposix\nsystem\n(S'touch executed'\ntR.")
    found = states(here)
    assert (found["README.md"], found["weights.pkl"]) == ("edited", "other")
    assert not inspect_folder(here).problems
    assert not Path("executed").exists()


def test_no_model_at_all(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="holds no model"):
        inspect_folder(tmp_path)


def test_a_change_by_hand_is_sealed_anew(here: Path) -> None:
    texts = ["red green is good", "blue blue is bad"]
    before = labels_of(here, texts)
    save_verdict(here, {"sentence": "So it is."}, weights=weights_sha256(here))
    config = json.loads((here / "config.json").read_text())
    config["labels"] = [f"{label}!" for label in config["labels"]]
    (here / "config.json").write_text(json.dumps(config))
    assert states(here)["config.json"] == "faulty"
    seal_folder(here)
    assert not inspect_folder(here).problems
    assert labels_of(here, texts) == [f"{label}!" for label in before]
    assert regard.load(here).verdict == "So it is."
    assert weights_sha256(here) in (here / "README.md").read_text()


def test_a_folder_without_checksums_gets_them(here: Path) -> None:
    config = json.loads((here / "config.json").read_text())
    for name in ("files", "identity", "results", "seal"):
        del config[name]
    (here / "config.json").write_text(json.dumps({**config, "format": 2}))
    path = here / "model.safetensors"
    save_file(read_tensors(path).tensors, path)
    assert states(here)["model.safetensors"] == states(here)["config.json"] == "unsealed"
    seal_folder(here)
    assert set(states(here).values()) == {"whole"}


def test_what_could_not_be_loaded_is_not_sealed(here: Path) -> None:
    path = here / "model.safetensors"
    tensors = read_tensors(path).tensors
    name = next(iter(tensors))
    save_file({**tensors, name: torch.full_like(tensors[name], torch.nan)}, path)
    content = (here / "config.json").read_bytes()
    with pytest.raises(ModelFolderError, match="NaN or infinite values"):
        seal_folder(here)
    assert (here / "config.json").read_bytes() == content


def test_all_faults_of_weights_in_one_message(here: Path) -> None:
    path = here / "model.safetensors"
    tensors = read_tensors(path).tensors
    names = sorted(tensors)
    changed = {**tensors, "foreign": torch.zeros(1), names[1]: tensors[names[1]].int()}
    changed[names[2]] = torch.zeros(2, 2, 2)
    del changed[names[0]]
    save_file(changed, path)
    with pytest.raises(ModelFolderError) as caught:
        seal_folder(here)
    for part in (
        f"lacks {names[0]!r}",
        "holds 'foreign'",
        f"{names[2]!r} has shape",
        "torch.int32",
    ):
        assert part in str(caught.value)


def test_times_of_a_history_are_not_sealed_its_figures_are(here: Path) -> None:
    path = here / "history.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    later = [{**record, "seconds": 9.5} if "seconds" in record else record for record in records]
    path.write_text("".join(json.dumps(record) + "\n" for record in later))
    assert states(here)["history.jsonl"] == "whole"
    better = [
        {**record, "valid_loss": 0.0} if "valid_loss" in record else record for record in records
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in better))
    assert states(here)["history.jsonl"] == "faulty"
    with pytest.raises(ModelFolderError, match=r"history\.jsonl was changed"):
        _ = regard.load(here).history
    path.write_text("[\n")
    assert states(here)["history.jsonl"] == "faulty"
