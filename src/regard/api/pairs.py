"""Pairs of texts for the models that read them: from a command line and from tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from regard.api.tasks.classification import Classifier
from regard.api.tasks.encoding import Encoder
from regard.api.tasks.model import Model
from regard.data import Labelled, Pairs, Texts
from regard.data.columns import Columns
from regard.errors import InputError
from regard.text import SentencePair

C = TypeVar("C", bound=Labelled | Pairs | Texts)

__all__ = ["check_text_columns", "paired", "with_usual_pairs"]


def paired(model: Model, text: str, second: str | None) -> str:
    """A text, or both of a pair.

    Args:
        model: that is to read it.
        text: the text, or the first of the pair.
        second: the second of the pair; `None` for one text.

    Raises:
        InputError: a pair for a model that reads one text.
    """
    if second is None:
        return text
    if not isinstance(model, Classifier | Encoder) or not model.reads_pairs:
        raise InputError(
            f"{model!r} reads one text at a time, and a pair would be read as one; leave the second text "
            "out (--pair)"
        )
    return SentencePair(text, second)


def with_usual_pairs(model: Model, columns: C) -> C:
    """Columns that are looked for by the usual names of pairs, too, if a pretrained model reads pairs.

    What our own models read is what they were trained on.

    Raises:
        InputError: more columns of text than a pretrained model reads.
    """
    reads = isinstance(model, Classifier) and model.tokenizer.marks_pairs
    if not reads or not isinstance(columns, Labelled | Texts):
        return columns
    check_text_columns(columns.text)
    return replace(columns, pairs=True)


def check_text_columns(text: Columns | None) -> None:
    """Refuse more than two columns of text, which a pretrained model would read glued together.

    Raises:
        InputError: three or more.
    """
    parts = text.split(",") if isinstance(text, str) else [text] if isinstance(text, int) else text
    if parts is not None and len(parts) > 2:
        raise InputError(
            f"{len(parts)} columns of text ({', '.join(map(str, parts))}); a pretrained model reads one "
            "text, or two as a pair: name one or two (--source)"
        )
