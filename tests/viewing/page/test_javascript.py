"""The tests of the page's modules, run by Node; and the page against Python on the same records."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from regard.viewing import AttentionRecord, MapSummary, Tokens, Track, page
from regard.viewing.colors import contrast, palette, shade, shade_text
from regard.viewing.data.summary import entropy, topk
from regard.viewing.page.pack import _codes

HERE = Path(__file__).parent
OPTIONS = [
    {"hideSpecial": special, "words": words}
    for special, words in itertools.product((False, True), repeat=2)
]
AS_STORED = OPTIONS[:1]
WEIGHTS = np.array([0, 1e-9, 1.1e-8, 3e-7, 1e-4, 0.003, 0.1, 0.25, 0.5], dtype=np.float32)


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.test.js")))
def test_module(name, run_node, tmp_path, request):
    cases = {}
    if name == "agreement.test.js":
        cases["REGARD_CASES"] = str(tmp_path / "cases.json")
        (tmp_path / "cases.json").write_text(json.dumps(agreement(request)), encoding="utf-8")
    run_node(HERE / name, **cases)


def agreement(request):
    """What Python packs and computes, for `agreement.test.js`."""
    weights = request.getfixturevalue("weights")
    layers = request.getfixturevalue("layers")
    long = Tokens.of([f"t{i}" for i in range(600)], special=["t0", "t7"])
    quantized = AttentionRecord({"t": long}, (Track("a", "self", "t", "t", weights(3, 600, 600)),))
    spread = np.random.default_rng(3).random(500, dtype=np.float32) ** 12
    record_cases = {
        "float32": record_case(layers, ["mean", "max", 1], OPTIONS),
        "quantized": record_case(quantized, ["mean", 0], AS_STORED, k=32),
        "blocks": blocks_case(weights),
    }
    return {
        "weights": [float(x) for x in np.concatenate([WEIGHTS, spread])],
        "codes": _codes(np.concatenate([WEIGHTS, spread])).tolist(),
        "palettes": {theme: palette(theme).tobytes().hex() for theme in ("light", "dark")},
        "textColors": {t: [contrast(color) for color in palette(t)] for t in ("light", "dark")},
        "scales": [scale_case(np.concatenate([WEIGHTS, spread]), s) for s in ("linear", "log")],
        "records": record_cases,
    }


def scale_case(weights, scale):
    highest = float(weights.max())
    return {
        "scale": scale,
        "max": highest,
        "textMax": max(highest, min(1.0, 4 / weights.size)),
        "shades": shade(weights[None], scale)[0].tolist(),
        "textShades": shade_text(weights, scale).tolist(),
    }


def record_case(record, heads, options, k=1000):
    packed = page.pack(record)
    expected = []
    for (index, _), head, chosen in itertools.product(enumerate(record.tracks), heads, options):
        changed = record.words() if chosen["words"] else record
        changed = changed.without_special() if chosen["hideSpecial"] else changed
        track = changed.tracks[index]
        dense = track.dense(head)
        values, keys = topk(dense, min(k, dense.shape[1]))
        expected.append(
            {
                "layer": index,
                "head": head,
                "options": chosen,
                "rows": changed.queries(track).pieces,
                "columns": changed.keys(track).pieces,
                "dense": dense.ravel().tolist(),
                "entropy": entropy(dense).tolist(),
                "received": dense.sum(axis=0).tolist(),
                "top": [
                    [(int(j), float(w)) for j, w in zip(*row, strict=True) if w > 0]
                    for row in zip(keys, values, strict=True)
                ],
            }
        )
    return {"metadata": packed.metadata, "chunks": packed.chunks, "expected": expected}


def blocks_case(weights):
    """One head of a map that is stored as blocks: each cell is the mean of its block, but for the top."""
    dense = weights(2, 90, 90)
    summary = MapSummary.of(dense, blocks=30, k=8)
    tokens = Tokens.of([f"t{i}" for i in range(90)])
    packed = page.pack(AttentionRecord({"t": tokens}, (Track("b", "self", "t", "t", summary),)))
    expected = []
    for head in range(2):
        cells = np.kron(summary.mean[head], np.ones((3, 3)))
        values, keys = summary.top_values[head], summary.top_keys[head]
        np.put_along_axis(cells, keys, values, axis=1)
        expected.append(
            {
                "layer": 0,
                "head": head,
                "options": OPTIONS[-1],  # of no effect on blocks
                "rows": tokens.pieces,
                "columns": tokens.pieces,
                "dense": cells.ravel().tolist(),
                "entropy": summary.entropy[head].tolist(),
                "received": summary.received[head].tolist(),
                "top": [
                    [(int(j), float(w)) for j, w in zip(*row, strict=True)]
                    for row in zip(keys, values, strict=True)
                ],
            }
        )
    return {"metadata": packed.metadata, "chunks": packed.chunks, "expected": expected}
