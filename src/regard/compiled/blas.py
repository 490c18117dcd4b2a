"""The matrix product inside a tile: a BLAS `sgemm` called by its address.

torch's x86 builds carry MKL and export its Fortran `sgemm_`, a third faster than OpenBLAS on tiles of
this size. It is used when it is there and right to float32; otherwise the OpenBLAS that SciPy carries
(its address comes from `scipy.linalg.cython_blas`, made to be called this way).

The address is an argument of every kernel: it differs from process to process, and compiled code
that holds it could not be cached.
"""
# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call, call-arg, no-any-return"

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from regard.compiled.jit import inlined

__all__ = ["Gemm", "gemm", "multiply", "multiply_left_transposed", "multiply_transposed"]

TOLERANCE = 2e-6
"""Relative to the sum of the absolute products: room for float32 with 64 terms, none for bfloat16."""


@dataclass
class Gemm:
    """A single-precision matrix product and how to keep it on one thread."""

    name: str
    address: int
    limit: Any = None
    """MKL's `mkl_set_num_threads_local`: a count in, the previous count out; of this thread only."""
    controller: Any = None
    """threadpoolctl's, for a BLAS whose thread count is one for the whole process."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    limiter: Any = None

    @contextmanager
    def on_one_thread(self) -> Iterator[None]:
        """Within it, products called from this thread start no threads of their own."""
        if self.limit is not None:
            previous = self.limit(1)
            try:
                yield
            finally:
                self.limit(previous)
            return
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


@cache
def gemm() -> Gemm:
    """The best product this process has, checked for accuracy once."""
    candidates = (find() for find in (_from_torch, _from_scipy))
    return next(found for found in candidates if found and accurate(found))


def _from_torch() -> Gemm | None:
    try:
        import torch

        folder = Path(torch.__file__).parent / "lib"
        library = ctypes.CDLL(str(next(folder.glob("libtorch_cpu.*"))))
        limit = library.MKL_Set_Num_Threads_Local
        address = ctypes.cast(library.sgemm_, ctypes.c_void_p).value
    except (ImportError, OSError, AttributeError, StopIteration):
        return None
    return Gemm("MKL in torch", address or 0, limit=limit)


def _from_scipy() -> Gemm:
    from scipy.linalg import cython_blas
    from threadpoolctl import ThreadpoolController

    capsule = cython_blas.__pyx_capi__["sgemm"]
    name, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address = pointer(capsule, name(capsule))
    return Gemm("OpenBLAS in SciPy", address, controller=ThreadpoolController())


def accurate(candidate: Gemm) -> bool:
    """Whether a product of odd sizes is right to float32.

    A BLAS may be told by its environment to multiply in bfloat16 (AMX), which loses five digits.
    """
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((37, 64), (53, 64)))
    c = np.empty((37, 53), np.float32)
    with candidate.on_one_thread():
        _call(candidate.address, b"T", b"N", (53, 37, 64), b, a, c)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    bound = np.abs(wide_a) @ np.abs(wide_b).T
    return bool((np.abs(c - wide_a @ wide_b.T) <= TOLERANCE * bound).all())


def _call(
    address: int, ta: bytes, tb: bytes, sizes: tuple[int, int, int], a: Any, b: Any, c: Any
) -> None:
    """The Fortran call from Python, for the check only."""
    m, n, k = (ctypes.c_int(size) for size in sizes)
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    lda, ldb, ldc = (ctypes.c_int(x.shape[1]) for x in (a, b, c))
    pointer, place = ctypes.byref, lambda x: ctypes.c_void_p(x.ctypes.data)
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(address)
    letters = ctypes.create_string_buffer(ta), ctypes.create_string_buffer(tb)
    function(
        letters[0], letters[1], pointer(m), pointer(n), pointer(k), pointer(one), place(a),
        pointer(lda), place(b), pointer(ldb), pointer(zero), place(c), pointer(ldc),
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


NO, YES = ord("N"), ord("T")

# Fortran reads a row-major matrix as its transpose, so the operands change places.


@inlined
def multiply_transposed(sgemm, rows, columns, inner, alpha, a, b, beta, c):
    """`c[:rows, :columns] = alpha * a[:rows, :inner] @ b[:columns, :inner].T + beta * c`."""
    _sgemm(sgemm, YES, NO, columns, rows, inner, np.float32(alpha), b.ctypes.data, b.shape[1],
           a.ctypes.data, a.shape[1], np.float32(beta), c.ctypes.data, c.shape[1])  # fmt: skip


@inlined
def multiply(sgemm, rows, columns, inner, alpha, a, b, beta, c):
    """`c[:rows, :columns] = alpha * a[:rows, :inner] @ b[:inner, :columns] + beta * c`."""
    _sgemm(sgemm, NO, NO, columns, rows, inner, np.float32(alpha), b.ctypes.data, b.shape[1],
           a.ctypes.data, a.shape[1], np.float32(beta), c.ctypes.data, c.shape[1])  # fmt: skip


@inlined
def multiply_left_transposed(sgemm, rows, columns, inner, alpha, a, b, beta, c):
    """`c[:rows, :columns] = alpha * a[:inner, :rows].T @ b[:inner, :columns] + beta * c`."""
    _sgemm(sgemm, NO, YES, columns, rows, inner, np.float32(alpha), b.ctypes.data, b.shape[1],
           a.ctypes.data, a.shape[1], np.float32(beta), c.ctypes.data, c.shape[1])  # fmt: skip
