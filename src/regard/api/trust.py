"""Trust: how far the attention of a model may be read as the reason for its answers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from typing import Any

import numpy as np

from regard.api.corpus.each import each_of, itself
from regard.api.evaluate import reader_of
from regard.api.examples import Data, Tables
from regard.api.load import load
from regard.api.storage.verdict import TRUST_FILE, save_verdict
from regard.api.tasks.alignment import cross_attention
from regard.api.tasks.classification import Classifier
from regard.api.tasks.extractive import ExtractiveSummarizer
from regard.api.tasks.model import Model
from regard.api.tasks.text_to_text import TextToText
from regard.choices import FirstIndex
from regard.data import Corpus, Example, ReadOptions
from regard.engines import Engine
from regard.errors import InputError, RegardError
from regard.evaluation.alignment.cross_attention import CrossAttention, words_of_pieces
from regard.evaluation.alignment.gold import GoldFile, read_gold_file
from regard.evaluation.alignment.verdict import AlignmentVerdict, judge_alignment
from regard.evaluation.faithfulness.adapters import adapt_classifier
from regard.evaluation.faithfulness.contracts import ExplainableClassifier, TrustSettings
from regard.evaluation.faithfulness.extractive import ExtractiveAdapter, trust_extraction
from regard.evaluation.faithfulness.trust import trust as trust_classifier
from regard.evaluation.faithfulness.verdict import Verdict

__all__ = ["trust"]


def trust(
    model: Model | str | PathLike[str],
    test: Data,
    *,
    gold: str | PathLike[str] | None = None,
    gold_from: FirstIndex | None = None,
    texts: int = 200,
    columns: Tables | None = None,
    read_options: ReadOptions | None = None,
    settings: TrustSettings | None = None,
    engine: Engine | None = None,
) -> Verdict | AlignmentVerdict:
    """Measure how far the attention of a model explains its answers; see `docs/trust.md`.

    For a classifier, tokens are erased and attention weights shuffled; so for a model that extracts
    sentences, with the words of the sentence it picks. For a model that writes a text for a text,
    cross-attention is compared with word links that people drew. The verdict is saved in the model's
    folder, and every view of the model shows it; a warning says so if the folder cannot be written to.

    Args:
        model: or its folder.
        test: files or examples; a model that reads needs texts alone, without labels. For a translator,
            words and punctuation are separated by spaces, as the gold links count them.
        gold: links for a translator: a line for each pair with `i-j` (sure) and `ipj` or `i?j`
            (possible), or a line `pair source target S` (or P) for each link (NAACL 2003).
        gold_from: number of the first word of a sentence in `gold`; `None` takes 0 if a link shows
            it, else 1. The verdict says which.
        texts: largest number of texts, drawn evenly from the test part; a translator takes all.
        columns: of tables; `None` as in training.
        read_options: encoding and separator; `None` as in training.
        settings: how thoroughly to measure, without gold links.
        engine: who runs the model, such as `regard.engines.RayEngine`; `None` is this process. Draws and
            batches are the same.

    Raises:
        InputError: a language model; gold links that are missing or needless.
        DataError: gold links of other pairs, or to words that a pair does not have.
    """
    model = model if isinstance(model, Model) else load(model)
    if model.task == "language":
        raise InputError(
            "a language model gives no one answer that attention could be the reason for, so it has "
            "no verdict; 'regard look' shows what it attends to, and trust takes classifiers, "
            "extractive summarisers, and translators"
        )
    links = _read_links(model, gold, gold_from)
    if texts < 1:
        raise InputError(f"texts is {texts}; expected at least 1")
    reader = reader_of(model, columns, read_options, data=test)
    verdict: Verdict | AlignmentVerdict
    if isinstance(model, TextToText):
        assert links is not None
        verdict = _judge_alignment(model, reader.read(test), links, engine)
    else:
        text = None if columns is None else next(iter(columns.roles.values()))
        examples = reader.read_texts(test, text=text, labels=model.labels)
        count = min(texts, len(examples))
        drawn = np.unique(np.linspace(0, len(examples) - 1, count).astype(int))
        chosen = [examples[int(index)] for index in drawn]
        verdict = _judge_faithfulness(model, chosen, settings, engine)
    if model.folder:
        try:
            kept = save_verdict(model.folder, asdict(verdict), weights=model.weights)
            model.files[TRUST_FILE] = kept
        except RegardError as error:  # a file beside the model is not worth minutes of work
            warnings.warn(f"the verdict is not kept: {error}", stacklevel=2)
    return verdict


def _read_links(
    model: Model, gold: str | PathLike[str] | None, first: FirstIndex | None
) -> GoldFile | None:
    """Gold links, which a model that writes needs and no other takes."""
    if not model.writes:
        if gold is not None:
            raise InputError("gold links are for models that write; this one takes none")
        return None
    if gold is None:
        what = "translator" if model.task == "translation" else "summariser that writes"
        raise InputError(
            f"a {what} needs gold links to be compared with; give gold=... (--gold): which word of the one "
            "text comes from which of the other"
        )
    return read_gold_file(gold, first=first)


def _judge_faithfulness(
    model: Model,
    examples: Sequence[Example],
    settings: TrustSettings | None,
    engine: Engine | None,
) -> Verdict:
    """Verdict on a model that reads: erased tokens, changed weights."""
    assert isinstance(model, Classifier | ExtractiveSummarizer)
    surfaces = model.tokenizer.spelling
    each = None if engine is None else each_of(model, engine, _adapter_of)

    def id_to_token(token: int) -> str:
        return surfaces[token].strip()

    if isinstance(model, ExtractiveSummarizer):
        documents = [model.sentence_ids(example.sentences) for example in examples]
        return trust_extraction(
            model.network, documents, settings=settings, id_to_token=id_to_token, each=each
        )
    encodings = model.tokenizer.encode_batch([example.text for example in examples])
    limit = model.settings.text.max_tokens
    adapter = adapt_classifier(model.network, multilabel=model.multilabel, each=each)
    texts = [encoding.first(limit).ids for encoding in encodings]
    return trust_classifier(adapter, texts, settings=settings, id_to_token=id_to_token)


def _adapter_of(model: Classifier | ExtractiveSummarizer) -> ExplainableClassifier:
    """A model that reads as it is examined, in a worker."""
    if isinstance(model, ExtractiveSummarizer):
        return ExtractiveAdapter(model.network)
    return adapt_classifier(model.network, multilabel=model.multilabel)


def _judge_alignment(
    model: TextToText[Any], examples: Sequence[Example], links: GoldFile, engine: Engine | None
) -> AlignmentVerdict:
    """Verdict on a model that writes: its cross-attention, under teacher forcing, beside gold links."""
    pairs = [(example.text.split(), (example.target or "").split()) for example in examples]
    report = examples.report if isinstance(examples, Corpus) else None
    if report is not None and report.skipped and len(report.files) == 2:
        # The links are of all lines, also of those that were left out (blank ones).
        numbers = [example.origin[1] - 1 for example in examples]
        gold = links.gold_of(pairs, numbers, count=report.lines)
    else:
        gold = links.gold_of(pairs)
    each = None if engine is None else each_of(model, engine, itself)
    layers: list[list[CrossAttention]] = []
    for example, pair in zip(examples, cross_attention(model, examples, each), strict=True):
        layers = layers or [[] for _ in pair.weights]
        source_words = words_of_pieces(example.text, pair.source.offsets)
        source_words = [*source_words[: pair.weights.shape[-1] - 1], -1]  # EOS belongs to no word
        target_words = words_of_pieces(example.target or "", pair.target.offsets)
        target_words = target_words[: pair.weights.shape[-2] - 1]
        for layer, weights in zip(layers, pair.weights.astype(np.float64).mean(1), strict=True):
            layer.append(CrossAttention(weights, source_words, target_words))
    return judge_alignment(layers, pairs, gold, links=str(links))
