"""Loading: folders that are damaged or from elsewhere are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import regard
from regard.errors import ModelFolderError


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
