"""A GPT-2 whose weights are set by hand, so that each of its heads does exactly one thing.

A state is `[token | position | token before]`, one-hot each: `WORDS`, `POSITIONS` and `WORDS` wide. Layer
normalisation shifts and scales it, which no softmax sees: every state has as many ones. The first head of layer
1 writes the token before into the third part, where the induction head of layer 2 finds it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import models, pre_tokenizers
from torch import Tensor

KINDS = {
    (1, 1): "previous",
    (1, 2): "duplicate",
    (1, 3): "sink",
    (1, 4): "same",
    (2, 1): "induction",
    (2, 2): "broad",
    (2, 3): "previous",
    (2, 4): "punctuation",
}
"""What each head was made to do, by layer and head from 1."""

VOCABULARY = [*(f"w{i}" for i in range(20)), ",", "."]
WORDS, POSITIONS, HEADS = len(VOCABULARY), 48, 4
HEAD_WIDTH = WORDS + POSITIONS
WIDTH = HEADS * HEAD_WIDTH
TOKEN, POSITION, BEFORE = (
    slice(0, WORDS),
    slice(WORDS, HEAD_WIDTH),
    slice(HEAD_WIDTH, HEAD_WIDTH + WORDS),
)
SHARPNESS = 40.0  # of scores; high enough that a softmax is one-hot in float32


def save_planted(folder: Path) -> Path:
    """Write the model and its tokenizer of words."""
    config = transformers.GPT2Config(
        vocab_size=WORDS,
        n_positions=POSITIONS,
        n_embd=WIDTH,
        n_layer=2,
        n_head=HEADS,
        n_inner=8,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = transformers.GPT2Model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for name, parameter in model.named_parameters():
            if "ln_" in name and name.endswith("weight"):
                parameter.fill_(1.0)
        model.wte.weight[:, TOKEN] = torch.eye(WORDS)
        model.wpe.weight[:, POSITION] = torch.eye(POSITIONS)
        _plant(model)
    model.save_pretrained(folder)
    words = tokenizers.Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words)
    tokenizer.save_pretrained(folder)
    return folder


def _plant(model: transformers.GPT2Model) -> None:
    """Set queries, keys and values of every head."""
    back = torch.diag(torch.ones(POSITIONS - 1), -1)  # row i has its one in column i - 1
    words, places = torch.eye(WORDS), torch.eye(POSITIONS)
    blocks: Any = model.h
    first, second = blocks[0].attn, blocks[1].attn
    _head(first, 0, query=(POSITION, back), key=(POSITION, places), value=(TOKEN, BEFORE))
    _head(first, 1, query=(TOKEN, words), key=(TOKEN, words))
    _head(first, 1, query=(POSITION, -places), key=(POSITION, places), at=WORDS)  # but itself
    _head(first, 2, key=(POSITION, places), constant=0)
    _head(first, 3, query=(POSITION, places), key=(POSITION, places))
    _head(second, 0, query=(TOKEN, words), key=(BEFORE, words))
    # Nothing is before the first token, which can only look at itself there.
    _head(second, 0, key=(POSITION, places[:, :1]), constant=0, at=WORDS, sign=-1)
    _head(second, 2, query=(POSITION, back), key=(POSITION, places))
    signs = torch.zeros(WORDS, WORDS)
    signs[-2:, 0] = 1.0
    _head(second, 3, key=(TOKEN, signs), constant=0)


def _head(
    attention: Any,
    head: int,
    *,
    query: tuple[slice, Tensor] | None = None,
    key: tuple[slice, Tensor],
    value: tuple[slice, slice] | None = None,
    constant: int | None = None,
    at: int = 0,
    sign: int = 1,
) -> None:
    """Set one head: parts of the state that become its query and key, from dimension `at` on."""
    start = head * HEAD_WIDTH + at
    weight, bias = attention.c_attn.weight, attention.c_attn.bias
    if query is not None:
        rows, matrix = query
        weight[rows, start : start + matrix.shape[1]] = SHARPNESS * matrix
    if constant is not None:
        bias[start + constant] = sign * SHARPNESS * 10
    rows, matrix = key
    weight[rows, WIDTH + start : WIDTH + start + matrix.shape[1]] = matrix
    if value is not None:
        source, target = value
        size = source.stop - source.start
        weight[source, 2 * WIDTH + start : 2 * WIDTH + start + size] = torch.eye(size)
        # A one is about sqrt(WIDTH / 2) after the layer normalisation.
        attention.c_proj.weight[start : start + size, target] = torch.eye(size) * (2 / WIDTH) ** 0.5


def repeated_texts(count: int, seed: int = 0) -> list[str]:
    """Sequences of different words, each followed by itself (Olsson et al. 2022), with a comma or a period."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        words = rng.permutation(20)[: rng.integers(6, 17)].tolist()
        half = [f"w{word}" for word in words]
        half.insert(int(rng.integers(1, len(half))), str(rng.choice([",", "."])))
        texts.append(" ".join([*half, *half]))
    return texts


def plain_texts(count: int, seed: int = 0) -> list[str]:
    """Sequences in which no word occurs twice."""
    rng = np.random.default_rng(seed)
    return [
        " ".join([*(f"w{word}" for word in rng.permutation(20)[: rng.integers(8, 20)]), "."])
        for _ in range(count)
    ]
