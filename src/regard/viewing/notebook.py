"""The page's front end as a notebook widget; `anywidget` is imported only when one is made."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from regard.errors import MissingExtraError

if TYPE_CHECKING:
    from regard.viewing.data.record import Record

__all__ = ["display", "in_notebook", "widget"]


def in_notebook() -> bool:
    """True if this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def display(record: Record) -> None:
    """Show a record below the cell: as a widget where `anywidget` is installed, else as a frame.

    The frame is added beside the widget, since it still works without a kernel, as in an exported
    notebook.
    """
    from regard.viewing import page

    notebook: Any = importlib.import_module("IPython.display")
    data = {"text/plain": record.title or "Attention", "text/html": page.frame(record)}
    with suppress(MissingExtraError):
        (made, _) = widget(record)._repr_mimebundle_()
        data = {**made, **data}
    notebook.display(data, raw=True)


def widget(record: Record) -> Any:
    """The interactive view of a record as an `anywidget`.

    Raises:
        MissingExtraError: when `anywidget` is not installed.
    """
    from regard.viewing import page

    packed = page.pack(record)
    return _widget_class()(record={"metadata": packed.metadata, "chunks": packed.chunks})


@cache
def _widget_class() -> Any:
    """The widget's class, made on first use since its base comes from an optional package."""
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise MissingExtraError("a notebook widget", "notebook") from error
    from regard.viewing import page

    members = {
        "__doc__": "A record of attention in a notebook.",
        "_esm": page.script("notebook"),
        "_css": page.style(),
        "record": traitlets.Dict().tag(sync=True),
    }
    return type("AttentionWidget", (anywidget.AnyWidget,), members)
