"""Answers that cannot be run, or that raise: the learner gets the line of the file."""

from __future__ import annotations

import pytest

OPENING = "import numpy as np\n\n\ndef weighted_sum(weights, values):\n"


@pytest.mark.parametrize(
    ("source", "line", "hint"),
    [
        ("def weighted_sum(w, v)\n    return w @ v\n", 1, "expected ':': def weighted_sum(w, v)"),
        ("x = 1\n\n  y = 2\n", 3, "IndentationError"),
        ("def weighted_sum(w, v):\nreturn w @ v\n", 2, "IndentationError"),
        ("import no_such_module\n", 1, "do without"),
        ("1 / 0\n", 1, "ZeroDivisionError: division by zero, at `1 / 0`"),
        ("raise SystemExit(0)\n", 1, "ends the program"),
        ("raise KeyboardInterrupt\n", 1, "KeyboardInterrupt"),
        ("x = 'é\n", 1, "SyntaxError: unterminated string"),
        (OPENING + "    total = 0\n    return totl\n", 6, "name 'totl' is not defined"),
        (OPENING + "    return f(weights)\n\ndef f(x):\n    return x.sun()\n", 8, "at `return x.sun()`"),
        (OPENING + "    return np.linalg.inv(weights)\n", 5, "LinAlgError"),
        (OPENING + "    return weighted_sum(weights, values)\n", 5, "RecursionError"),
        (OPENING + "    raise ValueError('x' * 10**6)\n", 5, "xxx... in weighted_sum("),
        (OPENING + "    raise SystemExit\n", 5, "ends the program"),
        (OPENING + "    raise MemoryError\n", 5, "GiB"),
        ("", None, "has no `weighted_sum`"),
        ("weighted_sun = len\n", None, "there is `weighted_sun`"),
    ],
)  # fmt: skip
def test_the_line_and_what_is_wrong(judged, source, line, hint):
    found = judged("1", source)
    assert found["failed"] is not None
    assert hint in found["hint"]
    assert found["line"] == line


def test_a_file_that_is_not_utf_8(judged, tmp_path):
    from regard.learn import find_exercise
    from regard.learn.judge import judge

    path = tmp_path / "latin.py"
    path.write_bytes(b"x = '\xe9'\n")
    found = judge(find_exercise("1"), path)
    assert "SyntaxError" in found["hint"]
    path.write_bytes(b"x = 1\0\n")
    assert "null bytes" in judge(find_exercise("1"), path)["hint"]


def test_a_block_for_scripts_does_not_run(judged):
    source = OPENING + "    return weights @ values\n\nif __name__ == '__main__':\n    1 / 0\n"
    assert judged("1", source)["failed"] is None


def test_dataclasses_and_imports_from_the_future_work(judged):
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Pair:\n    w: float\n    v: float\n"
        "def weighted_sum(weights, values):\n"
        "    return sum(p.w * p.v for p in map(Pair, weights, values))\n"
    )
    assert judged("1", source)["failed"] is None


def test_what_was_passed_before_is_kept(judged):
    found = judged("1", OPENING + "    return weights / weights.sum() @ values\n")
    assert found["passed"] == ["0.5 [2, 0] + 0.25 [0, 4] + 0.25 [4, 4] is [2, 2]"]
    assert found["failed"].startswith("The weights are taken as they are")
