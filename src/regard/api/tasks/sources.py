"""Source texts as a network reads them: ids and tokens, cut where they are too long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from regard.api.tasks.answers import cut_note
from regard.api.tasks.tokens import input_tokens
from regard.models import AlignmentSettings
from regard.text import EOS, Encoding
from regard.viewing import Tokens

__all__ = ["EncodedSource", "cut_source", "source_tokens"]


class EncodedSource(NamedTuple):
    """Source text as the network reads it.

    Attributes:
        encoding: of the text.
        ids: that the network reads, EOS at the end.
        copy_ids: ids past the vocabulary, by word, of words that only this text has; for a network
            that copies.
        prefix_tokens: tokens of the prefix that its answer was made to begin with.
        note: sentence that the network reads less than the text, if so.
        replaces: whether unknown words of its answer are replaced.
        alignment: the cross-attention that says where a word looked.
    """

    encoding: Encoding
    ids: list[int]
    copy_ids: Mapping[str, int]
    prefix_tokens: Sequence[str] = ()
    note: str = ""
    replaces: bool = False
    alignment: AlignmentSettings = AlignmentSettings()


def source_tokens(source: EncodedSource) -> Tokens:
    """Tokens that the network reads, EOS being the last: long texts are cut."""
    # Cut before the rest is made into tokens, which may be a whole book.
    return input_tokens(source.encoding.first(len(source.ids) - 1))


def cut_source(source: EncodedSource, longest: int) -> EncodedSource:
    """A source of at most `longest` ids, EOS included."""
    if len(source.ids) > longest:
        source = source._replace(ids=[*source.ids[: longest - 1], EOS])
    return source._replace(note=cut_note(len(source.ids) - 1, len(source.encoding)))
