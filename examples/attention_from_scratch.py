"""Attention on paper, in NumPy, as a PyTorch module, and three exercises with their answers.

One query meets three keys. The same numbers come out of a NumPy function of four lines, of a PyTorch module
with learned projections, and of `regard.attend`; `docs/examples/attention_from_scratch.md` walks through it.

    python examples/attention_from_scratch.py --out runs/scratch
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import regard

Array = NDArray[np.float64]

QUERY = np.array([[1.0, 0.0, 1.0]])
KEY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
VALUE = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
NAMES = ["first", "second", "third"]
# Four features, of which each of two heads gets two.
WIDE_QUERY = np.array([[1.0, 0.0, 0.0, 1.0]])
WIDE_KEY = np.array([[1.0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 1]])
WIDE_VALUE = np.tile(VALUE, 2)


def softmax(scores: Array) -> Array:
    """Softmax of each row. The row's maximum is subtracted first: exp(1000) would be infinite."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def attention(query: Array, key: Array, value: Array) -> tuple[Array, Array]:
    """Dot-product attention: the output, and the weights it was made with.

    Args:
        query: `(queries, features)`.
        key: `(keys, features)`.
        value: `(keys, values)`.
    """
    weights = softmax(query @ key.T)
    return weights @ value, weights


class Attention(nn.Module):
    """Additive attention as a PyTorch module: its scores depend on the query *and* on the key.

    Args:
        query_width: features of a query.
        key_width: features of a key.
        hidden: features of the sum inside tanh.
    """

    def __init__(self, query_width: int, key_width: int, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_width, hidden, bias=False)
        self.key = nn.Linear(key_width, hidden, bias=False)
        self.vector = nn.Parameter(torch.randn(hidden) / hidden**0.5)

    def forward(self, query: Tensor, key: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The context of each query, and its weights.

        Args:
            query: `(batch, queries, query_width)`.
            key: `(batch, keys, key_width)`; the values, too.
            mask: `(batch, keys)`, `True` for tokens, `False` for padding.
        """
        # (batch, queries, 1, hidden) + (batch, 1, keys, hidden): every query meets every key.
        scores = torch.tanh(self.query(query)[:, :, None] + self.key(key)[:, None]) @ self.vector
        scores = scores.masked_fill(~mask[:, None], -torch.inf)
        weights = scores.softmax(-1)
        return weights @ key, weights


def exercise_1(query: Array, key: Array, value: Array) -> Array:
    """Divide the scores by the root of the number of features, as Transformers do."""
    return softmax(query @ key.T / np.sqrt(key.shape[1])) @ value


def exercise_2(query: Array, key: Array, value: Array, allowed: NDArray[np.bool_]) -> Array:
    """Leave keys out: a score of minus infinity is a weight of exactly 0."""
    return softmax(np.where(allowed, query @ key.T, -np.inf)) @ value


def exercise_3(query: Array, key: Array, value: Array, heads: int) -> Array:
    """Several heads: cut the features into parts, attend in each, and put the outputs side by side."""
    parts = [np.split(array, heads, axis=1) for array in (query, key, value)]
    return np.concatenate([attention(q, k, v)[0] for q, k, v in zip(*parts, strict=True)], axis=1)


def same_as_regard(module: Attention) -> float:
    """The largest difference between the module's output and that of `regard.attend`."""
    query, key = torch.randn(2, 4, 3), torch.randn(2, 5, 6)
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    score = regard.scores.Additive(module.vector, module.query.weight.T, module.key.weight.T)
    wanted, _ = module(query, key, mask)
    output, _ = regard.attend(query, key, key, score=score, mask=regard.padding(mask))
    return (output - wanted).abs().max().item()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the numbers and the map"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the module's parameters (default 0)"
    )
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)

    output, weights = attention(QUERY, KEY, VALUE)
    print("weights", weights[0].round(3), "output", output[0].round(3))
    steps = regard.worked(QUERY, KEY, VALUE, score=regard.scores.Dot(), key_tokens=NAMES)
    module = Attention(query_width=3, key_width=6, hidden=8)
    allowed = np.array([True, True, False])
    two_heads = exercise_3(WIDE_QUERY, WIDE_KEY, WIDE_VALUE, heads=2)
    result: dict[str, Any] = {
        "output": output[0].tolist(),
        "weights": weights[0].tolist(),
        "output of regard.worked": steps.output[0].tolist(),
        "module and regard.attend differ by": same_as_regard(module),
        "exercise 1, scaled": exercise_1(QUERY, KEY, VALUE)[0].tolist(),
        "exercise 2, without the third key": exercise_2(QUERY, KEY, VALUE, allowed)[0].tolist(),
        "exercise 3, two heads": two_heads[0].tolist(),
    }
    for name, value in result.items():
        print(f"{name}: {value}")
    (arguments.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    record = regard.viewing.AttentionRecord.of(weights, ["query"], NAMES, kind="cross")
    record.save(arguments.out / "map.png")
    print(f"see {arguments.out}/map.png")


if __name__ == "__main__":
    main()
