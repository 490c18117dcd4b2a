"""Loading: folders that are damaged or from elsewhere are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import regard
from regard.api.evaluate import evaluate
from regard.api.tasks.translation import Translator
from regard.choices import Precision
from regard.data import Example
from regard.errors import ModelFolderError, SettingsError


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", "damaged"),
        ("config.json", "{}", "not written by regard"),
        ("config.json", '{"regard": "9.0", "format": 99}', "written by regard 9.0"),
        ("config.json", '{"regard": "0.1.0", "format": 1}', "damaged"),
        ("config.json", '{"regard": "0.1.0", "format": 2}', "damaged"),
        ("source.json", "[]", "source.json was changed after training"),
        ("model.safetensors", "oh", "damaged"),
        ("model.safetensors", None, "no such file"),
        ("source.json", None, "cannot be read"),
        ("config.json", None, "holds no model"),
    ],
)
def test_damaged_and_foreign_folders(
    folder_of: Path, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    for file in folder_of.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelFolderError, match=message):
        regard.load(tmp_path)
    with pytest.raises(ModelFolderError, match="no such folder"):
        regard.load(tmp_path / "nowhere")


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_a_model_answers_in_another_precision(
    translator: Translator, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    assert translator.folder is not None
    with pytest.raises(SettingsError, match="no linear layer of at least 32"):
        regard.load(translator.folder, precision=precision)
    monkeypatch.setattr("regard.layers.reduced.MIN_FEATURES", 8)
    model = regard.load(translator.folder, precision=precision)
    assert isinstance(model, Translator)
    assert f"answers in {precision}" in repr(model)
    text = "3 may 1987"
    exact, found = translator.translate([text])[0], model.translate([text])[0]
    assert found.text == exact.text
    torch.testing.assert_close(found.alignment, exact.alignment, rtol=0, atol=0.05)
    assert found.alignment.sum(-1) == pytest.approx(1, abs=1e-5)
    examples = [Example(text, "1987-05-03")]
    assert f"answers in {precision}" in evaluate(model, examples).note
    assert "answers in" not in evaluate(translator, examples).note


def test_what_answers_in_int8_is_saved_in_float32(
    translator: Translator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert translator.folder is not None
    monkeypatch.setattr("regard.layers.reduced.MIN_FEATURES", 8)
    regard.load(translator.folder, precision="int8").save(tmp_path / "copy")
    saved = regard.load(tmp_path / "copy").network.state_dict()
    torch.testing.assert_close(saved, dict(translator.network.state_dict()), rtol=0, atol=0)
