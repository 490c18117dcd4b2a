"""The base of all settings: frozen objects, validated in one place and with one wording of errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from regard.errors import SettingsError, nearest

__all__ = ["Settings"]

_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
"""Pydantic's type of an error: the name of the bound in its context, and our words for it."""


class Settings(BaseModel):
    """Base class of settings: frozen, closed to unknown names, checked when made.

    >>> from regard.decoding import DecodingSettings
    >>> DecodingSettings(method="greedy").replace(max_length=20).max_length
    20
    >>> DecodingSettings(beems=4)
    Traceback (most recent call last):
        ...
    regard.errors.SettingsError: decoding has no setting 'beems'; did you mean 'beam'?

    A rule about several fields is a `model_validator(mode="after")` that raises `ValueError`.

    Raises:
        SettingsError: an unknown name (with the nearest known one), a missing value, or a value
            that is not allowed (with what is allowed).
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    title: ClassVar[str]
    """Name of these settings in error messages."""

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _settings_error(type(self), error) from None

    def replace(self, **changes: Any) -> Self:
        """Copy with some values changed, validated again."""
        return type(self)(**{**dict(self), **changes})

    if not TYPE_CHECKING:  # a type checker would allow every assignment because of it

        def __setattr__(self, name: str, value: object) -> None:
            raise SettingsError(
                f"{self.title} settings are frozen; make new ones with replace({name}={value!r})"
            )


def _settings_error(kind: type[Settings], error: ValidationError) -> SettingsError:
    """First fault of a validation, in our words."""
    fault = error.errors()[0]
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        hint = nearest(name, kind.model_fields)
        return SettingsError(f"{kind.title} has no setting {name!r}; {hint}")
    if fault["type"] == "missing":
        return SettingsError(f"{kind.title} needs the setting {name!r}")
    if fault["type"] == "value_error":
        cause = fault.get("ctx", {}).get("error")
        # Settings inside these ones have worded their own error already.
        if isinstance(cause, SettingsError):
            return cause
        return SettingsError(f"{kind.title}: {cause}")
    allowed = _allowed(fault["type"], fault["msg"], fault.get("ctx", {}))
    return SettingsError(f"{kind.title} setting {name}={fault['input']!r}: expected {allowed}")


def _allowed(kind: str, message: str, context: Mapping[str, Any]) -> str:
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{words} {context[bound]}"
    # "Input should be 'greedy' or 'beam'", "String should have at least 1 character"
    return re.sub(r"^\w+ should (be|have) ", "", message)
