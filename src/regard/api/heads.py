"""Heads over a corpus: what each attention head of a model does, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from regard.api.corpus.attention import AttentionReader, TextPair
from regard.api.corpus.copies import ModelCopy
from regard.api.corpus.head_report import HeadReport
from regard.api.corpus.head_result import HeadResult
from regard.api.corpus.heads_pass import HeadsPass
from regard.api.corpus.links import stream_links
from regard.api.corpus.pass_work import HeadsPart
from regard.api.corpus.readers import AnyModel, reader_of_model
from regard.api.corpus.streaming import OnProgress, run_pass
from regard.api.corpus.texts import CorpusTexts, stream_texts, without_targets
from regard.api.load import load
from regard.api.tasks.model import Model
from regard.api.tasks.records import make_record
from regard.attention.statistics import Statistic
from regard.engines import Engine
from regard.errors import InputError
from regard.evaluation.heads.links import DIRECTIONS
from regard.evaluation.heads.rules import judge
from regard.evaluation.heads.statistics import STATISTICS
from regard.files import file_sha256
from regard.viewing import AttentionRecord

__all__ = ["example_records", "heads", "texts_were"]


def heads(
    model: AnyModel,
    texts: CorpusTexts,
    *,
    links: str | PathLike[str] | None = None,
    statistics: Mapping[str, Statistic] | None = None,
    state: str | PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
    engine: Engine | None = None,
) -> HeadReport:
    """Measure what every attention head does over a corpus, in one pass and in memory that does not grow.

    For each layer and head: entropy, distance, and its share of attention on the first token, separators, the
    previous, same and next token, other occurrences of the word (duplicate), what followed them (induction) and
    punctuation, each as a mean over queries with a 95 % interval over texts; and the kind of head that rules of
    Voita et al. 2019, Clark et al. 2019 and Olsson et al. 2022 make of it (docs/heads.md).

    Example::

        report = regard.heads("runs/language", "corpus.txt")
        report.show()
        report.save("heads.html")

    Args:
        model: a model or its folder, also one that `save_pretrained` of transformers wrote.
        texts: a file with a text per line (or a table), or texts; for a model that writes a text for a text
            also pairs of source and target. Without targets it writes its own answers, greedily.
        links: file of given links `i-j`, a line for each text, words separated by spaces and counted from 0:
            of self-attention from word `i` to the word `j` it depends on, of cross-attention from word `i` of
            the source to word `j` of the target.
        statistics: of `regard.statistics` or of your own, by the name they get in the report: each has one
            number for a query, computed from NumPy arrays of weights (there are no scores). Their means over
            queries stand beside the others in `HeadResult.values` and in the table.
        state: file that keeps the state of the pass, so that an interrupted one goes on.
        on_progress: called with the number of texts that are done.
        engine: who reads the texts, such as `regard.engines.RayEngine`; `None` is this process. The figures
            are the same.

    Raises:
        InputError: no text that can be read, a model whose attention is not between tokens, a state of
            another model or of other texts, or a statistic without one finite number for each query.
        DataError: a line that cannot be used.
        Interrupted: by a signal, after the state was saved.
    """
    statistics = dict(statistics or {})
    _check_names(statistics)
    model = model if isinstance(model, Model) else load(model)
    reader = reader_of_model(model)
    settings = {"verb": "heads"}
    if state is not None:
        settings["model"] = reader.fingerprint()
        if statistics:
            settings["statistics"] = repr(
                {name: _facts_of(one) for name, one in statistics.items()}
            )
        settings["file of links"] = "" if links is None else file_sha256(links)
    found = run_pass(
        lambda kept: HeadsPass(reader, kept, statistics),
        stream_texts(texts)
        if reader.takes_targets
        else without_targets(stream_texts(texts), reader.name),
        None if links is None else stream_links(links),
        path=None if state is None else Path(state),
        settings=settings,
        on_progress=on_progress,
        engine=engine,
        work=lambda files: HeadsPart((ModelCopy.of(model, files=files),), {}, statistics),
    )
    if not found.sums:
        raise InputError(
            f"{found.counts['blank']:,} texts and none that can be read; expected one that is not blank"
            if not found.counts["texts"]
            else f"{reader.name} shows no attention between tokens, so there are no heads to measure"
        )
    return _report(reader, found)


def _check_names(statistics: Mapping[str, Statistic]) -> None:
    """Refuse what is no statistic, and names that others have."""
    taken = {*STATISTICS, *DIRECTIONS}
    for name, statistic in statistics.items():
        if not isinstance(statistic, Statistic):
            raise InputError(
                f"statistics[{name!r}] is {statistic!r}; expected an object of a subclass of "
                "regard.statistics.Statistic"
            )
        if name in taken:
            raise InputError(f"there is a statistic {name!r} in every report; choose another name")


def _facts_of(statistic: Statistic) -> tuple[str, str]:
    """Class and attributes of a statistic, as a state of a pass is compared with."""
    return type(statistic).__qualname__, repr(sorted(vars(statistic).items()))


def _report(reader: AttentionReader, found: HeadsPass) -> HeadReport:
    """The report of a pass."""
    pairs, by_interest = found.examples.chosen()
    results = []
    for site, layers in found.layers.items():
        places = [(layer, head) for layer, count in enumerate(layers, 1) for head in range(count)]
        for (layer, head), values in zip(places, found.sums[site].values(), strict=True):
            judged = judge(values)
            example = by_interest.get(judged.kind, by_interest.get("typical"))
            results.append(HeadResult(site, layer, head + 1, values, judged, example))
    return HeadReport(
        reader.name,
        found.counts["texts"],
        found.counts["tokens"],
        tuple(results),
        tuple(_notes(found)),
        tuple(example_records(reader, pairs)),
    )


def _notes(found: HeadsPass) -> Iterable[str]:
    """What else to know about a pass."""
    counts = found.counts
    if counts["blank"]:
        yield f"{texts_were(counts['blank'], 'without any token')} left out."
    if counts["cut"]:
        yield f"{texts_were(counts['cut'])} cut to what the model reads."
    if counts["unlinked"]:
        yield f"{texts_were(counts['unlinked'])} too long to be compared with links."
    if counts["texts"] < 2:
        yield "One text has no intervals; nothing is sure."


def texts_were(count: int, kind: str = "") -> str:
    """The beginning of a sentence about some texts.

    >>> texts_were(1, "that is blank"), texts_were(1200)
    ('1 text that is blank was', '1,200 texts were')
    """
    noun = f"{count:,} text{'' if count == 1 else 's'}"
    return " ".join(filter(None, [noun, kind, "was" if count == 1 else "were"]))


def example_records(
    reader: AttentionReader, pairs: Iterable[TextPair]
) -> Iterable[AttentionRecord]:
    """Record of the attention of all sites for each of a few texts."""
    for pair in pairs:
        (text,) = reader.encode([pair])
        batch = reader.read([text])
        sites = {site.name for site in batch.sites()}
        yield make_record(
            {name: layers for name, layers in batch.maps.items() if name in sites},
            {name: axis.tokens for name, axis in text.axes.items()},
            title=pair.text,
        )
