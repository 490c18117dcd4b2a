"""Trust: how far the attention of a model may be read as the reason for its answers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from typing import Any

import numpy as np
import torch

from regard.api.evaluate import reader_of
from regard.api.examples import Data
from regard.api.load import load
from regard.api.storage.verdict import save_verdict
from regard.api.tasks.classification import Classifier
from regard.api.tasks.extractive import ExtractiveSummarizer
from regard.api.tasks.model import Model, device_of, pad_batch
from regard.api.tasks.text_to_text import TextToText
from regard.data import Example, Labelled, Pairs, ReadOptions
from regard.errors import InputError, RegardError
from regard.evaluation.alignment.cross_attention import CrossAttention, words_of_pieces
from regard.evaluation.alignment.links import Gold, read_gold
from regard.evaluation.alignment.verdict import AlignmentVerdict, judge_alignment
from regard.evaluation.faithfulness.adapters import adapt_classifier
from regard.evaluation.faithfulness.contracts import TrustSettings
from regard.evaluation.faithfulness.extractive import trust_extraction
from regard.evaluation.faithfulness.trust import trust as trust_classifier
from regard.evaluation.faithfulness.verdict import Verdict
from regard.text import BOS

__all__ = ["trust"]


def trust(
    model: Model | str | PathLike[str],
    test: Data,
    *,
    gold: str | PathLike[str] | None = None,
    texts: int = 200,
    columns: Labelled | Pairs | None = None,
    read_options: ReadOptions | None = None,
    settings: TrustSettings | None = None,
) -> Verdict | AlignmentVerdict:
    """Measure how far the attention of a model explains its answers; see `docs/trust.md`.

    For a classifier, tokens are erased and attention weights shuffled; so for a model that extracts
    sentences, with the words of the sentence it picks. For a model that writes a text for a text,
    cross-attention is compared with word links that people drew. The verdict is saved in the model's
    folder, and every view of the model shows it; a warning says so if the folder cannot be written to.

    Args:
        model: or its folder.
        test: files or examples. For a translator, words and punctuation are separated by spaces, as the
            gold links count them.
        gold: links for a translator, a line for each pair: `i-j` sure, `ipj` possible, from 1.
        texts: largest number of texts, drawn evenly from the test part; a translator takes all.
        columns: of tables; `None` as in training.
        read_options: encoding and separator; `None` as in training.
        settings: how thoroughly to measure, without gold links.

    Raises:
        InputError: a language model; gold links that are missing, needless or for other pairs.
    """
    model = model if isinstance(model, Model) else load(model)
    if model.task == "language":
        raise InputError(
            "a language model gives no one answer that attention could be the reason for, so it has "
            "no verdict; 'regard look' shows what it attends to, and trust takes classifiers, "
            "extractive summarisers, and translators"
        )
    links = _read_links(model, gold)
    if texts < 1:
        raise InputError(f"texts is {texts}; expected at least 1")
    examples = reader_of(model, columns, read_options).read(test)
    verdict: Verdict | AlignmentVerdict
    if isinstance(model, TextToText):
        verdict = _judge_alignment(model, examples, links)
    else:
        count = min(texts, len(examples))
        drawn = np.unique(np.linspace(0, len(examples) - 1, count).astype(int))
        verdict = _judge_faithfulness(model, [examples[int(index)] for index in drawn], settings)
    if model.folder:
        try:
            save_verdict(model.folder, asdict(verdict))
        except RegardError as error:  # a file beside the model is not worth minutes of work
            warnings.warn(f"the verdict is not kept: {error}", stacklevel=2)
    return verdict


def _read_links(model: Model, gold: str | PathLike[str] | None) -> list[Gold]:
    """Gold links, which a model that writes needs and no other takes."""
    if not model.writes:
        if gold is not None:
            raise InputError("gold links are for models that write; this one takes none")
        return []
    if gold is None:
        what = "translator" if model.task == "translation" else "summariser that writes"
        raise InputError(
            f"a {what} needs gold links to be compared with; give gold=... (--gold): which word of the one "
            "text comes from which of the other"
        )
    return read_gold(gold)


def _judge_faithfulness(
    model: Model, examples: Sequence[Example], settings: TrustSettings | None
) -> Verdict:
    """Verdict on a model that reads: erased tokens, changed weights."""
    assert isinstance(model, Classifier | ExtractiveSummarizer)
    surfaces = model.tokenizer.spelling

    def id_to_token(token: int) -> str:
        return surfaces[token].strip()

    if isinstance(model, ExtractiveSummarizer):
        documents = [model.sentence_ids(example.sentences) for example in examples]
        return trust_extraction(
            model.network, documents, settings=settings, id_to_token=id_to_token
        )
    encodings = model.tokenizer.encode_batch([example.text for example in examples])
    limit = model.settings.text.max_tokens
    adapter = adapt_classifier(model.network, multilabel=model.multilabel)
    texts = [encoding.ids[:limit] for encoding in encodings]
    return trust_classifier(adapter, texts, settings=settings, id_to_token=id_to_token)


@torch.no_grad()
def _judge_alignment(
    model: TextToText[Any], examples: Sequence[Example], links: Sequence[Gold]
) -> AlignmentVerdict:
    """Verdict on a model that writes: its cross-attention, under teacher forcing, beside gold links."""
    if len(links) != len(examples):
        raise InputError(f"{len(links)} lines of gold links for {len(examples)} sentence pairs")
    device, layers = device_of(model.network), list[list[CrossAttention]]()
    for example in examples:
        source = model.encode_sources([example.text])[0]
        target = model.target_tokenizer.encode(example.target or "")
        ids, lengths = pad_batch([source.ids], device)
        target_ids, _ = pad_batch([[BOS, *target.ids]], device)
        maps = model.network(ids, lengths, target_ids).maps["cross"]
        layers = layers or [[] for _ in maps]
        source_words = words_of_pieces(example.text, source.encoding.offsets)
        source_words = [*source_words[: len(source.ids) - 1], -1]  # EOS belongs to no word
        target_words = words_of_pieces(example.target or "", target.offsets)
        for layer, weights in zip(layers, maps, strict=True):
            steps = weights.dense()[0].double()
            steps = steps.mean(0) if steps.ndim == 3 else steps  # recurrent decoders have no heads
            layer.append(CrossAttention(steps.numpy(force=True), source_words, target_words))
    pairs = [(example.text.split(), (example.target or "").split()) for example in examples]
    return judge_alignment(layers, pairs, links)
