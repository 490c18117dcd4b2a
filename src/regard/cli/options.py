"""Options for reading files, defined once: every verb that reads files takes them from here."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from regard.choices import OverLong, TableFormat

__all__ = ["DataOptions", "TextOptions", "spread_options"]

R = TypeVar("R")

_PANEL = "Reading files"


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Options of the verbs that read texts."""

    source: Annotated[
        str | None,
        typer.Option(
            help="Column of the text or source, by name or number; several: a,b.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    format: Annotated[
        TableFormat | None,
        typer.Option(
            help="Format of tables [dim](default: by their content)[/dim].", rich_help_panel=_PANEL
        ),
    ] = None
    separator: Annotated[
        str | None,
        typer.Option(
            help="Separator of the columns of lines of text, such as ';' or tab.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    escape: Annotated[
        str | None,
        typer.Option(help="Sign before a quote in a quoted cell of CSV.", rich_help_panel=_PANEL),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            help="Encoding of text files [dim](default: utf-8)[/dim].", rich_help_panel=_PANEL
        ),
    ] = None

    def read_options(self) -> dict[str, Any]:
        """Fields of `ReadOptions` that were given."""
        names = ("format", "separator", "escape", "encoding", "max_characters", "over_long")
        given = {name: getattr(self, name, None) for name in names}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class DataOptions(TextOptions):
    """Options of the verbs that read examples: texts with labels or targets."""

    target: Annotated[
        str | None,
        typer.Option(
            help="Column of the label or target, by name or number; several: a,b.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    label_separator: Annotated[
        str | None,
        typer.Option(help="Separator of several labels of one text.", rich_help_panel=_PANEL),
    ] = None
    max_characters: Annotated[
        int | None,
        typer.Option(help="Longest text that is taken as it is.", rich_help_panel=_PANEL),
    ] = None
    over_long: Annotated[
        OverLong | None,
        typer.Option(
            help="Treatment of longer ones; they are counted [dim](default: skip)[/dim].",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def reader_arguments(self) -> dict[str, Any]:
        """Arguments of `reader_with`."""
        return {
            "source": self.source,
            "target": self.target,
            "label_separator": self.label_separator,
            "options": self.read_options(),
        }


def spread_options(command: Callable[..., R]) -> Callable[..., R]:
    """Decorate a command: a parameter of `TextOptions` or `DataOptions` becomes their options."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type[TextOptions]] = {}
    spread: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        kind = parameter.annotation
        if not (isinstance(kind, type) and issubclass(kind, TextOptions)):
            spread.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[parameter.name] = kind
        hints = get_type_hints(kind, include_extras=True)
        spread += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=hints[field.name],
            )
            for field in fields(kind)
        ]

    @functools.wraps(command)
    def run(**values: Any) -> R:
        for name, kind in groups.items():
            values[name] = kind(**{field.name: values.pop(field.name) for field in fields(kind)})
        return command(**values)

    run.__signature__ = signature.replace(parameters=spread)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in spread}
    return run
