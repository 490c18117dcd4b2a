"""A record in a few lines of text: what it holds, without its numbers."""

from __future__ import annotations

from regard.viewing.data.record import Record
from regard.viewing.printable import headline, printable

__all__ = ["outline"]

_TRACKS = 10  # listed before the others are only counted
_WIDTH = 100  # characters of a line
_LABELS = 5


def outline(record: Record) -> str:
    """What a record holds, at most about twenty lines: texts, answer, maps, words that count, verdict."""
    lines = [_cut(record.title) if record.title else "attention"]
    if record.prediction is not None:
        likely = record.prediction.probabilities[:_LABELS]
        lines.append(headline([f"{printable(label)} {p:.1%}" for label, p in likely]))
    lines += [
        _cut(f"  {name}: {len(side)} tokens  {' '.join(side.text.split())}")
        for name, side in record.tokens.items()
        if not all(side.special)
    ]
    lines += [f"  {_map(record, index)}" for index in range(min(_TRACKS, len(record.tracks)))]
    if len(record.tracks) > _TRACKS:
        lines.append(f"  and {len(record.tracks) - _TRACKS} more maps")
    if record.explanation is not None:
        found = record.explanation
        best = [printable(found.tokens.pieces[i]) for i in found.front.ranking()[:5]]
        lines.append(_cut(f"  {found.front.name} for {found.label}: {', '.join(best)}, ..."))
    if record.reading:
        lines.append(_cut(f"  read {record.reading}"))
    lines += [_cut(f"  {note}") for note in (*record.notes[:3], record.verdict) if note]
    return "\n".join(lines)


def _map(record: Record, index: int) -> str:
    track = record.tracks[index]
    queries, keys = track.shape
    heads = f"{track.heads} {track.parts}" if track.heads > 1 else ""
    sides = f"{queries} {track.queries} × {keys} {track.keys}"
    return headline([track.label, heads, sides])


def _cut(text: str) -> str:
    text = printable(text[: 4 * _WIDTH])
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
