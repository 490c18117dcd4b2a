"""The texts of a corpus, streamed from files or from memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from regard.api.corpus.attention import TextPair
from regard.data import ReadOptions, Texts
from regard.data.inputs import read_inputs
from regard.data.streams import STANDARD_INPUT
from regard.errors import DataError, InputError

__all__ = ["CorpusFiles", "CorpusTexts", "stream_texts", "text_count", "without_targets"]


@dataclass(frozen=True)
class CorpusFiles:
    """Files of a corpus.

    Attributes:
        names: one file of texts, or two whose lines belong together: sources and targets.
        columns: of tables: where the text is.
        options: encoding, separator and more.
    """

    names: tuple[str, ...]
    columns: Texts = field(default_factory=Texts)
    options: ReadOptions = field(default_factory=ReadOptions)


CorpusTexts: TypeAlias = str | PathLike[str] | CorpusFiles | Iterable[str | tuple[str, str]]
"""Name of a file with a text per line or of a table; or the texts themselves; or pairs of source and target."""


def stream_texts(texts: CorpusTexts) -> Iterator[TextPair]:
    """Yield every text once, blank ones included.

    Raises:
        DataError: a file that cannot be read, or two files of different length.
        InputError: values that are no texts.
    """
    if isinstance(texts, str | PathLike):
        texts = CorpusFiles((str(texts),))
    if isinstance(texts, CorpusFiles):
        yield from _from_files(texts)
        return
    for number, each in enumerate(texts, 1):
        if isinstance(each, str):
            yield TextPair(each)
        elif isinstance(each, tuple) and len(each) == 2 and all(isinstance(x, str) for x in each):
            yield TextPair(*each)
        else:
            raise InputError(
                f"text {number} is {each!r}; expected a string, or a pair of strings: source and target"
            )


def without_targets(texts: Iterator[TextPair], name: str) -> Iterator[TextPair]:
    """Yield the texts for a model that writes none.

    Args:
        texts: all texts.
        name: of the model.

    Raises:
        InputError: a text has a target.
    """
    for text in texts:
        if text.target is not None:
            raise InputError(
                f"{name} reads a text and writes none, so it takes no targets; give texts alone, in one file"
            )
        yield text


def text_count(texts: CorpusTexts) -> int | None:
    """Number of texts, for the time that is left; `None` if only reading would tell and cannot be repeated."""
    if isinstance(texts, str | PathLike):
        texts = CorpusFiles((str(texts),))
    if isinstance(texts, CorpusFiles):
        if texts.names[0] == STANDARD_INPUT or not Path(texts.names[0]).is_file():
            return None
        return sum(1 for _ in _inputs(texts, texts.names[0]))
    return len(texts) if isinstance(texts, Sequence) else None


def _from_files(files: CorpusFiles) -> Iterator[TextPair]:
    if not 1 <= len(files.names) <= 2:
        raise InputError(
            f"{len(files.names)} files ({', '.join(files.names)}); expected one of texts, or two: "
            "sources and targets"
        )
    if len(files.names) == 1:
        yield from (TextPair(text) for text in _inputs(files, files.names[0]))
        return
    sources, targets = (_inputs(files, name) for name in files.names)
    for number, source in enumerate(sources, 1):
        target = next(targets, None)
        if target is None:
            raise DataError(
                f"ends before line {number}, which {files.names[0]} has",
                path=files.names[1],
                remedy="both files must have a line for each pair",
            )
        yield TextPair(source, target)
    if next(targets, None) is not None:
        raise DataError(
            f"ends before {files.names[1]}",
            path=files.names[0],
            remedy="both files must have a line for each pair",
        )


def _inputs(files: CorpusFiles, name: str) -> Iterator[str]:
    import sys

    opened = sys.stdin.buffer if name == STANDARD_INPUT else name
    for each in read_inputs(opened, files.columns, files.options):
        yield each.text
