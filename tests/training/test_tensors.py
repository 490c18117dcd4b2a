"""Files of tensors: equal content makes equal bytes, and no changed byte passes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from regard.errors import ModelFolderError
from regard.training.tensors import read_layout, read_tensors, write_tensors


def some() -> dict[str, Tensor]:
    w = torch.arange(6.0).reshape(2, 3)
    return {
        "w": w,
        "twin": w,
        "b": torch.tensor([7, 8]),
        "none": torch.zeros(0),
        "s": torch.tensor(1.5),
    }


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(some(), path, {"k": "v"}, belongs_to="me")
    found = read_tensors(path)
    assert found.tensors.keys() == some().keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in some().items())
    assert found.tensors["twin"] is found.tensors["w"]
    assert (found.texts, found.belongs_to, found.sealed) == ({"k": "v"}, "me", True)


def test_the_layout_has_names_shapes_and_types_without_data(tmp_path: Path) -> None:
    write_tensors(some(), tmp_path / "x", {})
    found = read_layout(tmp_path / "x").tensors
    assert all(tensor.is_meta for tensor in found.values())
    assert {n: (t.shape, t.dtype) for n, t in found.items()} == {
        n: (t.shape, t.dtype) for n, t in some().items()
    }


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    # The library draws the order of several texts anew each time: 20 files would not agree by chance.
    texts = {name: name for name in "abcdefgh"}
    for number in range(20):
        write_tensors(some(), tmp_path / str(number), texts)
    assert len({(tmp_path / str(n)).read_bytes() for n in range(20)}) == 1


def test_checksums_are_those_of_the_values(tmp_path: Path) -> None:
    write_tensors(some(), tmp_path / "x", {})
    sums = json.loads(read_tensors(tmp_path / "x").header["sha256"])
    assert sums["s"] == hashlib.sha256(bytes.fromhex("0000c03f")).hexdigest()  # 1.5, little endian
    assert "twin" not in sums


def test_every_flipped_byte_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(some(), path, {"k": "v"}, belongs_to="me")
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        try:
            found = read_tensors(path)
        except ModelFolderError:
            continue
        # The name of the seal itself, or of "__metadata__": then there is none, or no owner.
        assert not found.sealed or found.belongs_to != "me"
        assert found.belongs_to != "me"


def test_the_changed_tensor_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors({"left": torch.zeros(3), "right": torch.ones(3)}, path, {})
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(ModelFolderError, match=r"'right' changed after .*\(1 of 2 tensors\)"):
        read_tensors(path)
    assert read_tensors(path, seals=False).tensors["right"][-1] != 1


def test_tensors_that_changed_places_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors({"left": torch.zeros(3), "right": torch.ones(3)}, path, {})
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["left"], header["right"] = header["right"], header["left"]
    text = json.dumps(header, separators=(",", ":")).encode().ljust(size)
    path.write_bytes(content[:8] + text + content[8 + size :])
    with pytest.raises(ModelFolderError, match="'left', 'right' changed"):
        read_tensors(path)


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "x", metadata={"format": "pt"})
    found = read_tensors(tmp_path / "x")
    assert not found.sealed
    assert torch.equal(found.tensors["w"], torch.ones(2))
