"""Read data sets of the Hugging Face Hub as records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from regard.data.formats import Record
from regard.errors import DataError, MissingExtraError

__all__ = ["PREFIX", "hub_records"]

PREFIX = "hub:"


def hub_records(name: str) -> Iterator[Record]:
    """Yield the rows of a data set of the Hub, counted from 1.

    Class numbers become the names that the set gives them; a nested field such as `translation` with
    `{"de": ..., "en": ...}` becomes `translation.de` and `translation.en`.

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
    decode = {field: _names(feature) for field, feature in rows.features.items()}
    for number, row in enumerate(rows, 1):
        yield number, dict(_flat(row, decode))


def _names(feature: Any) -> Any:
    """The function from class number to name, if the feature (or its items) has one."""
    feature = getattr(feature, "feature", feature)
    return getattr(feature, "int2str", None)


def _flat(row: Mapping[str, Any], decode: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for field, value in row.items():
        if isinstance(value, dict):
            yield from ((f"{field}.{inner}", item) for inner, item in value.items())
        elif decode[field] is None or value is None:
            yield field, value
        elif isinstance(value, list):
            yield field, [decode[field](item) for item in value]
        else:
            # Test parts on the Hub mark hidden labels by -1.
            yield field, decode[field](value) if value >= 0 else None
