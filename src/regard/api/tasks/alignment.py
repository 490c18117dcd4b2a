"""Cross-attention of given pairs, and the choice of the one that aligns their words best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from regard.api.tasks.model import device_of, pad_batch
from regard.api.tasks.sources import EncodedSource
from regard.api.tasks.text_to_text import TextToText
from regard.api.tasks.tokens import input_tokens
from regard.data import Example
from regard.engines import Each, Here
from regard.evaluation.alignment.choice import (
    AlignmentChoice,
    CrossAttentionStack,
    choose_alignment,
)
from regard.evaluation.alignment.ibm_model1 import ibm_model_1
from regard.evaluation.alignment.links import SentencePair
from regard.layers.eval_mode import eval_mode
from regard.text import Encoding
from regard.viewing import Tokens
from regard.viewing.data.tokens import word_units

__all__ = ["PairAttention", "choose_alignment_of", "cross_attention"]

MEASURED_PAIRS, TRAINING_PAIRS = 200, 3000
"""Validation pairs whose links choose, and training pairs that IBM Model 1 learns from beside them."""

LONGEST = 100
"""Tokens of the longest text that chooses: cost grows by source times target times layers times heads."""

LONGEST_TRAINING = 500
"""Characters of the longest training text that Model 1 learns from."""

PAIRS_PER_BATCH = 32

CELLS_PER_PAIR = 2**14
"""Source times target tokens up to which pairs share a batch: longer ones would take much memory."""


class PairAttention(NamedTuple):
    """Cross-attention of one pair under teacher forcing.

    Attributes:
        source: the source as tokens, EOS left out.
        target: the target as tokens; only the first `steps - 1` were read.
        weights: `(layers, heads, steps, source tokens)`, EOS of the source last.
    """

    source: Encoding
    target: Encoding
    weights: NDArray[np.float32]


def cross_attention(
    model: TextToText[Any], examples: Sequence[Example], each: Each | None = None
) -> Iterator[PairAttention]:
    """Cross-attention of all layers and heads while the model is made to write each target.

    Args:
        model: the model.
        examples: sources and targets.
        each: calls functions of this model for batch after batch; `None` does so in this process.
    """
    chunks = [
        [examples[i] for i in range(first, min(first + PAIRS_PER_BATCH, len(examples)))]
        for first in range(0, len(examples), PAIRS_PER_BATCH)
    ]
    for pairs in (each or Here(model))(_attention_of_chunk, chunks):
        yield from pairs


def _attention_of_chunk(model: TextToText[Any], chunk: Sequence[Example]) -> list[PairAttention]:
    """Cross-attention of some pairs: of all at once, or of each alone where they are long."""
    sources = model.encode_sources([example.text for example in chunk])
    targets = model.target_tokenizer.encode_batch([example.target or "" for example in chunk])
    cells = max(len(source.ids) for source in sources) * (1 + max(map(len, targets)))
    step = PAIRS_PER_BATCH if cells <= CELLS_PER_PAIR else 1
    return [
        pair
        for row in range(0, len(chunk), step)
        for pair in _attention_of(model, sources[row : row + step], targets[row : row + step])
    ]


@torch.no_grad()
def _attention_of(
    model: TextToText[Any], sources: Sequence[EncodedSource], targets: Sequence[Encoding]
) -> Iterator[PairAttention]:
    """Cross-attention of a batch of pairs."""
    device = device_of(model.network)
    written = [
        model.target_ids(target, source.copy_ids)[:-1]
        for source, target in zip(sources, targets, strict=True)
    ]
    ids, lengths = pad_batch([source.ids for source in sources], device)
    target_ids, _ = pad_batch(written, device)
    with eval_mode(model.network):
        maps = model.network(ids, lengths, target_ids).maps["cross"]
    # Recurrent decoders have no heads: one, then.
    layers = [weights.dense().float().numpy(force=True) for weights in maps]
    stack = np.stack([w if w.ndim == 4 else w[:, None] for w in layers], axis=1)
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        weights = stack[row, :, :, : len(written[row]), : len(source.ids)]
        yield PairAttention(source.encoding, target, weights)


def choose_alignment_of(
    model: TextToText[Any], valid: Sequence[Example], train: Sequence[Example]
) -> AlignmentChoice:
    """Choose the cross-attention of a trained model that agrees best with IBM Model 1.

    Model 1 learns from the measured validation pairs and a part of the training pairs; the links on
    which both of its directions agree are taken as right.
    """
    measured = _short(model, _spread(valid, MEASURED_PAIRS))
    words: list[SentencePair] = []
    stacks: list[CrossAttentionStack] = []
    for pair in cross_attention(model, measured):
        source, source_words = _words(input_tokens(pair.source))
        target, target_words = _words(input_tokens(pair.target, end=False))
        words.append((source, target))
        stacks.append(CrossAttentionStack(pair.weights, source_words, target_words))
    for example in _spread(train, TRAINING_PAIRS):
        if max(len(example.text), len(example.target or "")) <= LONGEST_TRAINING:
            words.append((_split(example.text), _split(example.target or "")))
    layers, heads = model.network.cross_attention_shape
    return choose_alignment(stacks, ibm_model_1(words)[: len(stacks)], layers=layers, heads=heads)


def _spread(examples: Sequence[Example], count: int) -> list[Example]:
    """At most `count` examples, drawn evenly."""
    indices = np.unique(np.linspace(0, len(examples) - 1, count).astype(int))
    return [examples[int(index)] for index in indices]


def _short(model: TextToText[Any], examples: Sequence[Example]) -> list[Example]:
    """Examples whose texts are neither empty nor long."""
    positions = model.network.max_positions or LONGEST + 1
    longest = min(LONGEST, model.settings.text.max_tokens - 1, positions - 1)
    sources = model.source_tokenizer.encode_batch([example.text for example in examples])
    targets = model.target_tokenizer.encode_batch([example.target or "" for example in examples])
    return [
        example
        for example, *sides in zip(examples, sources, targets, strict=True)
        if all(0 < len(side) <= longest for side in sides)
    ]


def _words(tokens: Tokens) -> tuple[list[str], list[int]]:
    """Words of a text as views merge them, and the index of each token's word; -1 for none."""
    merged, words, indices = tokens.words().pieces, list[str](), list[int]()
    starts = tokens.word_starts()
    for word, start, end in zip(merged, starts, [*starts[1:], len(tokens)], strict=True):
        if tokens.special[start] or not word.strip():
            indices += [-1] * (end - start)
        else:
            indices += [len(words)] * (end - start)
            words.append(word.strip())
    return words, indices


def _split(text: str) -> list[str]:
    """Words of a text, as `_words` finds them."""
    words: dict[int, str] = {}
    for character, unit in zip(text, word_units(text), strict=True):
        if unit >= 0:
            words[unit] = words.get(unit, "") + character
    return list(words.values())
