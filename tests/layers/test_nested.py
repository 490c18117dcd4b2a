"""Tensors inside other things."""

from __future__ import annotations

from collections import UserDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from regard.layers.nested import tensors_in


@dataclass
class Pair:
    first: Any
    second: Any


class Named(NamedTuple):
    first: Any
    second: Any


def test_every_container_in_order() -> None:
    one, two, three, four, five = (torch.tensor(n) for n in range(1, 6))
    value = [
        one,
        Pair(two, "text"),
        UserDict({"a": three}),
        Named(None, (four,)),
        {"b": {"c": five}},
    ]
    assert [int(tensor) for tensor in tensors_in(value)] == [1, 2, 3, 4, 5]


def test_what_holds_none() -> None:
    assert list(tensors_in(["text", 3, None, Pair])) == []
