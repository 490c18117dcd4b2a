"""Machine code on disk, thrown away when a source that it was made from changes.

Numba's own cache watches one file, that of the compiled function. A kernel is made of helpers from many
files, inlined into it, and a change of any would leave stale machine code behind. So the stamp of a cached
function is made from what it really uses, found by following its global names to other functions, from
those to further ones, and so on::

    forward ──> online_softmax_update ──> exp2 ──> round_to_even   contents of the file of each
                        │
                        └──> NEGATIVE_INFINITY                     value of a constant
    types of the arguments                                         fields of named tuples, in order

Nothing is read before a function is loaded or compiled for the first time: an import costs nothing.
"""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

from regard.errors import RegardError
from regard.files import atomic_write

__all__ = ["SourceCache", "source_stamp", "warn_not_kept"]

_LIBRARIES = frozenset({"llvmlite", "numba", "numpy", *sys.stdlib_module_names})
"""Packages that are not followed into: Numba's cache holds Numba's version, which goes with theirs."""

_DIGEST_BYTES = hashlib.sha256().digest_size


class SourceCache(FunctionCache):
    """Numba's cache of one function on disk, with a stamp of all its sources and a seal on every file.

    A cache that cannot be read or written never stops the caller: the code is compiled again.
    """

    def __init__(self, dispatcher: Any) -> None:
        super().__init__(dispatcher.py_func)
        self._cache_file = CodeFiles(  # type: ignore[assignment]  # in place of Numba's own
            Path(self._cache_path), self._impl.filename_base, lambda: source_stamp(dispatcher)
        )

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        types = getattr(sig, "args", sig)
        return (*super()._index_key(sig, codegen), tuple(_fields(kind) for kind in types))

    def load_overload(self, sig: Any, target_context: Any) -> Any | None:
        """The compiled function for these types; `None` if the disk has none that is whole."""
        try:
            return super().load_overload(sig, target_context)
        except (
            Exception
        ):  # the disk; pickle, or LLVM, of what lies there, whose errors have no family
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keeps a compiled function for later processes; a full or read-only disk is a warning."""
        try:
            super().save_overload(sig, data)
        except (OSError, RegardError) as error:
            warn_not_kept(str(error))


class CodeFiles:
    """The files of one function: one for each signature, sealed by a SHA-256 digest.

    Numba keeps an index from signatures to numbered files. Two processes that write at a time may leave a
    signature there beside the file of another one, and a damaged file is run as it is. Here the name of a
    file is made from what it holds, and the digest in front covers signature and code.
    """

    def __init__(self, folder: Path, base: str, make_stamp: Callable[[], str]) -> None:
        self._folder, self._base, self._make_stamp = folder, base, make_stamp
        self._stamp = ""

    def load(self, key: Any) -> Any | None:
        """What was saved for this key from the sources as they are; `None` if nothing, or damaged."""
        file, name = self._locate(key)
        try:
            content = file.read_bytes()
        except OSError:
            return None
        digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if digest != _seal(name, code):
            return None
        try:
            return pickle.loads(code)  # noqa: S301 - Numba's own format, written by this user
        except (AttributeError, ImportError):  # a class of an argument has moved to another module
            return None

    def save(self, key: Any, data: Any) -> None:
        """Writes an entry whole or not at all, and removes those of other sources.

        Raises:
            RegardError: the disk is full or the folder cannot be written.
        """
        file, name = self._locate(key)
        code = dumps(data)
        with atomic_write(file) as unfinished:
            unfinished.write_bytes(_seal(name, code) + code)
        current = f"{self._base}.{self._stamp[:16]}."
        for other in self._files():
            if not other.name.startswith(current):
                other.unlink(missing_ok=True)

    def flush(self) -> None:
        """Removes all entries."""
        for file in self._files():
            file.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        names = os.listdir(self._folder)
        return [
            self._folder / n for n in names if n.startswith(f"{self._base}.") and n[-4:] == ".nbc"
        ]

    def _locate(self, key: Any) -> tuple[Path, bytes]:
        """The file of a key, and the text that stands for the key in its seal."""
        # Made here, before the first read or write: an import reads no sources.
        self._stamp = self._stamp or self._make_stamp()
        name = f"{numba.__version__} {self._stamp} {key!r}".encode()
        file = f"{self._base}.{self._stamp[:16]}.{hashlib.sha256(name).hexdigest()[:16]}.nbc"
        return self._folder / file, name


def _seal(name: bytes, code: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(name).digest() + code).digest()


def warn_not_kept(reason: str) -> None:
    """Says that code was compiled and cannot be kept for the next process."""
    warnings.warn(
        "numerical code was compiled and cannot be kept, so the next process compiles it again "
        f"({reason}); set NUMBA_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=2,
    )


def source_stamp(function: Any) -> str:
    """SHA-256 of everything that the machine code of a function is made from, except argument types.

    Args:
        function: a Python function or one that Numba wraps.
    """
    digest = hashlib.sha256()
    for part in sorted(set(_parts(function))):
        digest.update(part.encode() + b"\n")
    return digest.hexdigest()


def _parts(function: Any) -> Iterator[str]:
    """Hashes of files, values of constants and options of compilation, of all that can be reached."""
    waiting, seen = [function], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if hasattr(value, "targetoptions"):  # a dispatcher: how it is compiled matters, too
            options = {name: _ordered(option) for name, option in value.targetoptions.items()}
            yield f"options {sorted(options.items())}"
        if hasattr(value, "__wrapped__"):  # a dispatcher, an intrinsic or a decorated function
            waiting.append(value.__wrapped__)
        if isinstance(value, type) and _is_own(value.__module__):
            yield _file_hash(sys.modules[value.__module__].__file__)
        if isinstance(value, FunctionType) and _is_own(value.__module__):
            yield _file_hash(value.__code__.co_filename)
            for name, used in _used_values(value):
                constant = _constant(used)
                if constant is None:
                    waiting.append(used)
                else:
                    yield f"{value.__module__}.{name} = {constant}"


def _used_values(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Globals, attributes of modules, closure variables and defaults that a function may use, by name."""
    names = _names(function.__code__)
    modules = []
    for name in names & function.__globals__.keys():
        value = function.__globals__[name]
        yield name, value
        if isinstance(value, ModuleType) and _is_own(value.__name__):
            modules.append(value)
    # `module.name` compiles to two names; which belongs to which is not known, so all are tried.
    for module in modules:
        yield from ((name, getattr(module, name)) for name in names if hasattr(module, name))
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    yield from ((name, cell.cell_contents) for name, cell in cells)
    yield from ((f"default {i}", value) for i, value in enumerate(function.__defaults__ or ()))


def _names(code: CodeType) -> set[str]:
    """Names of globals and attributes in a function and in those defined inside it."""
    inner = (part for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*(_names(part) for part in inner))


def _constant(value: Any) -> str | None:
    """A value of a kind that Numba freezes into machine code, written out; `None` for another kind."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    if isinstance(value, tuple):
        parts = [_constant(part) for part in value]
        return None if None in parts else f"({', '.join(map(str, parts))})"
    if isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        return f"{type(value).__name__} {value!r}"
    return None


def _fields(kind: Any) -> Any:
    """The fields of a named tuple's type, and of those inside it.

    Numba compares these types by class name and types of fields, so that two fields of one type that
    change places would go unnoticed.
    """
    if isinstance(kind, numba.types.NamedTuple):
        return tuple(zip(kind.fields, map(_fields, kind.types), strict=True))
    return None


def _ordered(option: Any) -> Any:
    return sorted(option) if isinstance(option, set | frozenset) else option


def _is_own(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] not in _LIBRARIES


def _file_hash(path: str | None) -> str:
    return hashlib.sha256(Path(str(path)).read_bytes()).hexdigest()
