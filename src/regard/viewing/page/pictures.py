"""Attention over an image or a sound as one HTML file that needs nothing else, not even JavaScript."""

from __future__ import annotations

import base64
import html as markup
import io
from string import Template
from typing import Any

from regard.viewing.data.picture import PictureAttention, SoundAttention
from regard.viewing.page import asset, digest
from regard.viewing.printable import printable

__all__ = ["picture_html", "sound_html"]


def picture_html(attention: PictureAttention) -> str:
    """The page of an image: a row for each layer, with the mean of its heads and each of them.

    Of a caption a picture for each word: the mean of all layers, then each layer.
    """
    from PIL import Image

    def shown(pixels: Any, name: str) -> str:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return _figure(buffer.getvalue(), name)

    def words(layer: int | None) -> str:
        named = enumerate(attention.words, 1)
        return "".join(shown(attention.spotlight(layer, word=n), each.word) for n, each in named)

    layers, heads = attention.weights.shape[:2]
    parts = [f'<div class="row">{shown(attention.image, "as the model reads it")}</div>']
    if attention.words:
        parts.append(f'<div class="row">{words(None)}</div>')
    for layer in range(1, layers + 1):
        if attention.words:
            parts.append(f'<h2>Layer {layer}</h2>\n<div class="row">{words(layer)}</div>')
            continue
        cells = [shown(attention.spotlight(layer), "mean of heads")]
        cells += [shown(attention.spotlight(layer, n), f"head {n}") for n in range(1, heads + 1)]
        parts.append(f"<h2>Layer {layer}</h2>\n" + f'<div class="row">{"".join(cells)}</div>')
    facts = f"Attention of the {attention.query}: the brighter a patch, the larger its share."
    return _page(attention.title, " ".join((facts, *attention.notes)), parts)


def sound_html(attention: SoundAttention) -> str:
    """The page of a sound: the mean of all layers, then each; and the times of the words."""
    from regard.viewing.figure.overlays import sound

    def drawn(layer: int | None) -> str:
        buffer = io.BytesIO()
        sound(attention, layer=layer).savefig(
            buffer, format="png", dpi=130, metadata={"Software": None}
        )
        return f'<img class="wide" alt="Spectrogram, and attention below it" src="{_uri(buffer.getvalue())}">'

    parts = [drawn(None)]
    if attention.words:
        rows = "".join(
            f"<tr><td>{markup.escape(printable(w.word))}</td><td>{w.start:.2f}</td><td>{w.end:.2f}</td></tr>"
            for w in attention.words
        )
        head = "<tr><th>word</th><th>from (s)</th><th>to (s)</th></tr>"
        parts.append(f"<h2>Words</h2>\n<table>{head}{rows}</table>")
    if len(attention.queries) > 1:
        for layer in range(1, attention.weights.shape[0] + 1):
            parts.append(f"<h2>Layer {layer}</h2>\n{drawn(layer)}")
    return _page(attention.title, " ".join(attention.notes), parts)


def _figure(png: bytes, name: str) -> str:
    label = markup.escape(printable(name))
    return f'<figure><img alt="{label}" src="{_uri(png)}"><figcaption>{label}</figcaption></figure>'


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _page(title: str, facts: str, parts: list[str]) -> str:
    css = asset("pictures.css")
    return Template(asset("pictures.html")).substitute(
        title=markup.escape(printable(title)),
        facts=markup.escape(printable(facts)),
        body="\n".join(parts),
        style=css,
        style_hash=digest(css),
    )
