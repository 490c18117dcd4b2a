"""Knock-outs by name: heads as `layer.head` and words as they stand in the text, of a pretrained model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from regard.api.tasks.model import Model
from regard.decoding import Reading
from regard.errors import InputError, nearest
from regard.integrations.pretrained.folder import is_pretrained
from regard.viewing import AttentionRecord, Tokens

if TYPE_CHECKING:
    from regard.integrations.steering import Place

__all__ = [
    "head_places",
    "knocked_out",
    "look_without",
    "positions_of_words",
    "steerable_heads",
    "steered",
    "with_steering_note",
]


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
    positions: list[int] = []
    if hide:
        sides = model.look(text).tokens
        positions = positions_of_words(sides["source" if "source" in sides else "text"], hide)
    with steered(model, silence=silence, factors=dict.fromkeys(positions, 0.0)):
        yield


@contextlib.contextmanager
def steered(
    model: Model, *, silence: Sequence[str] = (), factors: Mapping[int, float] | None = None
) -> Iterator[None]:
    """Silence heads and reweigh tokens of the text that is read, in every layer, inside the block.

    Args:
        model: pretrained, by transformers.
        silence: heads as `layer.head` or `map.layer.head`, from 1.
        factors: of tokens, by position; 0 hides one. Those of a translator's source change its
            cross-attention, those of a classifier with a decoder its encoder, too.

    Raises:
        InputError: no such head; a model that cannot be steered.
    """
    if not (silence or factors):
        yield
        return
    from regard.integrations.steering import steer  # transformers is slow to import

    sites: tuple[str, ...] = ()
    if factors and model.writes and model.alignment_at(None) is not None:
        sites = ("cross",)
    elif factors and len(found := steerable_heads(model)) > 1:
        sites = tuple(site for site in ("encoder", "cross") if site in found)
    places = head_places(silence)
    if silence and (known := steerable_heads(model)):
        _check_places(places, known)
    with steer(
        model.network,
        heads=places,
        scale=dict.fromkeys(sites, factors) if factors and sites else factors,
    ):
        yield


def steerable_heads(model: Model) -> dict[str, list[int]]:
    """Number of heads of each layer by site, of a model whose heads can be silenced; empty for any other."""
    if model.folder is None or not is_pretrained(model.folder):
        return {}
    from regard.integrations.steering import heads_by_layer

    return heads_by_layer(model.network)


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
    return with_steering_note(record, silence, dict.fromkeys(hide, 0.0))


def with_steering_note(
    record: AttentionRecord, silence: Sequence[str], factors: Mapping[str, float]
) -> AttentionRecord:
    """The record of a steered pass with a note on what was changed.

    Args:
        record: made while the model was steered.
        silence: heads.
        factors: of words, as they are spelled.
    """
    done = [f"without head {name}" for name in silence]
    done += [
        f"attention to {word!r} x {factor:g}" if factor else f"no attention to {word!r}"
        for word, factor in factors.items()
    ]
    if done:
        record = replace(record, notes=(*record.notes, f"Steered: {', '.join(done)}."))
    return replace(record, explanation=None) if factors else record


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


def _check_places(places: Mapping[Place, Sequence[int]], known: Mapping[str, list[int]]) -> None:
    """Refuse heads that are not there, counted from 1 as users count.

    Raises:
        InputError: no such map, layer or head, or none of several maps is named.
    """
    for place, heads in places.items():
        site, layer = place if isinstance(place, tuple) else (None, place)
        assert isinstance(layer, int)
        if site is None and len(known) > 1:
            head = f"{layer + 1}.{heads[0] + 1}"
            ways = ", ".join(f"{name}.{head}" for name in known)
            raise InputError(f"head {head} of a model with several maps; say of which: {ways}")
        site = next(iter(known)) if site is None else site
        if site not in known:
            raise InputError(f"no map {site!r}; {nearest(site, known)}")
        if layer >= len(known[site]):
            raise InputError(
                f"no layer {layer + 1} in {site!r}, which has {len(known[site])}, counted from 1"
            )
        count = known[site][layer]
        if max(heads) >= count:
            raise InputError(
                f"no head {max(heads) + 1} in layer {layer + 1} of {site!r}, which has {count}, counted from 1"
            )


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
