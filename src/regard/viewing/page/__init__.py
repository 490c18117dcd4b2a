"""A record as one HTML file that needs nothing else: no network, no server, no `eval`.

Python packs the numbers and the texts; the front end beside this file draws them. The same front
end runs in a notebook.
"""

from __future__ import annotations

import base64
import hashlib
import html as markup
import json
import re
from functools import cache
from importlib.resources import files
from string import Template

from regard.viewing.data.record import AttentionRecord
from regard.viewing.page.pack import Packed, pack

__all__ = ["Packed", "frame", "html", "pack", "script", "style"]

_MODULES = (
    "codec",
    "sheet",
    "atlas",
    "shades",
    "dom",
    "surface",
    "map",
    "links",
    "text",
    "overview",
    "readout",
    "download",
    "state",
    "controls",
    "pointer",
    "main",
)
_IMPORT = re.compile(r'^import {(.*?)} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async function|function|class|const) (\w+)", re.MULTILINE)
_BASE = "html, body { margin: 0; block-size: 100%; }\n"


def html(record: AttentionRecord) -> str:
    """The page of a record, ready to be written to a file."""
    packed = pack(record)
    chunks = "\n".join(
        f'<script type="application/octet-stream" id="chunk-{name}">{data}</script>'
        for name, data in packed.chunks.items()
    )
    code, look = script("boot"), _BASE + style()
    return Template(_asset("page.html")).substitute(
        title=markup.escape(record.title or "Attention"),
        about=_inert(packed.about),
        chunks=chunks,
        script=code,
        style=look,
        script_hash=_digest(code),
        style_hash=_digest(look),
    )


def frame(record: AttentionRecord, *, height: int = 680) -> str:
    """The page inside an `iframe` that carries it whole, for notebooks that are exported.

    The frame may run its own script and offer downloads, and has no access to what is around it.
    """
    return (
        f'<iframe title="Attention" srcdoc="{markup.escape(html(record))}" '
        'sandbox="allow-scripts allow-downloads" '
        f'style="width:100%;height:{height}px;border:0;border-radius:8px"></iframe>'
    )


@cache
def script(entry: str) -> str:
    """The front end as one script: each file a function that answers with what it exports.

    `entry` is `"boot"` for the page or `"notebook"` for the widget, whose default export stays.
    """
    modules = [_module(name, _asset(f"{name}.js")) for name in _MODULES]
    return "\n".join([*modules, _linked(_asset(f"{entry}.js"))])


def _module(name: str, source: str) -> str:
    exports = ", ".join(_EXPORT.findall(source))
    body = re.sub(r"^export ", "", _linked(source), flags=re.MULTILINE)
    return f"const ${name} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();"


def _linked(source: str) -> str:
    """Imports of a file turned into reading what the files before it answered with."""
    return _IMPORT.sub(r"const {\1} = $\2;", source)


@cache
def style() -> str:
    """The style sheet of the front end; every rule is inside `.regard`."""
    return _asset("page.css")


def _asset(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _inert(about: object) -> str:
    """JSON that no HTML parser can take for markup: a token `</script>` stays text."""
    text = json.dumps(about, separators=(",", ":"))  # ASCII: lone surrogates and U+2028 are escaped
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
