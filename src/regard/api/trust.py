"""How far what a model attends to may be read as the reason for its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from typing import Any

import numpy as np
import torch

from regard.api.base import Model, device_of, padded
from regard.api.classification import Classifier
from regard.api.folder import read_config
from regard.api.load import load
from regard.api.reading import Data, Source
from regard.api.translation import TextToText
from regard.api.verdict import keep_verdict
from regard.data import Example, Labelled, Pairs, Reading
from regard.errors import InputError
from regard.evaluation.alignment import read_gold
from regard.evaluation.alignment_attention import (
    AlignmentVerdict,
    CrossAttention,
    judge_alignment,
    words_of_pieces,
)
from regard.evaluation.faithfulness import TrustSettings, Verdict
from regard.evaluation.faithfulness import trust as ask
from regard.evaluation.faithfulness_models import explained
from regard.text import BOS

__all__ = ["trust"]


def trust(
    model: Model | str | PathLike[str],
    test: Data,
    *,
    gold: str | PathLike[str] | None = None,
    texts: int = 200,
    columns: Labelled | Pairs | None = None,
    reading: Reading | None = None,
    settings: TrustSettings | None = None,
) -> Verdict | AlignmentVerdict:
    """Ask how far the attention of a model explains its answers; see `docs/trust.md`.

    A classifier is asked with tokens taken out and weights shuffled; a translator by how its
    cross-attention agrees with word links that people drew. The verdict is kept in the model's
    folder, so that every view of it can say so.

    Args:
        model: or its folder.
        test: files or examples. Of a translator, words and signs apart, as the gold links count
            them.
        gold: links for a translator, a line for each pair: `i-j` sure, `ipj` possible, from 1.
        texts: at most so many, drawn evenly from the test part; a classifier only.
        columns: of tables; `None` as in training.
        reading: encoding and separator; `None` as in training.
        settings: how thoroughly to ask a classifier.

    Raises:
        InputError: a model of another task, or one that may give a text several labels; gold links
            that are missing, needless or for other pairs.
    """
    model = model if isinstance(model, Model) else load(model)
    data = read_config(model.folder)["data"] if model.folder else {}
    trained = Source.from_json(model.settings.task, data)
    examples = Source(trained.task, columns or trained.columns, reading or trained.reading).read(
        test
    )
    verdict = (
        _of_classifier(model, examples, texts, settings, gold)
        if isinstance(model, Classifier)
        else _of_translator(model, examples, gold)
    )
    if model.folder:
        keep_verdict(model.folder, asdict(verdict))
    return verdict


def _of_classifier(
    model: Classifier,
    examples: Sequence[Example],
    texts: int,
    settings: TrustSettings | None,
    gold: Any,
) -> Verdict:
    if gold is not None:
        raise InputError("gold links are for translators; a classifier is asked without")
    if model.several:
        raise InputError(
            "this model may give a text several labels; trust asks those that give one"
        )
    if texts < 1:
        raise InputError(f"texts is {texts}; expected at least 1")
    chosen = np.unique(np.linspace(0, len(examples) - 1, min(texts, len(examples))).astype(int))
    encodings = model.tokenizer.encode_batch([examples[int(i)].text for i in chosen])
    limit = model.settings.text.max_tokens
    surfaces = model.tokenizer.spelling
    return ask(
        explained(model.network),
        [encoding.ids[:limit] for encoding in encodings],
        settings=settings,
        spell=lambda token: surfaces[token].strip(),
    )


@torch.no_grad()
def _of_translator(model: Model, examples: Sequence[Example], gold: Any) -> AlignmentVerdict:
    if not isinstance(model, TextToText):
        raise InputError(
            f"a model for {model.settings.task} has no verdict; expected a classifier or a translator"
        )
    if gold is None:
        raise InputError("a translator needs gold links to be held against; give gold=... (--gold)")
    links = read_gold(gold)
    if len(links) != len(examples):
        raise InputError(f"{len(links)} lines of gold links for {len(examples)} sentence pairs")
    device, layers = device_of(model.network), list[list[CrossAttention]]()
    for example in examples:
        source = model.read([example.text])[0]
        target = model.target.encode(example.target or "")
        ids, lengths = padded([source.ids], device)
        written, _ = padded([[BOS, *target.ids]], device)
        maps = model.network(ids, lengths, written).maps["cross"]
        layers = layers or [[] for _ in maps]
        source_words = words_of_pieces(example.text, source.encoding.offsets)
        source_words = [*source_words[: len(source.ids) - 1], -1]
        target_words = words_of_pieces(example.target or "", target.offsets)
        for layer, weights in zip(layers, maps, strict=True):
            steps = weights.dense()[0].mean(0).double().numpy(force=True)
            layer.append(CrossAttention(steps, source_words, target_words))
    pairs = [(example.text.split(), (example.target or "").split()) for example in examples]
    return judge_alignment(layers, pairs, links)
