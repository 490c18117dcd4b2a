"""Machine code on disk is thrown away when a source that it was made from changes, and only then."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from regard.compiled.cache import source_stamp

SOURCES = {
    "kernel": """
from planted import tools
from planted.sizes import STEP
from planted.helper import helped
from regard.compiled.jit import compiled

@compiled
def kernel(out, pair):
    out[0] = helped(pair.first) + STEP * tools.doubled(pair.second)
""",
    "helper": """
from planted.emitted import ten
from planted.jit import inlined
from planted.inner import innermost

@inlined
def helped(x):
    return innermost(x) + ten(x)
""",
    "inner": """
from planted.jit import inlined

@inlined
def innermost(x):
    return x + 1
""",
    "emitted": """
from planted.numbers import number
from regard.compiled.jit import intrinsic
import numba

def make(value):
    @intrinsic
    def ten(typing, x):
        def emit(context, builder, signature, arguments):
            return context.get_constant(numba.int64, value())
        return numba.int64(numba.int64), emit
    return ten

ten = make(number)
""",
    "numbers": "def number():\n    return 10\n",
    "tools": """
from planted.jit import inlined

@inlined
def doubled(x):
    return 2 * x
""",
    "jit": """
import numba

inlined = numba.njit(forceinline=True, fastmath={"contract"})
""",
    "sizes": "STEP = 100\nUNUSED = 3\n",
    "pairs": """
from typing import Any, NamedTuple

class Pair(NamedTuple):
    first: Any
    second: Any
""",
    "unrelated": "VALUE = 1\n",
}


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a kernel and everything that it uses."""
    folder = tmp_path / "planted"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name, text in SOURCES.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return folder


def stamp() -> str:
    """The stamp of the planted kernel as its files are now."""
    for name in [name for name in sys.modules if name.split(".")[0] == "planted"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    return source_stamp(importlib.import_module("planted.kernel").kernel)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("kernel", "out[0]", "out[ 0 ]"),
        ("helper", "+ ten(x)", "- ten(x)"),
        ("inner", "x + 1", "x + 2"),
        ("tools", "2 * x", "3 * x"),  # used as an attribute of its module
        ("numbers", "return 10", "return 11"),  # used in the closure of an intrinsic
        ("sizes", "STEP = 100", "STEP = 200"),  # a value
        ("jit", '"contract"', '"contract", "reassoc"'),  # an option of the compiler
    ],
)
def test_a_source_of_the_kernel_changes_its_stamp(
    planted: Path, name: str, old: str, new: str
) -> None:
    before = stamp()
    assert stamp() == before
    replace(planted / f"{name}.py", old, new)
    assert stamp() != before


@pytest.mark.parametrize(
    ("name", "old", "new"), [("unrelated", "1", "2"), ("sizes", "UNUSED = 3", "UNUSED = 4")]
)
def test_anything_else_does_not(planted: Path, name: str, old: str, new: str) -> None:
    before = stamp()
    replace(planted / f"{name}.py", old, new)
    assert stamp() == before


RUN = """
import numpy as np
from planted.kernel import kernel
from planted.pairs import Pair
from regard.compiled.call import call_serial

out = np.zeros(1, np.int64)
call_serial(kernel, out, Pair(first=1, second=20))
print(out[0], sum(kernel.stats.cache_hits.values()))
"""


@pytest.fixture
def run(planted: Path) -> Callable[..., tuple[int, bool]]:
    """Calls the planted kernel in a new process: its answer, and whether it came from disk."""
    paths = [str(planted.parent), *sys.path]
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(planted.parent / "cache"),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(pair: str = "Pair") -> tuple[int, bool]:
        done = subprocess.run(
            [sys.executable, "-c", RUN.replace("Pair", pair)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        answer, hits = done.stdout.split()
        return int(answer), hits == "1"

    return run


def test_machine_code_is_loaded_until_a_helper_changes(
    planted: Path, run: Callable[..., tuple[int, bool]]
) -> None:
    assert run() == (1 + 1 + 10 + 100 * 2 * 20, False)
    replace(planted / "unrelated.py", "1", "2")
    assert run() == (4012, True)
    replace(planted / "inner.py", "x + 1", "x + 5")
    assert run() == (4016, False)
    assert run() == (4016, True)


def test_fields_that_change_places_are_not_mistaken_for_each_other(
    planted: Path, run: Callable[..., tuple[int, bool]]
) -> None:
    assert run() == (4012, False)
    replace(planted / "pairs.py", "first: Any\n    second", "second: Any\n    first")
    assert run() == (4012, False)


def test_a_named_tuple_may_be_renamed(planted: Path, run: Callable[..., tuple[int, bool]]) -> None:
    assert run() == (4012, False)
    replace(planted / "pairs.py", "Pair", "Couple")
    assert run("Couple") == (4012, False)


def test_an_import_reads_no_sources(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.invalidate_caches()
    monkeypatch.setattr("regard.compiled.cache.source_stamp", lambda function: 1 / 0)
    assert importlib.import_module("planted.kernel").kernel.py_func.__name__ == "kernel"
