"""The records in one JSON document: a list of objects, columns, or what pandas writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from regard.errors import DataError

__all__ = ["document_records"]


def document_records(content: Any, path: str | None) -> Iterator[dict[str, Any]]:
    """Yield the records of a JSON document.

    Read are a list of objects (`orient="records"` of pandas), an object that holds one such list, columns
    (`{"text": [...], "label": [...]}`), columns by index and `orient="split"` of pandas.

    Args:
        content: of the whole document.
        path: of the file, for errors.

    Raises:
        DataError: it is of another form: says which, and how to flatten it.
    """
    found = _records(content)
    if found is None or _nested_lists(found):
        raise _unknown(content, path)
    if not found:
        raise DataError("one JSON document without records", path=path)
    for number, record in enumerate(found, 1):
        if not isinstance(record, dict):
            raise DataError(
                f"a JSON {type(record).__name__}, expected an object",
                path=path,
                line=number,
                remedy='write a list of objects, as in [{"text": "..."}]',
            )
        yield record


def _records(content: Any) -> list[Any] | None:
    """The list of records in a document; `None` if it has none of the known forms."""
    if isinstance(content, list):
        return content
    if not isinstance(content, dict) or not content:
        return None
    values = list(content.values())
    if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
        rows = content["data"]
        if all(isinstance(row, list) and len(row) == len(content["columns"]) for row in rows):
            return [dict(zip(content["columns"], row, strict=True)) for row in rows]
    lists: list[list[Any]] = [value for value in values if _is_list_of_objects(value)]
    if lists:
        return lists[0] if len(lists) == 1 else None
    if all(isinstance(value, list) for value in values) and len({*map(len, values)}) == 1:
        return [dict(zip(content, row, strict=True)) for row in zip(*values, strict=True)]
    if all(isinstance(value, dict) for value in values):
        keys = list(values[0])
        if keys and all(value.keys() == values[0].keys() for value in values):
            if all(key.isdecimal() for key in keys):  # {"text": {"0": ...}, "label": {"0": ...}}
                return [{name: column[key] for name, column in content.items()} for key in keys]
            return values  # {"0": {"text": ..., "label": ...}, ...}
    return None


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _nested_lists(records: list[Any]) -> bool:
    """True if records hold lists of objects, so that each stands for many examples."""
    first = next((record for record in records if isinstance(record, dict)), {})
    return any(_is_list_of_objects(value) for value in first.values())


def _unknown(content: Any, path: str | None) -> DataError:
    """The error about a document that is no table: what it is, and how to flatten it with jq."""
    if not isinstance(content, dict | list):
        return DataError(f"one JSON value ({type(content).__name__}), no table", path=path)
    names = ", ".join(map(repr, list(content)[:6])) if isinstance(content, dict) else ""
    what = f"an object with {names}" if isinstance(content, dict) else "a list of nested objects"
    return DataError(
        f"one JSON document ({what}), not a table and not JSON Lines",
        path=path,
        remedy=f"flatten it: jq -c '{_flatten(content)}' {path or 'FILE'} > flat.jsonl",
    )


def _flatten(value: Any) -> str:
    """A program of jq that makes one flat object of each innermost one, with the fields around it."""
    if isinstance(value, list):
        first = next((item for item in value if isinstance(item, dict)), {})
        return f".[] | {_flatten(first)}"
    inner = next((name for name, v in value.items() if _is_list_of_objects(v)), None)
    plain = [json.dumps(name) for name, v in value.items() if not isinstance(v, list | dict)]
    fields = "{" + ", ".join(plain) + "}"
    if inner is None:
        return fields
    deeper = f".[{json.dumps(inner)}]{_flatten(value[inner])[1:]}"
    return f"{fields} + ({deeper})" if plain else deeper
