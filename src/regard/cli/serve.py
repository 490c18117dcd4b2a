"""`regard serve`."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer

from regard.cli.shared import PrecisionName
from regard.errors import MissingExtraError

__all__ = ["serve"]

LogFormat = Literal["text", "json"]


def serve(
    models: Annotated[list[Path], typer.Argument(help="Folders of models.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines see all but loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that run the models, and share their memory.")
    ] = 1,
    max_characters: Annotated[int, typer.Option(min=1, help="Longest text.")] = 5000,
    max_queue: Annotated[int, typer.Option(min=1, help="Requests that may wait.")] = 100,
    max_batch: Annotated[int, typer.Option(min=1, help="Requests answered at once.")] = 16,
    max_connections: Annotated[int, typer.Option(min=1, help="Connections open at a time.")] = 512,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until 503.")] = 30.0,
    read_timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds a client may take to send, and to read.")
    ] = 10.0,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds for requests in progress when told to stop.")
    ] = 0.8,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Reverse proxy whose X-Forwarded-For is believed; may be repeated.",
        ),
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="Of the lines on standard error.")] = "text",
    precision: PrecisionName = "float32",
) -> None:
    """Serve models as a web page and a JSON API.

    Type a text, see the answer as it is written and what each word attended to; force another word,
    knock words out, compare two models.

    [bold]Examples[/bold]

    regard serve runs/de-en runs/mood

    regard serve runs/de-en runs/de-en-rnn --port 9000

    regard serve runs/de-en --workers 2
    """
    try:
        from regard.serving import Limits
        from regard.serving import serve as run
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "uvicorn", "starlette"):
            raise
        raise MissingExtraError("regard serve", "serve") from None

    limits = Limits(
        max_characters=max_characters,
        max_queue=max_queue,
        max_batch=max_batch,
        max_connections=max_connections,
        timeout=timeout,
        read_timeout=read_timeout,
        grace=grace,
    )
    run(
        models,
        host=host,
        port=port,
        limits=limits,
        workers=workers,
        proxies=proxy or (),
        log_format=log_format,
        precision=precision,
        ready=_print_address if log_format == "text" else _log_address,
    )


def _print_address(address: str) -> None:
    with suppress(OSError):  # whoever read the pipe has gone; the server has not
        typer.echo(
            f"Open {address} in a browser; the API is at {address}docs. Ctrl-C stops.", err=True
        )


def _log_address(address: str) -> None:
    record = {"fields": {"address": address}, "kind": None}
    logging.getLogger("regard.serving").info("serving at %s", address, extra=record)
