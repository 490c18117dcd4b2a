"""Answers run in a process of their own, which is limited in time, memory and output."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from regard.errors import InputError, RegardError
from regard.learn import check_file, find_exercise
from regard.learn import running as running_module

ONE = find_exercise("1")
OPENING = "import numpy as np\nimport os, time\ndef weighted_sum(weights, values):\n    "


@pytest.fixture
def answer(tmp_path: Path):
    def write(body: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(OPENING + body, encoding="utf-8")
        return path

    return write


def test_a_right_answer_and_what_it_prints(answer, tmp_path):
    (tmp_path / "numpy.py").write_text("1 / 0\n")  # beside the answer, and not taken for NumPy
    (tmp_path / "helper_of_mine.py").write_text("def f(a, b):\n    return a @ b\n")
    path = answer(
        "from helper_of_mine import f\n    print('é', os.getpid())\n    return f(weights, values)"
    )
    outcome = check_file(ONE, path)
    assert outcome.right, outcome
    assert len(outcome.passed) == 2
    assert outcome.printed.startswith("é")
    assert str(os.getpid()) not in outcome.printed
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize("loop", ["while True: pass", "time.sleep(600)"])
def test_a_loop_that_never_ends(answer, loop):
    path = answer(f"x = 1\n    {loop}\n    return x")
    outcome = check_file(ONE, path, seconds=0.5)
    assert (outcome.failed, outcome.line) == ("the answer comes to an end", 5)
    assert outcome.hint.startswith("Still running after 0.5 seconds")


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("os._exit(0)", "ended its process with status 0 before it was checked"),
        ("os.kill(os.getpid(), 11)", "ended its process by signal 11"),
        ("return np.ones(10**10)", "GiB"),
        ("while True: print('x' * 10**6)", "An answer may print 16 MiB"),
        ("return input()", "waits for input"),
    ],
)
def test_an_answer_that_harms_its_process(answer, body, hint):
    outcome = check_file(ONE, answer(body))
    assert not outcome.right
    assert hint in outcome.hint, outcome


def test_a_process_that_outlives_its_time_is_ended_with_what_it_started(
    answer, monkeypatch, tmp_path
):
    monkeypatch.setattr(running_module, "STARTING", 0.0)
    child = tmp_path / "child"
    path = answer(
        "import faulthandler, subprocess, sys\n"
        "    faulthandler.cancel_dump_traceback_later()\n"
        "    sleeper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"    open({str(child)!r}, 'w').write(str(sleeper.pid))\n"
        "    time.sleep(600)"
    )
    outcome = check_file(ONE, path, seconds=5.0)
    assert outcome.hint.startswith("Still running after 5 seconds")
    for _ in range(100):  # until the system has reaped it
        if not Path(f"/proc/{child.read_text()}/cmdline").exists():
            return
        if not Path(f"/proc/{child.read_text()}/cmdline").read_bytes():  # a zombie has none
            return
        time.sleep(0.05)
    pytest.fail("a process that the answer started is still there")


def test_files_that_are_no_answers(tmp_path):
    for name, message in (
        ("", r"is a folder; give the file: .*exercise_1\.py"),
        ("none.py", "no such file; `regard learn 1` writes the one to fill in"),
        ("book.ipynb", "begin the cell of your answer with `%%writefile exercise_1.py`"),
    ):
        (tmp_path / "book.ipynb").touch()
        with pytest.raises(InputError, match=message):
            check_file(ONE, tmp_path / name)


def test_a_package_that_is_absent(answer, monkeypatch):
    monkeypatch.setattr(running_module, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="for users of keras, which is not installed"):
        check_file(find_exercise("4c"), answer("return 1"))


def test_a_judge_that_does_not_start_is_our_fault_and_told(answer, monkeypatch, tmp_path):
    folder = tmp_path / "broken"
    (folder / "regard").mkdir(parents=True)
    (folder / "regard" / "__init__.py").write_text("raise RuntimeError('broken')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    with pytest.raises(RegardError, match=r"ended with status 1:[\s\S]*broken"):
        check_file(ONE, answer("return 1"))
