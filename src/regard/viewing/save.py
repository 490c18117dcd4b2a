"""Save and load records: an `.npz` of plain arrays, with names and texts as JSON.

Nothing is pickled, and nothing pickled is read.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from regard.errors import DataError, InputError, SettingsError, nearest
from regard.files import atomic_write
from regard.viewing.data.explanation import Attribution, Explanation, Prediction
from regard.viewing.data.record import Record, Track
from regard.viewing.data.summary import MapSummary
from regard.viewing.data.tokens import Tokens

__all__ = ["load", "save"]

T = TypeVar("T")
R = TypeVar("R", bound=Record)
FORMAT = 2  # 1 knew no members, predictions and explanations
_PICTURES = (".png", ".svg", ".pdf")
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
    content = io.BytesIO(path.read_bytes())  # errors from here on are about the content
    try:
        with np.load(content, allow_pickle=False) as arrays:
            about = json.loads(bytes(arrays["record"]))
            if about["format"] > FORMAT:
                raise DataError(
                    f"a record of format {about['format']}, this version reads up to {FORMAT}",
                    path=path,
                    remedy="try a newer regard",
                )
            return _unpack(about, arrays, kind)
    except DataError:
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


def _unpack(about: dict[str, Any], arrays: Mapping[str, Any], kind: type[R]) -> R:
    tokens = {name: _tokens(side) for name, side in about["tokens"].items()}
    tracks = []
    for number, track in enumerate(about["tracks"]):
        for name, value in track.items():
            if (name, value) != ("layer", None):
                _one(int if name in ("layer", "members") else str, name, value)
        if f"{number}.weights" in arrays:
            weights = arrays[f"{number}.weights"]
        else:
            weights = MapSummary(*(arrays[f"{number}.{name}"] for name in _SUMMARY))
        tracks.append(Track(**track, weights=weights))
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


def _tokens(side: dict[str, Any]) -> Tokens:
    return Tokens(
        _all(str, "pieces", side["pieces"]),
        _one(str, "text", side["text"]),
        tuple((_one(int, "offsets", a), _one(int, "offsets", b)) for a, b in side["offsets"]),
        _all(bool, "special", side["special"]),
    )


def _prediction(about: dict[str, Any] | None) -> Prediction | None:
    if about is None:
        return None
    likely = tuple(
        (_one(str, "label", label), _one(float, "probability", p))
        for label, p in about["probabilities"]
    )
    return Prediction(_all(str, "labels", about["labels"]), likely)


def _explanation(about: dict[str, Any] | None, arrays: Mapping[str, Any]) -> Explanation | None:
    if about is None:
        return None
    scores = tuple(
        Attribution(
            _one(str, "name", one["name"]),
            arrays[f"attribution.{number}"],
            _one(bool, "signed", one["signed"]),
            _one(str, "about", one["about"]),
        )
        for number, one in enumerate(about["attributions"])
    )
    return Explanation(
        _tokens(about["tokens"]),
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
