"""The page as a file: what is packed, and that nothing in a record can become markup."""

import base64
import html.parser
import json
import re
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.viewing import AttentionRecord, MapSummary, Tokens, Track, notebook, page
from regard.viewing.page.pack import _codes


class Outline(html.parser.HTMLParser):
    """Every element of a page, and the text of every script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts = [], {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.lasttag == "script":
            name = self.tags[-1][1].get("id", "code")
            self.scripts[name] = self.scripts.get(name, "") + data


def unpacked(chunk, *kinds):
    """What `ArrayReader` reads: byte planes back to numbers."""
    raw, arrays, at = zlib.decompress(base64.b64decode(chunk)), [], 0
    for kind, count in kinds:
        width = np.dtype(kind).itemsize
        planes = np.frombuffer(raw, np.uint8, count * width, at).reshape(width, count)
        arrays.append(np.ascontiguousarray(planes.T).view(kind).ravel())
        at += count * width
    assert at == len(raw)
    return arrays


def test_small_maps_are_packed_exactly(cross):
    packed = page.pack(cross)
    (layer,) = packed.metadata["layers"]
    assert layer["storage"] == "float32"
    for head in range(3):
        (weights,) = unpacked(packed.chunks[f"0.{head}"], ("<f4", 72))
        np.testing.assert_array_equal(weights.reshape(8, 9), cross.tracks[0].weights[head])


def test_middling_maps_are_packed_as_bytes_with_exact_tops(weights):
    tokens = [f"t{i}" for i in range(600)]
    record = AttentionRecord.of(weights(3, 600, 600), tokens)
    packed = page.pack(record)
    (layer,) = packed.metadata["layers"]
    assert layer["storage"] == "quantized"
    kinds = ("<f4", 600), ("<f4", 600), ("<f4", 600 * 32), ("<u2", 600 * 32), ("u1", 360_000)
    for heads in (0, "mean", "max"):
        entropy, received, values, keys, codes = unpacked(packed.chunks[f"0.{heads}"], *kinds)
        dense = record.tracks[0].dense(heads)
        np.testing.assert_allclose(received, dense.sum(0), rtol=1e-6)
        order = np.sort(dense, axis=1)[:, ::-1][:, :32]
        np.testing.assert_array_equal(values.reshape(600, 32), order)
        np.testing.assert_array_equal(
            np.take_along_axis(dense, keys.reshape(600, 32).astype(int), 1), order
        )
        held = np.where(codes == 0, 0, 10 ** ((codes - 255.0) * 8 / 254)).reshape(600, 600)
        np.testing.assert_allclose(held, dense, rtol=0.038, atol=1e-8)
        assert (entropy >= 0).all()


def test_large_maps_are_packed_as_blocks(weights):
    tokens = Tokens.of([f"t{i}" for i in range(900)])
    summary = MapSummary.of(weights(2, 900, 900), blocks=300, k=40)
    record = AttentionRecord({"t": tokens}, (Track("big", "self", "t", "t", summary),))
    packed = page.pack(record)
    (layer,) = packed.metadata["layers"]
    assert (layer["storage"], layer["grid"], layer["top_k"]) == ("blocks", (300, 300), 32)
    kinds = (
        ("<f4", 900),
        ("<f4", 900),
        ("<f4", 28800),
        ("<u2", 28800),
        ("u1", 90_000),
        ("u1", 90_000),
    )
    entropy, _, values, _, peak, mean = unpacked(packed.chunks["0.1"], *kinds)
    np.testing.assert_array_equal(entropy, summary.entropy[1])
    np.testing.assert_array_equal(values.reshape(900, 32), summary.top_values[1, :, :32])
    np.testing.assert_array_equal(peak.reshape(300, 300), _codes(summary.max[1]))
    np.testing.assert_array_equal(mean.reshape(300, 300), _codes(summary.mean[1]))


@given(st.floats(0, 1, width=32))
def test_a_byte_holds_a_weight_within_four_percent(weight):
    code = int(_codes(np.array([weight], dtype=np.float32))[0])
    held = 10 ** ((code - 255) * 8 / 254) if code else 0.0
    assert held == pytest.approx(weight, rel=0.038, abs=1e-8)


def test_a_page_needs_nothing_from_anywhere(layers):
    text = page.html(layers)
    outline = Outline(text)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.search(r"\beval\(|new Function|import\(|fetch\(|XMLHttpRequest|innerHTML", text)
    for tag, attributes in outline.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        assert attributes.get("src") is None
        if tag == "link":
            assert attributes["href"] == "data:,"
    policy = next(a["content"] for t, a in outline.tags if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_tokens_stay_text(odd_tokens, weights):
    n = len(odd_tokens)
    plain = Outline(page.html(AttentionRecord.of(weights(1, n, n), ["a"] * n)))
    record = AttentionRecord(
        {"text": Tokens.of(odd_tokens, "".join(odd_tokens))},
        (Track("</script><b>", "self", "text", "text", weights(1, n, n)),),
        title="</title><script>alert(1)</script>",
        reading="<i>",
        notes=("<!--", "]]>"),
        verdict="<script>",
    )
    text = page.html(record)
    outline = Outline(text)
    assert [tag for tag, _ in outline.tags] == [tag for tag, _ in plain.tags]
    metadata = json.loads(outline.scripts["metadata"])
    assert metadata["tokens"]["text"]["pieces"][0] == "</script>"
    assert metadata["tokens"]["text"]["pieces"][-1] == "w" * 10_000
    assert metadata["verdict"] == "<script>"
    text.encode("utf-8")  # no lone surrogate got through


@given(st.lists(st.text(max_size=12), min_size=1, max_size=5), st.text(max_size=30))
def test_any_text_at_all(tokens, title):
    n = len(tokens)
    record = AttentionRecord.of(np.full((n, n), 1 / n), tokens, title=title)
    outline = Outline(page.html(record))
    assert sum(tag == "script" for tag, _ in outline.tags) == 4  # metadata, two chunks, code
    assert len(json.loads(outline.scripts["metadata"])["tokens"]["text"]["pieces"]) == n


def test_the_frame_for_exported_notebooks(cross):
    markup = cross._repr_html_()
    (frame,) = Outline(markup).tags
    assert frame[0] == "iframe"
    assert frame[1]["sandbox"] == "allow-scripts allow-downloads"
    assert frame[1]["srcdoc"] == page.html(cross)


def test_a_bundle_stands_alone():
    for entry in ("page", "notebook"):
        code = page.script(entry)
        assert not re.search(r"(^|[;}])\s*import\b", code)
        assert "</script" not in code.lower()
    assert not re.search(r"(^|[;}])\s*export\b", page.script("page"))
    assert re.search(r"export{\w+ as default};\s*$", page.script("notebook"))


def test_every_rule_of_the_style_stays_inside():
    rules = re.sub(r"@media[^{]*{", "", page.style())
    for selector in re.findall(r"([^{}]+){[^}]*}", rules):
        assert all(part.strip().startswith(".regard") for part in selector.split(",")), selector


def test_the_widget_carries_the_record(cross):
    pytest.importorskip("anywidget")
    made = notebook.widget(cross)
    assert made.record["metadata"]["title"] == "de → en"
    assert set(made.record["chunks"]) == {"0.0", "0.1", "0.2", "thumbnails"}
    assert made._esm == page.script("notebook")
    json.dumps(made.record)


def shown(record, monkeypatch):
    """What a notebook is message to display."""
    import IPython.display

    message = []
    monkeypatch.setattr(
        IPython.display, "display", lambda data, raw=False: message.append((data, raw))
    )
    notebook.display(record)
    [(data, raw)] = message
    assert raw
    return data


def test_a_notebook_shows_a_widget_and_keeps_the_frame_beside_it(cross, monkeypatch):
    pytest.importorskip("IPython")
    pytest.importorskip("anywidget")
    data = shown(cross, monkeypatch)
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert data["text/html"] == cross._repr_html_()
    assert data["text/plain"] == "de → en"


def test_without_anywidget_a_notebook_shows_the_frame(cross, monkeypatch):
    pytest.importorskip("IPython")
    monkeypatch.setitem(sys.modules, "anywidget", None)
    notebook._widget_class.cache_clear()
    assert set(shown(cross, monkeypatch)) == {"text/plain", "text/html"}


def test_without_anywidget_the_error_says_what_to_install(cross, monkeypatch):
    from regard.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "anywidget", None)
    notebook._widget_class.cache_clear()
    with pytest.raises(MissingExtraError, match=r"regard\[notebook\]"):
        notebook.widget(cross)
