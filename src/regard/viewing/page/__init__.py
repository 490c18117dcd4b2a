"""A record as one HTML file that needs nothing else: no network, no server, no `eval`.

Python packs the numbers and the texts; the JavaScript modules beside this file draw them. `bundle/`
holds those modules linked to one script for each entry point (`npm run bundle` writes it, and
docs/decisions/0007 says why it is committed): `page.js` for the file, `notebook.js` for the widget,
`grid_page.js` for a grid of heads (`grid.py`), `steps_page.js` for the steps of attention (`steps.py`).
"""

from __future__ import annotations

import base64
import hashlib
import html as markup
import json
from functools import cache
from importlib.resources import files
from string import Template

from regard.viewing.data.record import Record
from regard.viewing.page.pack import Packed, pack

__all__ = [
    "Packed",
    "asset",
    "digest",
    "frame",
    "html",
    "inert",
    "pack",
    "preload",
    "script",
    "style",
]

_BASE = "html, body { margin: 0; block-size: 100%; }\n"


def html(record: Record) -> str:
    """The page of a record, ready to be written to a file."""
    packed = pack(record)
    chunks = "\n".join(
        f'<script type="application/octet-stream" id="chunk-{name}">{data}</script>'
        for name, data in packed.chunks.items()
    )
    code, css = script("page"), _BASE + style()
    return Template(asset("page.html")).substitute(
        title=markup.escape(record.title or "Attention"),
        metadata=inert(packed.metadata),
        chunks=chunks,
        script=code,
        style=css,
        script_hash=digest(code),
        style_hash=digest(css),
    )


def frame(record: Record, *, height: int = 680) -> str:
    """The page inside an `iframe` that carries it whole, for notebooks that are exported.

    The frame may run its own script and offer downloads, and has no access to what is around it.
    """
    return (
        f'<iframe title="Attention" srcdoc="{markup.escape(html(record))}" '
        'sandbox="allow-scripts allow-downloads" '
        f'style="width:100%;height:{height}px;border:0;border-radius:8px"></iframe>'
    )


def preload() -> None:
    """Read everything that `html` needs of this package, for programs that outlive an upgrade of it."""
    asset("page.html")
    script("page")
    style()


@cache
def script(entry: str) -> str:
    """The front end as one ES module: `"page"`, `"grid_page"` or `"steps_page"`, or `"notebook"` for a widget.

    The notebook's default export is what `anywidget` calls; the page's script exports nothing.
    """
    return asset(f"bundle/{entry}.js")


@cache
def style() -> str:
    """The style sheet of the front end; every rule is inside `.regard`."""
    return asset("page.css")


@cache
def asset(name: str) -> str:
    """A file of this room as text."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """Hash of a script or style sheet, as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def inert(metadata: object) -> str:
    """JSON that no HTML parser can take for markup: a token `</script>` stays text."""
    text = json.dumps(
        metadata, separators=(",", ":")
    )  # ASCII: lone surrogates and U+2028 are escaped
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
