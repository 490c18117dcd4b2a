"""Save and load records: an `.npz` of plain arrays, with names and texts as JSON.

Nothing is pickled, and nothing pickled is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from regard.errors import DataError, InputError, SettingsError, nearest
from regard.files import atomic_write
from regard.viewing.arrays import ArrayFile, Shape
from regard.viewing.data.explanation import Attribution, Explanation, Prediction
from regard.viewing.data.record import Record, Track
from regard.viewing.data.summary import FloatArray, MapSummary
from regard.viewing.data.tokens import Tokens

__all__ = ["load", "save"]

T = TypeVar("T")
R = TypeVar("R", bound=Record)
FORMAT = 2  # 1 knew no members, predictions and explanations
_PICTURES = (".png", ".svg", ".pdf")
_MOST_HEADS = 4096
"""Heads of one track in a file: of all members of an ensemble together."""
_SHORT_TEXT, _TEXT_PER_BYTE = 1 << 24, 100
"""Bytes of JSON that are always unpacked, and those for each byte of a larger file: tokens pack to a tenth."""
_SUMMARY = tuple(field.name for field in fields(MapSummary))


def save(record: Record, path: Path, options: Mapping[str, Any]) -> Path:
    """Write a record in the format its suffix names."""
    suffix = path.suffix.lower()
    known = (".npz", ".html", *_PICTURES)
    if suffix not in known:
        raise InputError(f"cannot save to {path.name!r}: {nearest(suffix, known)}")
    if suffix in _PICTURES:
        from regard.viewing.figure import draw, write

        return write(draw(record, **options), path)
    if options:
        raise SettingsError(
            f"{suffix} keeps everything and takes no options, got {', '.join(options)}; save a picture "
            f"({', '.join(_PICTURES)}), or all of it"
        )
    with atomic_write(path) as unfinished:
        if suffix == ".html":
            from regard.viewing import page

            unfinished.write_text(page.html(record), encoding="utf-8")
        else:
            with open(unfinished, "wb") as file:
                np.savez_compressed(file, **_pack(record))
    return path


def load(path: Path, kind: type[R]) -> R:
    """Read a record of this kind that was saved as `.npz`.

    Raises:
        DataError: the file holds something else, or a record of a newer format.
    """
    try:
        arrays = ArrayFile(path)
        longest = max(_SHORT_TEXT, _TEXT_PER_BYTE * arrays.size)
        text = arrays.read("record", "u", [range(longest)], bytes_each=1)
        about = json.loads(bytes(text))
        if about["format"] > FORMAT:
            raise DataError(
                f"a record of format {about['format']}, this version reads up to {FORMAT}",
                path=path,
                remedy="try a newer regard",
            )
        return _unpack(about, arrays, kind)
    except (DataError, OSError):
        raise
    except (
        Exception
    ) as error:  # zip, deflate, NumPy, JSON and Record each raise errors of their own
        raise DataError(
            f"not a saved record ({error})",
            path=path,
            remedy="give a file that record.save('x.npz') wrote",
        ) from error


def _pack(record: Record) -> dict[str, Any]:
    """The arrays of a record by name; everything else goes into one JSON text."""
    arrays: dict[str, Any] = {}
    for number, track in enumerate(record.tracks):
        if isinstance(track.weights, MapSummary):
            for name in _SUMMARY:
                arrays[f"{number}.{name}"] = getattr(track.weights, name)
        else:
            arrays[f"{number}.weights"] = track.weights
    if record.explanation is not None:
        for number, scores in enumerate(record.explanation.attributions):
            arrays[f"attribution.{number}"] = scores.values
    about = {
        "format": FORMAT,
        "title": record.title,
        "reading": record.reading,
        "notes": record.notes,
        "verdict": record.verdict,
        "tokens": {name: vars(tokens) for name, tokens in record.tokens.items()},
        "tracks": [
            {k: v for k, v in vars(track).items() if k != "weights"} for track in record.tracks
        ],
        "prediction": record.prediction and vars(record.prediction),
        "explanation": record.explanation and _about_explanation(record.explanation),
    }
    # Escapes keep even lone surrogates, which UTF-8 cannot hold.
    arrays["record"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    return arrays


def _about_explanation(explanation: Explanation) -> dict[str, Any]:
    return {
        "tokens": vars(explanation.tokens),
        "label": explanation.label,
        "probability": explanation.probability,
        "reason": explanation.reason,
        "attributions": [
            {"name": scores.name, "signed": scores.signed, "about": scores.about}
            for scores in explanation.attributions
        ],
    }


def _unpack(about: dict[str, Any], arrays: ArrayFile, kind: type[R]) -> R:
    tokens = {name: _tokens(side) for name, side in about["tokens"].items()}
    tracks = []
    for number, track in enumerate(about["tracks"]):
        for name, value in track.items():
            if (name, value) != ("layer", None):
                _one(int if name in ("layer", "members") else str, name, value)
        queries, keys = (len(tokens[track[axis]]) for axis in ("queries", "keys"))
        tracks.append(Track(**track, weights=_weights(arrays, number, queries, keys)))
    return kind(
        tokens,
        tuple(tracks),
        _one(str, "title", about["title"]),
        _one(str, "reading", about["reading"]),
        _all(str, "notes", about["notes"]),
        _one(str, "verdict", about["verdict"]),
        _prediction(about.get("prediction")),
        _explanation(about.get("explanation"), arrays),
    )


def _weights(arrays: ArrayFile, number: int, queries: int, keys: int) -> FloatArray | MapSummary:
    """Weights of a track, with as many queries and keys as there are tokens."""
    heads = range(1, _MOST_HEADS + 1)
    name = f"{number}.weights"
    if name in arrays:
        weights: FloatArray = arrays.read(name, "f", [heads, queries, keys])
        return weights
    entropy = arrays.read(f"{number}.entropy", "f", [heads, queries])
    count = len(entropy)
    blocks: Shape = [count, range(1, queries + 1), range(1, keys + 1)]
    top: Shape = [count, queries, range(keys + 1)]
    top_keys = arrays.read(f"{number}.top_keys", "iu", top)
    if top_keys.size and not 0 <= top_keys.min() <= top_keys.max() < keys:
        raise InputError(
            f"{number}.top_keys: from {top_keys.min()} to {top_keys.max()} of {keys} keys"
        )
    return MapSummary(
        mean=arrays.read(f"{number}.mean", "f", blocks),
        max=arrays.read(f"{number}.max", "f", blocks),
        top_values=arrays.read(f"{number}.top_values", "f", top),
        top_keys=top_keys,
        entropy=entropy,
        received=arrays.read(f"{number}.received", "f", [count, keys]),
    )


def _tokens(side: dict[str, Any]) -> Tokens:
    return Tokens(
        _all(str, "pieces", side["pieces"]),
        _one(str, "text", side["text"]),
        tuple((_one(int, "offsets", a), _one(int, "offsets", b)) for a, b in side["offsets"]),
        _all(bool, "special", side["special"]),
        _all(int, "segments", side.get("segments", [])),
    )


def _prediction(about: dict[str, Any] | None) -> Prediction | None:
    if about is None:
        return None
    likely = tuple(
        (_one(str, "label", label), _one(float, "probability", p))
        for label, p in about["probabilities"]
    )
    return Prediction(_all(str, "labels", about["labels"]), likely)


def _explanation(about: dict[str, Any] | None, arrays: ArrayFile) -> Explanation | None:
    if about is None:
        return None
    tokens = _tokens(about["tokens"])
    scores = tuple(
        Attribution(
            _one(str, "name", one["name"]),
            arrays.read(f"attribution.{number}", "f", [len(tokens)]),
            _one(bool, "signed", one["signed"]),
            _one(str, "about", one["about"]),
        )
        for number, one in enumerate(about["attributions"])
    )
    return Explanation(
        tokens,
        _one(str, "label", about["label"]),
        _one(float, "probability", about["probability"]),
        scores,
        _one(str, "reason", about["reason"]),
    )


def _one(kind: type[T], name: str, value: object) -> T:
    """Check that a value has exactly this type, here, where the error can name the file."""
    if type(value) is not kind:
        raise InputError(f"{name}: expected {kind.__name__}, got {value!r:.60}")
    return value


def _all(kind: type[T], name: str, values: object) -> tuple[T, ...]:
    return tuple(_one(kind, name, value) for value in _one(list, name, values))
