"""A change of any file that answers depend on is told, whatever the kind of model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import regard
from regard.api import Model
from regard.api.storage.folder import read_config, weights_sha256, write_json
from regard.api.storage.seal import seal
from regard.api.storage.verdict import save_verdict
from regard.data import dates
from regard.errors import ModelFolderError

KINDS = ["translator", "classifier", "extractive", "abstractive", "generator"]
ANSWERING = ("config.json", "source.json", "target.json", "model.safetensors")


@pytest.fixture(params=KINDS)
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a folder of each kind."""
    model: Model = request.getfixturevalue(request.param)
    assert model.folder is not None
    return shutil.copytree(model.folder, tmp_path / "model")


def test_flipped_cut_and_lengthened_files(here: Path) -> None:
    for path in (here / name for name in ANSWERING if (here / name).is_file()):
        content = path.read_bytes()
        flipped = [len(content) * part // 41 for part in range(41)]
        changes = [content[:at] + bytes([content[at] ^ 2]) + content[at + 1 :] for at in flipped]
        for changed in [*changes, content[:-1], content[: len(content) // 2], b"", content + b"\0"]:
            path.write_bytes(changed)
            if path.name == "config.json" and _same(changed, content):
                continue  # white space: its content is sealed, not its text
            with pytest.raises(ModelFolderError, match=path.name):
                regard.load(here)
        path.write_bytes(content)
    regard.load(here)


def _same(changed: bytes, content: bytes) -> bool:
    try:
        return bool(json.loads(changed) == json.loads(content))
    except ValueError:
        return False


def test_every_value_of_the_config_is_sealed(here: Path) -> None:
    path = here / "config.json"
    content = path.read_text()
    for keys in _leaves(json.loads(content)):
        config = json.loads(content)
        holder = config
        for key in keys[:-1]:
            holder = holder[key]
        holder[keys[-1]] = [holder[keys[-1]]]
        path.write_text(json.dumps(config))
        with pytest.raises(ModelFolderError, match=r"config\.json"):
            regard.load(here)
    path.write_text(json.dumps(json.loads(content), indent=4))  # another layout is no change
    regard.load(here)


def _leaves(content: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key in content if isinstance(content, dict) else range(len(content)):
        if isinstance(content[key], dict | list):
            yield from _leaves(content[key], (*keys, key))
        else:
            yield (*keys, key)


def test_files_of_another_run_of_equal_sizes(translator: Model, tmp_path: Path) -> None:
    assert translator.folder is not None
    settings = {
        **read_config(translator.folder)["settings"]["model"],
        "steps": 2,
        "tokenizer": "char",
    }
    settings |= {"decoding.max_length": 12, "seed": 5, "batch_tokens": 512}
    other = tmp_path / "other"
    regard.train(
        "translation", train=dates.generate(40, seed=3), out=other, preset="tiny", settings=settings
    )
    for name in ("model.safetensors", "config.json"):
        here = shutil.copytree(translator.folder, tmp_path / name)
        shutil.copy(other / name, here / name)
        with pytest.raises(ModelFolderError, match="of another run"):
            regard.load(here)


def test_a_change_by_hand_is_told_with_what_to_do(classifier: Model, tmp_path: Path) -> None:
    assert classifier.folder is not None
    here = shutil.copytree(classifier.folder, tmp_path / "model")
    config = json.loads((here / "config.json").read_text())
    config["labels"] = ["negative", "positive"]
    (here / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ModelFolderError, match=r"config\.json was changed .* `regard check FOLDER --seal"
    ):
        regard.load(here)


def test_a_folder_of_format_2_has_no_seals_and_is_read(classifier: Model, tmp_path: Path) -> None:
    assert classifier.folder is not None
    here = shutil.copytree(classifier.folder, tmp_path / "model")
    config = json.loads((here / "config.json").read_text())
    own = ("files", "identity", "results", "seal")
    old = {name: value for name, value in config.items() if name not in own} | {"format": 2}
    (here / "config.json").write_text(json.dumps(old))
    regard.load(here)
    (here / "config.json").write_text(json.dumps({**config, "format": 2}))
    with pytest.raises(ModelFolderError, match="was changed"):
        regard.load(here)


def test_a_seal_does_not_depend_on_order() -> None:
    assert seal({"a": 1, "b": [1.5, None]})["seal"] == seal({"b": [1.5, None], "a": 1})["seal"]
    assert seal(seal({"a": 1})) == seal({"a": 1})
    assert seal({"a": 1})["seal"] != seal({"a": 1.0})["seal"]


def test_a_verdict_is_sealed(classifier: Model, tmp_path: Path) -> None:
    def sentence() -> str:
        return regard.load(copy).verdict

    assert classifier.folder is not None
    copy = shutil.copytree(classifier.folder, tmp_path / "model")
    verdict = {"sentence": "Attention is half of it.", "level": "partial"}
    save_verdict(copy, verdict, weights=weights_sha256(copy))
    assert sentence() == "Attention is half of it."
    path = copy / "trust.json"
    content = json.loads(path.read_text())
    for change in (
        {"sentence": "Attention is all of it."},
        {"level": "good"},
        {"seal": None},
        {"format": 1},
    ):
        write_json(path, {**content, **change})
        with pytest.raises(
            ModelFolderError, match=r"trust\.json was changed .* run `regard trust` again"
        ):
            sentence()
    del content["seal"], content["format"]
    write_json(path, content)  # as earlier versions wrote it
    assert sentence() == "Attention is half of it."
