"""Two models side by side: how differently their heads attend, beside what two seeds of one model differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

from regard.api.corpus.attention import AttentionReader, TextPair
from regard.api.corpus.compare_pass import ComparePass
from regard.api.corpus.comparison import ModelComparison
from regard.api.corpus.copies import ModelCopy
from regard.api.corpus.head_comparison import HeadComparison
from regard.api.corpus.pass_work import ComparePart
from regard.api.corpus.readers import AnyModel, reader_of_model
from regard.api.corpus.streaming import OnProgress, run_pass
from regard.api.corpus.texts import CorpusTexts, stream_texts, without_targets
from regard.api.heads import example_records, texts_were
from regard.api.load import load
from regard.api.tasks.model import Model
from regard.engines import Engine
from regard.errors import InputError
from regard.evaluation.heads.comparison import LayerSums, interval_of, news_of

__all__ = ["compare"]


def compare(
    first: AnyModel,
    second: AnyModel,
    texts: CorpusTexts,
    *,
    floor: AnyModel | None = None,
    state: str | PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
    engine: Engine | None = None,
) -> ModelComparison:
    r"""Measure how differently two models attend to the same texts, head by head.

    For each layer and head: the Jensen-Shannon distance of the two rows of weights, averaged over queries,

    .. math:: d(p, q) = \sqrt{H_2\left(\tfrac{p + q}{2}\right) - \tfrac{1}{2} H_2(p) - \tfrac{1}{2} H_2(q)}

    (base 2: 0 for equal rows, 1 for disjoint ones; Endres and Schindelin 2003), and how often the strongest key
    is the same; over the texts, how often the answers are equal. Two seeds of one model also differ. Given as
    `floor`, another seed of the first model says by how much, on the same queries (`news_of` has the rule).
    Heads have no order, so head 3 of one seed need not do what head 3 of another does: the head of the same
    layer that attends most alike is named, too.

    Models that cut texts into different tokens are compared by words: weights are summed over the tokens of a
    key and averaged over those of a query, special tokens being one key of their own.

    Args:
        first: a model or its folder.
        second: another one.
        texts: a file with a text per line (or a table), or texts; for models that write also pairs of source
            and target. Without targets, both read what the first one writes.
        floor: another seed of the first model.
        state: file that keeps the state of the pass, so that an interrupted one goes on.
        on_progress: called with the number of texts that are done.
        engine: who reads the texts, such as `regard.engines.RayEngine`; `None` is this process. The figures
            are the same.

    Raises:
        InputError: models that cannot be compared: one writes and the other reads, their attention is of
            different kinds, or no text is cut at common words.
        DataError: a line that cannot be used.
        Interrupted: by a signal, after the state was saved.
    """
    models = [
        each if isinstance(each, Model) else load(each)
        for each in (first, second, *([] if floor is None else [floor]))
    ]
    readers = [reader_of_model(model) for model in models]
    if len({reader.takes_targets for reader in readers}) > 1:
        kinds = [
            f"{reader.name} {'writes a text for a text' if reader.takes_targets else 'reads a text'}"
            for reader in readers
        ]
        raise InputError(
            f"{', '.join(kinds)}: they read different things, so they cannot be compared"
        )
    settings = {"verb": "compare"}
    if state is not None:
        names = ("first model", "second model", "floor")
        prints = [reader.fingerprint() for reader in readers]
        settings |= dict(zip(names, prints, strict=False))
    found = run_pass(
        lambda kept: ComparePass(readers, kept),
        stream_texts(texts)
        if readers[0].takes_targets
        else without_targets(stream_texts(texts), readers[0].name),
        None,
        path=None if state is None else Path(state),
        settings=settings,
        on_progress=on_progress,
        engine=engine,
        work=lambda files: ComparePart(
            tuple(ModelCopy.of(model, files=files) for model in models), {}
        ),
    )
    if not found.counts["texts"]:
        raise InputError(
            f"no text can be compared: {found.counts['blank']:,} without any token, {found.counts['unlike']:,} "
            "that the models do not cut at common words, or of which one reads less than the other"
        )
    return _comparison(readers, found)


def _comparison(readers: Sequence[AttentionReader], found: ComparePass) -> ModelComparison:
    """The comparison of a pass."""
    answers = [interval_of(sums, (0,)) for sums in found.answers]
    examples = []
    if found.example is not None:
        pair = TextPair(*found.example[1:])
        if pair.target is None and readers[0].takes_targets:
            pair = TextPair(pair.text, readers[0].encode([pair])[0].written)
        examples.append(tuple(next(iter(example_records(r, [pair]))) for r in readers[:2]))
    names = [reader.name for reader in readers]
    return ModelComparison(
        names[0],
        names[1],
        names[2] if len(names) > 2 else None,
        found.unit,
        found.counts["texts"],
        tuple(_heads(found)),
        tuple(_layers(found)),
        answers[0],
        answers[1] if len(answers) > 1 else None,
        tuple(_notes(readers, found)),
        tuple(examples),
    )


def _heads(found: ComparePass) -> Iterator[HeadComparison]:
    """A result for each head of the first model."""
    for site, layers in found.layers.items():
        for layer, heads in enumerate(layers[0]):
            sums = found.sums.get((site, layer))
            for head in range(heads):
                if sums is None:
                    yield HeadComparison(site, layer + 1, head + 1, None)
                else:
                    yield _head(sums, site, layer, head)


def _head(sums: LayerSums, site: str, layer: int, head: int) -> HeadComparison:
    other, nearest = sums.nearest(head)
    distance, difference = sums.same(head, "distance"), sums.same(head, "difference")
    return HeadComparison(
        site,
        layer + 1,
        head + 1,
        distance,
        sums.same(head, "agreement"),
        (other + 1, nearest),
        sums.same(head, "floor"),
        difference,
        None if distance is None else news_of(distance, difference, sums.floors()),
    )


def _layers(found: ComparePass) -> Iterator[HeadComparison]:
    """A result for each layer of the first model."""
    for site, layers in found.layers.items():
        for layer in range(len(layers[0])):
            sums = found.sums.get((site, layer))
            if sums is None:
                yield HeadComparison(site, layer + 1, None, None)
                continue
            yield HeadComparison(
                site,
                layer + 1,
                None,
                sums.whole("layer"),
                floor=sums.whole("floor_layer"),
                difference=sums.whole("difference_layer"),
            )


def _notes(readers: Sequence[AttentionReader], found: ComparePass) -> Iterator[str]:
    """What else to know about a comparison."""
    for site, layers in found.layers.items():
        depths = [len(each) for each in layers]
        if len(set(depths)) > 1:
            shown = ", ".join(f"{r.name} {d}" for r, d in zip(readers, depths, strict=True))
            yield f"Layers of {site}: {shown}; only the first {min(depths)} are compared, by their numbers."
    counts = found.counts
    if counts["blank"]:
        yield f"{texts_were(counts['blank'], 'without any token')} left out."
    if counts["unlike"]:
        what = "that the models cut or end differently"
        yield f"{texts_were(counts['unlike'], what)} left out."
    if counts["cut"]:
        yield f"{texts_were(counts['cut'])} cut to what a model reads."
    if counts["texts"] < 2:
        yield "One text has no intervals; nothing is news."
