"""The file to fill in never replaces somebody's work unasked."""

from __future__ import annotations

import pytest

from regard.errors import InputError, RegardError
from regard.learn import find_exercise, write_exercise


def test_work_is_replaced_only_on_request(tmp_path):
    exercise, path = find_exercise("1"), tmp_path / "mine.py"
    write_exercise(exercise, path)
    assert path.read_text() == exercise.text
    path.write_text("# hours of work\n")
    with pytest.raises(InputError, match=r"mine\.py is there already; .*--overwrite"):
        write_exercise(exercise, path)
    assert path.read_text() == "# hours of work\n"
    write_exercise(exercise, path, overwrite=True)
    assert path.read_text() == exercise.text


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RegardError, match="cannot be written"):
        write_exercise(find_exercise("1"), tmp_path / "nowhere" / "mine.py")
