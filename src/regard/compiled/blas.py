"""Matrix products inside compiled code: the `sgemm` of a BLAS, called by its address.

torch's x86 builds carry MKL and export its Fortran `sgemm_`, a third faster than OpenBLAS on tiles of
512 x 512. It is used where it is present and accurate; otherwise the OpenBLAS that SciPy carries (its
address comes from `scipy.linalg.cython_blas`, made to be called this way).

The address is an argument of every kernel: it differs from process to process, and compiled code
that holds it could not be cached.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils

from regard.compiled.jit import inlined, intrinsic

__all__ = ["Gemm", "find_gemm", "gemm_nn", "gemm_nt", "gemm_tn", "is_accurate"]

TOLERANCE = 2e-6
"""Relative to the sum of the absolute products: room for float32 with 64 terms, none for bfloat16."""


@dataclass
class Gemm:
    """A single-precision matrix product, and how to keep it on one thread."""

    name: str
    address: int
    set_threads: Callable[[int], int] | None = None
    """MKL's `mkl_set_num_threads_local`: takes a count and returns the previous one, of this thread only."""
    controller: Any = None
    """threadpoolctl's, for a BLAS whose thread count is one for the whole process."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    limiter: Any = None

    @contextmanager
    def on_one_thread(self) -> Iterator[None]:
        """Within it, products called from this thread start no threads of their own."""
        if self.set_threads is not None:
            previous = self.set_threads(1)
            try:
                yield
            finally:
                self.set_threads(previous)
            return
        # A limit for the whole process: set by the first thread that enters, lifted by the last that leaves.
        with self.lock:
            self.users += 1
            if self.users == 1 and self.controller is not None:
                self.limiter = self.controller.limit(limits=1, user_api="blas")
        try:
            yield
        finally:
            with self.lock:
                self.users -= 1
                if self.users == 0 and self.limiter is not None:
                    self.limiter.restore_original_limits()
                    self.limiter = None


_forked = False


@cache
def find_gemm() -> Gemm:
    """The fastest product of this process that is accurate; found and checked once."""
    finders = (_from_scipy,) if _forked else (_from_torch, _from_scipy)
    candidates = (find() for find in finders)
    return next(found for found in candidates if found and is_accurate(found))


def _leave_mkl() -> None:
    """In a forked child, finds the product anew, and not in MKL.

    MKL takes memory under locks of its own, and frees it when a thread has ended. A child that is forked
    in that moment has the lock and not the thread that would open it, and waits forever at its first product.
    OpenBLAS is made for forks. Nobody else holds what is forgotten here: a child has one thread.
    """
    global _forked
    _forked = True
    find_gemm.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_mkl)


def _from_torch() -> Gemm | None:
    try:
        import torch

        folder = Path(torch.__file__).parent / "lib"
        library = ctypes.CDLL(str(next(folder.glob("libtorch_cpu.*"))))
        set_threads = library.MKL_Set_Num_Threads_Local
        address = ctypes.cast(library.sgemm_, ctypes.c_void_p).value
    except (ImportError, OSError, AttributeError, StopIteration):
        return None
    return Gemm("MKL in torch", address or 0, set_threads)


def _from_scipy() -> Gemm:
    from threadpoolctl import ThreadpoolController

    cython_blas = import_module(
        "scipy.linalg.cython_blas"
    )  # compiled, without a declaration of types
    capsule = cython_blas.__pyx_capi__["sgemm"]
    name, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address = pointer(capsule, name(capsule))
    return Gemm("OpenBLAS in SciPy", address, controller=ThreadpoolController())


def is_accurate(candidate: Gemm) -> bool:
    """Whether a product of odd sizes agrees with float64 as far as float32 can.

    An environment variable may make a BLAS multiply in bfloat16 (AMX), which loses five digits.
    """
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((37, 64), (53, 64)))
    c = np.empty((37, 53), np.float32)
    with candidate.on_one_thread():
        _sgemm_from_python(candidate.address, b"T", b"N", (53, 37, 64), b, a, c)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    bound = np.abs(wide_a) @ np.abs(wide_b).T
    return bool((np.abs(c - wide_a @ wide_b.T) <= TOLERANCE * bound).all())


def _sgemm_from_python(
    address: int, ta: bytes, tb: bytes, sizes: tuple[int, int, int], a: Any, b: Any, c: Any
) -> None:
    """Calls Fortran's `sgemm` by ctypes; for the check only."""
    m, n, k = (ctypes.c_int(size) for size in sizes)
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    lda, ldb, ldc = (ctypes.c_int(x.shape[1]) for x in (a, b, c))
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(address)
    letters = ctypes.create_string_buffer(ta), ctypes.create_string_buffer(tb)
    a, b, c = (ctypes.c_void_p(x.ctypes.data) for x in (a, b, c))
    by_reference = ctypes.byref
    function(
        letters[0], letters[1], by_reference(m), by_reference(n), by_reference(k), by_reference(one),
        a, by_reference(lda), b, by_reference(ldb), by_reference(zero), c, by_reference(ldc),
    )  # fmt: skip


@intrinsic
def _sgemm(
    typing: Any, address: Any, ta: Any, tb: Any, m: Any, n: Any, k: Any, alpha: Any,
    a: Any, lda: Any, b: Any, ldb: Any, beta: Any, c: Any, ldc: Any,
) -> Any:  # fmt: skip
    """Calls Fortran's `sgemm` at `address`; matrices are addresses, letters are bytes."""
    byte, integer, single, long = numba.uint8, numba.int32, numba.float32, numba.uintp
    kinds = (byte, byte, integer, integer, integer, single, long, integer, long, integer, single,
             long, integer)  # fmt: skip

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        passed = []
        for kind, argument in zip(kinds, arguments[1:], strict=True):
            if kind is long:
                passed.append(builder.inttoptr(argument, pointer))
            else:  # Fortran takes everything by reference
                slot = cgutils.alloca_once(builder, argument.type)
                builder.store(argument, slot)
                passed.append(builder.bitcast(slot, pointer))
        kind = ir.FunctionType(ir.VoidType(), [pointer] * len(passed))
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), passed)
        return context.get_dummy_value()

    return numba.void(numba.uintp, *kinds), emit


NO_TRANSPOSE, TRANSPOSE = ord("N"), ord("T")

# The letters after `gemm_` are BLAS's: n for an operand as it is, t for a transposed one. Fortran reads
# a row-major matrix as its transpose; (a b)^T = b^T a^T, so the operands change sides and no transpose
# is left over.


@inlined
def gemm_nt(sgemm, rows, columns, inner, alpha, a, b, beta, c):
    """`c[:rows, :columns] = alpha * a[:rows, :inner] @ b[:columns, :inner].T + beta * c`."""
    _sgemm(sgemm, TRANSPOSE, NO_TRANSPOSE, columns, rows, inner, np.float32(alpha), b.ctypes.data,
           b.shape[1], a.ctypes.data, a.shape[1], np.float32(beta), c.ctypes.data, c.shape[1])  # fmt: skip


@inlined
def gemm_nn(sgemm, rows, columns, inner, alpha, a, b, beta, c):
    """`c[:rows, :columns] = alpha * a[:rows, :inner] @ b[:inner, :columns] + beta * c`."""
    _sgemm(sgemm, NO_TRANSPOSE, NO_TRANSPOSE, columns, rows, inner, np.float32(alpha), b.ctypes.data,
           b.shape[1], a.ctypes.data, a.shape[1], np.float32(beta), c.ctypes.data, c.shape[1])  # fmt: skip


@inlined
def gemm_tn(sgemm, rows, columns, inner, alpha, a, b, beta, c):
    """`c[:rows, :columns] = alpha * a[:inner, :rows].T @ b[:inner, :columns] + beta * c`."""
    _sgemm(sgemm, NO_TRANSPOSE, TRANSPOSE, columns, rows, inner, np.float32(alpha), b.ctypes.data,
           b.shape[1], a.ctypes.data, a.shape[1], np.float32(beta), c.ctypes.data, c.shape[1])  # fmt: skip
