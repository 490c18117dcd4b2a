"""Data sets of the Hugging Face Hub as records, and the names of classes that its files keep."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from regard.errors import DataError, MissingExtraError

__all__ = ["PREFIX", "class_names", "dataset_records", "hub_records", "with_names"]

PREFIX = "hub:"

ClassNames: TypeAlias = Mapping[str, Callable[[int], str]]
"""By field, the function from a class number to its name."""


def hub_records(name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a data set of the Hub, counted from 1.

    Class numbers become the names that the set gives them.

    Args:
        name: `hub:OWNER/NAME`, with `:CONFIG` and `#SPLIT` where it has several; the split is
            `train` unless named.

    Raises:
        MissingExtraError: the `datasets` library is absent.
        DataError: it cannot be loaded.
    """
    try:
        import datasets  # pyright: ignore[reportMissingImports]  # of the extra `hub`
    except ImportError as error:
        raise MissingExtraError("reading a data set of the Hub", "hub") from error
    identity, _, split = name.removeprefix(PREFIX).partition("#")
    identity, _, config = identity.partition(":")
    try:
        rows = datasets.load_dataset(identity, config or None, split=split or "train")
    except Exception as error:  # from many libraries below, each with errors of its own
        raise DataError(f"cannot be loaded from the Hub ({error})", path=name) from error
    yield from enumerate(dataset_records(rows), 1)


def dataset_records(dataset: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a `datasets.Dataset`, classes by name."""
    names = {field: _int2str(feature) for field, feature in (dataset.features or {}).items()}
    known = {field: function for field, function in names.items() if function is not None}
    for row in dataset:
        yield with_names(row, known)


def class_names(metadata: Mapping[bytes, bytes] | None) -> ClassNames:
    """Names of classes in the schema of a file that the `datasets` library wrote; empty for others."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        found = {field: _names_of(feature) for field, feature in features.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
    return {field: names.__getitem__ for field, names in found.items() if names}


def with_names(record: Mapping[str, Any], names: ClassNames) -> dict[str, Any]:
    """A record whose class numbers, and lists of them, are names."""
    return {
        field: _named(value, names[field]) if field in names else value
        for field, value in record.items()
    }


def _named(value: Any, name_of: Callable[[int], str]) -> Any:
    if isinstance(value, list):
        return [name_of(item) for item in value]
    if not isinstance(value, int):
        return value
    return None if value < 0 else name_of(value)  # test parts on the Hub mark hidden labels by -1


def _int2str(feature: Any) -> Callable[[int], str] | None:
    """The function from class number to name, if the feature (or its items) has one."""
    feature = getattr(feature, "feature", feature)
    return getattr(feature, "int2str", None)


def _names_of(feature: Any) -> list[str] | None:
    """The names in the description of a feature, or of the items of a list of it."""
    if isinstance(feature, list):
        feature = feature[0]
    if isinstance(feature, dict) and isinstance(feature.get("feature"), dict | list):
        return _names_of(feature["feature"])
    names = feature.get("names") if isinstance(feature, dict) else None
    return names if isinstance(names, list) else None
