"""Baselines are fitted on the files of the training run, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regard.api.storage.data_files import difference, file_records


def test_files_are_known_by_path_and_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tsv").write_text("x\t1\n")
    monkeypatch.chdir(tmp_path)
    records = file_records(["a.tsv"])
    assert records[0]["path"] == str((tmp_path / "a.tsv").resolve())
    assert len(records[0]["sha256"]) == 64
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.tsv").write_text("x\t2\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert difference(records) == ""  # the file of that name here is not looked at
    (tmp_path / "a.tsv").write_text("x\t2\n")
    assert "is not the file the model was trained on" in difference(records)
    (tmp_path / "a.tsv").unlink()
    assert "is gone" in difference(records)


def test_a_folder_is_known_by_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "1.txt").write_text("a")
    records = file_records([str(tmp_path)])
    assert difference(records) == ""
    (tmp_path / "good" / "1.txt").rename(tmp_path / "good" / "2.txt")
    assert "is not the file" in difference(records)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_what_came_through_a_pipe_is_gone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("-", str(tmp_path / "pipe")):
        assert "was read from a pipe and is gone" in difference(file_records([name]))
    assert difference(file_records(["hub:me/films"])) == ""
    assert file_records([]) == []
