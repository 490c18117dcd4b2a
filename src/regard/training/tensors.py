"""Files of tensors that prove themselves: safetensors with a checksum of every tensor and of the header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from regard.errors import ModelFolderError
from regard.files import atomic_write, content_sha256

__all__ = [
    "TensorFile",
    "read_layout",
    "read_tensors",
    "write_tensors",
]

_TIED = "tied:"
"""Prefix of header entries: name of a tensor that was left out -> its twin."""

_OWNER = "belongs_to"
"""Header entry: identity of the other files that the tensors were made with."""

_SUMS, _SEAL = "sha256", "seal"
"""Header entries: SHA-256 of each tensor by name, as JSON; SHA-256 of the header without this entry."""


class TensorFile(NamedTuple):
    """Content of a file.

    Attributes:
        tensors: by name, tied ones under each of their names; from `read_layout`, without data.
        header: texts by name.
        sealed: whether the file holds checksums. Files of earlier versions do not.
    """

    tensors: dict[str, Tensor]
    header: dict[str, str]
    sealed: bool

    @property
    def belongs_to(self) -> str:
        """Identity of the files that it was written for; empty if it has none."""
        return self.header.get(_OWNER, "")

    @property
    def texts(self) -> dict[str, str]:
        """The header as it was given to `write_tensors`."""
        own = (_OWNER, _SUMS, _SEAL)
        return {k: v for k, v in self.header.items() if k not in own and not k.startswith(_TIED)}


def write_tensors(
    tensors: Mapping[str, Tensor],
    path: str | PathLike[str],
    header: Mapping[str, str],
    *,
    belongs_to: str = "",
) -> None:
    """Write tensors, whole or not at all, and equal content as equal bytes; tied tensors once.

    Args:
        tensors: by name.
        path: of the file.
        header: texts to keep beside them.
        belongs_to: identity of the other files that they are of use with.
    """
    # safetensors refuses tensors that share memory: of tied weights only the first name is written,
    # and the header says which names are missing and whose twins they are.
    owners: dict[int, str] = {}
    written: dict[str, Tensor] = {}
    entries = dict(header)
    for name, tensor in tensors.items():
        owner = owners.setdefault(tensor.data_ptr(), name) if tensor.numel() else name
        if owner == name:
            written[name] = tensor.detach().contiguous().cpu()
        else:
            entries[f"{_TIED}{name}"] = owner
    if belongs_to:
        entries[_OWNER] = belongs_to
    entries[_SUMS] = json.dumps({name: _sha256(tensor) for name, tensor in written.items()})
    entries[_SEAL] = _header_sha256(written, entries)
    with atomic_write(path) as unfinished:
        save_file(written, unfinished, metadata=entries)
        _sort_header(unfinished)


def read_layout(path: str | PathLike[str]) -> TensorFile:
    """Names, shapes and types of the tensors in a file, as tensors of the meta device: nothing is unpacked.

    Raises:
        ModelFolderError: there is no such file, or it is damaged.
    """
    with _opened(path) as file:
        header = dict(file.metadata() or {})
        tensors = {name: _outline(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118
    return TensorFile(_with_twins(tensors, header), header, _SEAL in header)


def read_tensors(path: str | PathLike[str], *, seals: bool = True) -> TensorFile:
    """Read a file, and compare it with the checksums in it.

    Args:
        path: of the file.
        seals: whether to compare.

    Raises:
        ModelFolderError: there is no such file, it is damaged, or it was changed after it was written;
            names the tensors that were.
    """
    with _opened(path) as file:
        header = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    sealed = _SEAL in header or _SUMS in header
    if sealed and seals:
        _check(tensors, header, path)
    return TensorFile(_with_twins(tensors, header), header, sealed)


def _check(tensors: Mapping[str, Tensor], header: Mapping[str, str], path: object) -> None:
    # From the memory that is handed out, so that no other state of the file can be meant.
    entries = {name: text for name, text in header.items() if name != _SEAL}
    if header.get(_SEAL) != _header_sha256(tensors, entries):
        raise ModelFolderError(
            f"{path}: its header was changed after the file was written; {_REMEDY}"
        )
    sums = json.loads(header[_SUMS])
    changed = [name for name, tensor in tensors.items() if sums.get(name) != _sha256(tensor)]
    if changed:
        raise ModelFolderError(
            f"{path}: {_some(changed)} changed after the file was written ({len(changed)} of "
            f"{len(tensors)} tensors); {_REMEDY}"
        )


_REMEDY = "the file is damaged: copy it again, or train again"


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _sha256(tensor: Tensor) -> str:
    values: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(values).hexdigest()


def _header_sha256(tensors: Mapping[str, Tensor], entries: Mapping[str, str]) -> str:
    layout = {name: [str(t.dtype), list(t.shape)] for name, t in tensors.items()}
    return content_sha256([layout, entries])


def _with_twins(tensors: dict[str, Tensor], header: Mapping[str, str]) -> dict[str, Tensor]:
    twins = {
        name.removeprefix(_TIED): tensors[owner]
        for name, owner in header.items()
        if name.startswith(_TIED) and owner in tensors
    }
    return {**tensors, **twins}


def _opened(path: str | PathLike[str]) -> _Opened:
    if not Path(path).is_file():
        raise ModelFolderError(f"{path}: no such file; is training still before its first save?")
    return _Opened(path)


class _Opened:
    """Context with an open safetensors file, in which its errors become ours."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = path

    def __enter__(self) -> Any:
        try:
            self.file = safe_open(self.path, framework="pt")
        except (SafetensorError, OSError, ValueError) as error:
            raise self._damaged(error) from error
        return self.file.__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, kind: object, error: BaseException | None, *rest: object) -> None:
        self.file.__exit__(kind, error, *rest)  # type: ignore[no-untyped-call]
        if isinstance(error, SafetensorError | OSError):
            raise self._damaged(error) from error

    def _damaged(self, error: BaseException) -> ModelFolderError:
        return ModelFolderError(
            f"{self.path}: damaged, or not a safetensors file ({error}); copy or train it again"
        )


def _outline(stored: Any) -> Tensor:
    """A tensor without data, of the shape and type of one in a file."""
    dtype = _TYPES.get(stored.get_dtype())
    if dtype is None:
        raise SafetensorError(f"values of type {stored.get_dtype()}")
    return torch.empty(stored.get_shape(), dtype=dtype, device="meta")


_TYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
"""Types of safetensors that a model may have."""


def _sort_header(path: Path) -> None:
    """Rewrite the header of a safetensors file with its texts in order: that of the library is random."""
    with open(path, "r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        content = json.loads(file.read(size))
        content["__metadata__"] = dict(sorted(content["__metadata__"].items()))
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        assert len(text) <= size  # the same entries; the library pads with spaces
        file.seek(8)
        file.write(text.ljust(size))
