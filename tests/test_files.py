"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regard.errors import RegardError
from regard.files import atomic_write, file_sha256, remove_unfinished


def test_the_file_is_there_whole_after_the_block(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")
    with atomic_write(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")

    def write() -> None:
        with atomic_write(path) as unfinished:
            unfinished.write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_really_full_disk(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")

    def write() -> None:
        with atomic_write(tmp_path / "x") as file:
            file.symlink_to("/dev/full")
            file.write_text("something")

    with pytest.raises(RegardError, match="disk is full"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_unfinished_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".model.safetensors.4711.unfinished").write_text("half")
    (tmp_path / "mine").write_text("whole")
    remove_unfinished(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(
            RegardError, match=r"x\.json: cannot be written \(No such file or directory\)"
        ),
        atomic_write(tmp_path / "nowhere" / "x.json") as file,
    ):
        file.write_text("{}")


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")  # FIPS 180-4, example B.1
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(path) == known


def test_the_hash_follows_a_change_that_keeps_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    before = path.stat()
    first = file_sha256(path)
    path.write_bytes(b"abd")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file_sha256(path) != first
