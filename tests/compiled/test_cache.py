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

    def run(
        pair: str = "Pair", first: str = "1", before: str = "", warning: str = ""
    ) -> tuple[int, bool]:
        done = subprocess.run(
            [sys.executable, "-c", before + RUN.replace("Pair", pair).replace("=1,", f"={first},")],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr.count("RuntimeWarning") == bool(warning)
        assert warning in done.stderr
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


def cut_in_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip_a_bit(content: bytes) -> bytes:
    """Damage in the machine code, which Numba would run as it is."""
    middle = content.index(b"ELF") + 700
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        cut_in_half,
        flip_a_bit,
        lambda content: b"",
        lambda content: bytes(len(content)),
        lambda content: b"not a cache",
    ],
)
def test_a_damaged_file_is_compiled_again(
    planted: Path, run: Callable[..., tuple[int, bool]], damage: Callable[[bytes], bytes]
) -> None:
    assert run() == (4012, False)
    [file] = (planted.parent / "cache").rglob("kernel*.nbc")
    file.write_bytes(damage(file.read_bytes()))
    assert run() == (4012, False)
    assert run() == (4012, True)


def test_code_of_other_arguments_is_not_taken(
    planted: Path, run: Callable[..., tuple[int, bool]]
) -> None:
    # As two processes may leave it that number their files: the name of one, the code of the other.
    assert run() == (4012, False)
    [integers] = (planted.parent / "cache").rglob("kernel*.nbc")
    assert run(first="1.0") == (4012, False)
    [floats] = set((planted.parent / "cache").rglob("kernel*.nbc")) - {integers}
    integers.write_bytes(floats.read_bytes())
    assert run() == (4012, False)


FULL = """
import resource
import planted.kernel
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # no file grows beyond
"""

GONE = """
import os, pathlib
import planted.kernel
folder = pathlib.Path(os.environ["NUMBA_CACHE_DIR"])
for file in sorted(folder.rglob("*"), reverse=True):
    file.rmdir() if file.is_dir() else file.unlink()
folder.rmdir()
folder.touch()  # a file, where the folder was
"""

NOWHERE = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
"""


@pytest.mark.parametrize(
    ("before", "reason"),
    [(FULL, "File too large"), (GONE, "Not a directory"), (NOWHERE, "no folder")],
)
def test_a_cache_that_cannot_be_written_is_one_warning(
    run: Callable[..., tuple[int, bool]], before: str, reason: str
) -> None:
    assert run(before=before, warning=reason) == (4012, False)
    assert run(first="2") == (4013, False)


def test_entries_of_other_sources_are_removed(
    planted: Path, run: Callable[..., tuple[int, bool]]
) -> None:
    assert run() == (4012, False)
    replace(planted / "inner.py", "x + 1", "x + 5")
    assert run() == (4016, False)
    files = [file.name for file in (planted.parent / "cache").rglob("*") if file.is_file()]
    assert len(files) == 1


def test_entries_are_readable_by_whoever_may_read_the_folder(
    planted: Path, run: Callable[..., tuple[int, bool]]
) -> None:
    assert run() == (4012, False)
    [file] = (planted.parent / "cache").rglob("kernel*.nbc")
    (planted.parent / "plain").touch()
    assert file.stat().st_mode == (planted.parent / "plain").stat().st_mode
