"""Knock-outs by name: heads as `layer.head` and words as they stand in the text, of a pretrained model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from regard.api.tasks.model import Model
from regard.decoding import Reading
from regard.errors import InputError, nearest
from regard.viewing import AttentionRecord, Tokens

if TYPE_CHECKING:
    from regard.integrations.steering import Place

__all__ = ["head_places", "knocked_out", "look_without", "positions_of_words"]


@contextlib.contextmanager
def knocked_out(
    model: Model, text: str, *, silence: Sequence[str] = (), hide: Sequence[str] = ()
) -> Iterator[None]:
    """Silence heads and hide words of a text while the model runs inside the block.

    Args:
        model: pretrained, by transformers.
        text: that it is to read.
        silence: heads as `layer.head` or `map.layer.head`, from 1.
        hide: words of the text, wherever they stand; those of a source are hidden from cross-attention.

    Raises:
        InputError: no such head or word; a model that cannot be steered.
    """
    if not (silence or hide):
        yield
        return
    from regard.integrations.steering import steer  # transformers is slow to import

    positions: list[int] = []
    if hide:
        sides = model.look(text).tokens
        positions = positions_of_words(sides["source" if "source" in sides else "text"], hide)
    cross = model.alignment_at(None) is not None
    with steer(
        model.network,
        heads=head_places(silence),
        hide=({"cross": positions} if cross else positions) if positions else None,
    ):
        yield


def look_without(
    model: Model,
    text: str,
    target: str | None = None,
    *,
    reading: Reading | None = None,
    silence: Sequence[str] = (),
    hide: Sequence[str] = (),
) -> AttentionRecord:
    """Record of the attention of a model with knock-outs, which a note of the record names.

    A classifier's scores of single words are left out where words are hidden: they come from texts without a
    word, in which the hidden ones stand elsewhere.

    Args:
        model: pretrained; any model, if nothing is knocked out.
        text: see `Model.look`.
        target: see `Model.look`.
        reading: see `Model.look`.
        silence: see `knocked_out`.
        hide: see `knocked_out`.
    """
    with knocked_out(model, text, silence=silence, hide=hide):
        record = model.look(text, target, reading=reading)
    done = [f"without head {name}" for name in silence]
    done += [f"no attention to {word!r}" for word in hide]
    if done:
        record = replace(record, notes=(*record.notes, f"Steered: {', '.join(done)}."))
    return replace(record, explanation=None) if hide else record


def head_places(names: Sequence[str]) -> dict[Place, list[int]]:
    """Heads by layer, from 0, of names that count from 1.

    >>> head_places(["2.1", "2.3", "cross.1.4"])
    {1: [0, 2], ('cross', 0): [3]}

    Raises:
        InputError: not such a name.
    """
    found: dict[Place, list[int]] = {}
    for name in names:
        parts = name.rsplit(".", 2)
        site, numbers = parts[:-2], parts[-2:]
        if len(numbers) < 2 or not all(part.isdecimal() and int(part) > 0 for part in numbers):
            raise InputError(
                f"head {name!r}; expected LAYER.HEAD, or MAP.LAYER.HEAD, counted from 1 (2.1, cross.1.4)"
            )
        layer, head = (int(part) - 1 for part in numbers)
        found.setdefault((site[0], layer) if site else layer, []).append(head)
    return found


def positions_of_words(tokens: Tokens, words: Sequence[str]) -> list[int]:
    """Positions of all pieces of these words, wherever they stand in the text.

    Raises:
        InputError: a word that is not there.
    """
    starts = tokens.word_starts()
    ends = [*starts[1:], len(tokens)]
    spelled = tokens.words().pieces
    found: set[int] = set()
    for word in words:
        places = [n for n, own in enumerate(spelled) if own == word]
        if not places:
            raise InputError(f"no word {word!r} in the text; {nearest(word, spelled)}")
        found |= {position for n in places for position in range(starts[n], ends[n])}
    return sorted(found)
