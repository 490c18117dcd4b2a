import io
import re

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from regard.viewing import AttentionRecord, MapSummary, Tokens, Track, terminal
from regard.viewing.printable import percent, printable

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printed(record, *, width=80, color=None, encoding="utf-8", **options):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    console = Console(
        file=file,
        width=width,
        force_terminal=color is not None,
        color_system=color,
        legacy_windows=False,
    )
    terminal.show(record, console=console, **options)
    file.flush()
    return raw.getvalue().decode(encoding)


def test_a_map_by_hand():
    record = AttentionRecord.of(np.array([[1, 0], [0.25, 0.75]]), ["ja", "nein"], ["yes", "no"])
    lines = printed(record).splitlines()
    assert lines[0] == "cross 1 · 2 queries × 2 keys"
    assert [line.split()[0] for line in lines[4:6]] == ["ja", "nein"]
    assert "█" not in lines[5][:8]
    assert lines[4].endswith("→ yes 100")
    assert lines[5].endswith("→ no 75  yes 25")
    assert "strongest shade: 100.0%; an even share is 50.0%" in lines
    assert "░25" in lines[5]
    assert "▓75" in lines[5]


def test_keys_stand_above_their_columns(cross):
    lines = printed(cross).splitlines()
    row = next(i for i, line in enumerate(lines) if line.strip().startswith("<s>"))
    start = lines[row].index(">") + 2
    first = [line[start : start + 3].strip() for line in lines[3:row]]
    assert "".join(first) == "Ein"


@pytest.mark.parametrize("width", [20, 40, 80, 120])
@pytest.mark.parametrize("color", [None, "256", "truecolor"])
def test_no_line_is_wider_than_the_terminal(layers, pooling, odd_tokens, weights, width, color):
    n = len(odd_tokens)
    odd = AttentionRecord.of(weights(2, n, n), odd_tokens)
    long = AttentionRecord.of(
        weights(1, 200, 130), [f"q{i}" for i in range(200)], [f"k{i}" for i in range(130)]
    )
    for record in (layers, pooling, odd, long, odd.select()):
        text = printed(record, width=width, color=color)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert max(cell_len(line) for line in plain.splitlines()) <= width
        assert not CONTROL.search(plain)


def test_wide_and_combined_characters_line_up(weights):
    tokens = ["he", "日本", "e\u0301te\u0301", "👩\u200d👩\u200d👧", "שלום", "नमस्ते"]
    record = AttentionRecord.of(np.eye(6), tokens)
    rows = [line for line in printed(record).splitlines() if "→" in line]
    places = [cell_len(row[: row.index("█")]) for row in rows]
    assert np.diff(places).tolist() == [3] * 5  # the diagonal, one cell of three columns a row


def test_right_to_left_tokens_cannot_turn_a_line_round(weights):
    text = printed(AttentionRecord.of(weights(1, 2, 2), ["שלום", "a"]))
    for found in re.finditer(r"[\u0590-\u05ff]+", text):
        assert text[found.start() - 1] == text[found.end()] == "\u200e"


def test_pipes_and_no_color_get_no_escapes(cross, monkeypatch):
    assert "\x1b" not in printed(cross)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = printed(cross, color="truecolor")
    assert not re.search(r"\x1b\[[0-9;]*[34]8;", plain)
    assert "░" in plain  # shades instead


def test_colors_of_the_terminal(cross):
    for color, code in (("truecolor", "2"), ("256", "5"), ("truecolor", "2")):
        found = re.findall(r"[34]8;([25]);", printed(cross, color=color))
        assert set(found) == {code}  # in one process, whatever was printed before


def test_plain_ascii_where_nothing_else_can_be_printed(weights):
    record = AttentionRecord.of(weights(2, 3, 3), ["a", "b", "c"])
    text = printed(record, encoding="ascii")
    assert " > " in text
    assert "mean of 2 heads - 3 queries x 3 keys" in text


def test_pooling_is_shown_as_its_text(pooling):
    text = printed(pooling)
    assert "the film is slow but utterly wonderful ." in text
    assert re.search(r"wonderful  38\.0% █+", text)
    assert len(re.findall(r"▓{9}", text.splitlines()[3])) == 1  # under `wonderful`


def test_a_summary_is_shown_in_blocks(weights):
    tokens = Tokens.of([f"t{i}" for i in range(300)])
    record = AttentionRecord(
        {"t": tokens},
        (Track("big", "self", "t", "t", MapSummary.of(weights(2, 300, 300), blocks=128)),),
    )
    text = printed(record)
    assert "each cell: the largest weight" in text
    assert re.fullmatch(r" {18}1 +300", text.rstrip().splitlines()[-1])  # the ruler
    assert len(text.splitlines()) < 45


def test_overview_notes_and_verdict(layers):
    record = AttentionRecord(
        layers.tokens, layers.tracks, notes=("Merged.",), verdict="Do not trust it."
    )
    text = printed(record)
    assert "encoder 1" in text
    assert "encoder 2" in text
    assert text.rstrip().endswith("Do not trust it.")
    assert "cross 1 · mean of 2 heads" in text


@pytest.mark.parametrize("heads", ["max", 0])
@pytest.mark.parametrize("scale", ["log", "row"])
def test_heads_and_scales(cross, heads, scale):
    text = printed(cross, heads=heads, scale=scale)
    assert ("head 1" if heads == 0 else "max of 3 heads") in text


def test_percent_and_printable():
    assert [percent(w) for w in (1.0, 0.5, 0.014, 0.004, 0.0)] == ["100", "50", "1", "·", ""]
    assert printable("\x1b[2J") == "␛[2J"
    assert printable("a\u202eb") == "a<202e>b"
    assert printable("👩\u200d👧") == "👩\u200d👧"
    assert printable("\ud800") == "<d800>"
    assert printable("  ") == "␣␣"
    assert printable("") == "∅"
