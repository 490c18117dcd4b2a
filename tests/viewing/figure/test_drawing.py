"""Figures: golden pictures with tolerance, and the facts a picture must hold."""

import os
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from regard.errors import InputError, SettingsError
from regard.viewing import AttentionRecord, MapSummary, Tokens, Track
from regard.viewing.colors import contrast, palette, shade, shade_text
from regard.viewing.data.explanation import Attribution, Explanation
from regard.viewing.figure import draw, drawing, history, plot_history, style, write

GOLDEN = Path(__file__).parent / "golden"


def coarse(path):
    """A picture as 12-pixel blocks: fonts may differ by a hair between versions, drawings may not."""
    grey = imread(path)[..., :3].mean(axis=-1)
    high, wide = (n // 12 * 12 for n in grey.shape)
    return grey[:high, :wide].reshape(high // 12, 12, wide // 12, 12).mean(axis=(1, 3))


def compare(drawn, name, tmp_path):
    path = write(drawn, tmp_path / f"{name}.png", dpi=72)
    golden = GOLDEN / f"{name}.png"
    if os.environ.get("REGARD_GOLDEN") == "write":
        golden.write_bytes(path.read_bytes())
    new, old = coarse(path), coarse(golden)
    high, wide = (min(pair) for pair in zip(new.shape, old.shape, strict=True))
    assert max(abs(a - b) for a, b in zip(new.shape, old.shape, strict=True)) <= 2
    assert np.abs(new[:high, :wide] - old[:high, :wide]).mean() < 0.02


@pytest.mark.parametrize("view", ["map", "heads", "alignment"])
def test_one_map(cross, view, tmp_path):
    compare(draw(cross, view=view), view, tmp_path)


def test_the_tokens_of_several_heads_stand_above_and_beside_them_all(cross):
    maps = [axes for axes in draw(cross, view="heads").axes if "head" in axes.get_xlabel()]
    above = [[label.get_text() for label in axes.get_xticklabels()] for axes in maps]
    beside = [[label.get_text() for label in axes.get_yticklabels()] for axes in maps]
    height = [axes.get_position().y0 for axes in maps]
    left = [axes.get_position().x0 for axes in maps]
    assert [axes.get_xlabel() for axes in maps] == ["head 1", "head 2", "head 3"]
    assert all(
        ("klettert" in labels) == (y == max(height))
        for labels, y in zip(above, height, strict=True)
    )
    assert all(
        ("climbs" in labels) == (x == min(left)) for labels, x in zip(beside, left, strict=True)
    )


def test_layers(layers, tmp_path):
    compare(draw(layers), "layers", tmp_path)


def test_highlight(pooling, tmp_path):
    compare(draw(pooling), "highlight", tmp_path)


def test_a_right_to_left_text_is_highlighted_from_right_to_left():
    words = ["הוא", "אמר", "hello", "בבית"]
    for text, mirrored in ((words, True), (words[::-1][1:], False)):
        record = AttentionRecord.of(np.full((1, len(text)), 0.2), ["reader"], text)
        drawn = [shown for shown in draw(record).texts if shown.get_text() in text]
        boxes = [shown.get_window_extent() for shown in drawn]
        assert [box.x0 for box in boxes] == sorted((box.x0 for box in boxes), reverse=mirrored)
        assert len(boxes) == len(text)


def test_a_history_of_one_epoch_marks_that_epoch():
    drawn = plot_history([{"epoch": 1, "train_loss": 2.0, "valid_loss": 1.5, "valid_bleu": 9.0}])
    for panel in drawn.axes:
        assert list(panel.get_xticks()) == [1]


def test_any_name_of_a_metric_can_be_drawn(tmp_path):
    drawn = plot_history([{"epoch": 1, "valid_$x^$": 1.0, "valid_北京": 2.0}])
    write(drawn, tmp_path / "x.png")


def test_history(tmp_path):
    entries = [
        {"epoch": e, "train_loss": 3 / e, "valid_loss": 2.5 / e + e / 9, "valid_bleu": 30 - 20 / e}
        for e in range(1, 9)
    ]
    compare(plot_history(entries, title="de-en"), "history", tmp_path)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_record_gives_the_same_bytes(cross, suffix, tmp_path):
    one, two = (cross.save(tmp_path / f"{n}.{suffix}").read_bytes() for n in "ab")
    assert one == two
    assert {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix] == one[
        : 5 - (suffix != "svg")
    ]


@pytest.mark.parametrize("view", ["map", "heads", "alignment"])
@pytest.mark.parametrize("scale", ["log", "row"])
def test_scales_and_single_heads(cross, view, scale, tmp_path):
    path = cross.save(tmp_path / "x.svg", view=view, scale=scale, heads=1)
    assert path.stat().st_size > 1000


def test_any_token_can_be_drawn(odd_tokens, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(
        drawing, "warn_of_boxes", lambda texts: list(texts)
    )  # fonts differ by machine
    n = len(odd_tokens)
    record = AttentionRecord.of(weights(1, n, n), odd_tokens, title="$\\frac{1} 日本 \x00")
    for view in ("map", "heads", "alignment"):
        record.save(tmp_path / "x.png", view=view)
    AttentionRecord.of(weights(1, 1, n), ["日本"], odd_tokens).save(tmp_path / "x.pdf")


@pytest.mark.parametrize("length", [5, 50, 500])
def test_labels_never_touch(length, weights):
    tokens = [f"token{i}" for i in range(length)]
    drawn = draw(AttentionRecord.of(weights(1, length, length), tokens))
    axes = drawn.axes[0]
    drawn.canvas.draw()
    for labels, side in ((axes.get_yticklabels(), 1), (axes.get_xticklabels(), 0)):
        boxes = [t.get_window_extent() for t in labels]
        spans = sorted((box.min[side], box.max[side]) for box in boxes)
        assert all(a[1] <= b[0] + 0.5 for a, b in pairwise(spans))
    assert drawn.get_figwidth() <= style.PAGE_WIDTH + 1


def test_a_large_summary(weights, tmp_path):
    tokens = Tokens.of([f"t{i}" for i in range(300)])
    track = Track("big", "self", "t", "t", MapSummary.of(weights(2, 300, 300), blocks=64))
    record = AttentionRecord({"t": tokens}, (track,))
    for view in ("map", "heads", "layers"):
        record.save(tmp_path / "x.png", view=view)
    with pytest.raises(InputError, match="summary"):
        record.save(tmp_path / "x.png", view="alignment")


def test_views_that_do_not_fit(cross, layers, tmp_path):
    with pytest.raises(SettingsError, match="did you mean 'heads'"):
        draw(cross, view="head")
    with pytest.raises(InputError, match="choose with"):
        draw(layers, view="map")
    with pytest.raises(InputError, match="needs one"):
        draw(cross, view="highlight")
    with pytest.raises(SettingsError, match="unknown scale"):
        draw(cross, scale="liner")  # type: ignore[arg-type]  # what a user might type
    with pytest.raises(InputError, match="cannot save"):
        write(draw(cross), tmp_path / "x.gif")


def test_shades_by_hand():
    weights = np.array([[0.5, 0.05], [0.1, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(shade(weights), np.array([[1, 0.1], [0.2, 0]]), rtol=1e-6)
    np.testing.assert_allclose(shade(weights, "row"), np.array([[1, 0.1], [1, 0]]), rtol=1e-6)
    expected: list[list[float]] = [[1, 0.75], [1 + float(np.log10(0.2)) / 4, 0]]
    np.testing.assert_allclose(shade(weights, "log"), expected, rtol=1e-6)
    assert not shade(np.zeros((2, 2), np.float32), "log").any()


def test_a_text_read_evenly_is_pale():
    even = shade_text(np.full(20, 0.05, dtype=np.float32))
    np.testing.assert_allclose(even, 0.25, rtol=1e-5)
    sharp = shade_text(np.array([0.9, 0.05, 0.05, 0, 0, 0], dtype=np.float32))
    np.testing.assert_allclose(sharp[:2], [1, 0.05 / 0.9], rtol=1e-5)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_palette_steps_evenly_and_its_text_can_be_read(theme):
    linear = np.where(
        (c := palette(theme) / 255) <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4
    )
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    lightness = np.cbrt(luminance)
    steps = np.diff(lightness) * (-1 if theme == "light" else 1)
    assert (steps > -2e-3).all()  # bytes round
    assert np.ptp(np.convolve(steps, np.ones(32) / 32, "valid")) < 0.25 * steps.mean() + 1e-3
    for color, light in zip(palette(theme), luminance, strict=True):
        text_luminance = 1.0 if contrast(color) == "#ffffff" else 0.0
        high, low = max(text_luminance, light), min(text_luminance, light)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_history_knows_its_words():
    found = history.curves_of(
        [
            {"step": 10, "loss": 3.0, "lr": 0.1, "valid/bleu": 4, "note": "x", "done": True},
            {"step": 20, "loss": float("nan"), "dev_loss": 2, "accuracy": 0.5, "epoch": 1},
        ]
    )
    assert found == {
        "loss": {"training": [(10, 3.0)], "validation": [(20, 2.0)]},
        "bleu": {"validation": [(10, 4.0)]},
        "accuracy": {"validation": [(20, 0.5)]},
    }
    with pytest.raises(InputError, match="train_loss"):
        plot_history([{"epoch": 1}])


@pytest.mark.parametrize("view", ["map", "heads", "alignment"])
def test_the_verdict_stands_below_every_picture(cross, view):
    sentence = "Read this with care: gradient x input finds more than twice as much. " * 3
    marked = replace(cross, verdict=sentence)
    plain, drawn = draw(cross, view=view), draw(marked, view=view)
    (added,) = drawn.texts[len(plain.texts) :]
    assert " ".join(added.get_text().split()) == sentence.strip()
    box, wide = added.get_window_extent(), max(drawn.get_figwidth(), 0.6 * style.PAGE_WIDTH)
    assert box.y1 <= 0  # below all else; saving takes it in
    assert box.width <= wide * drawn.dpi


@pytest.mark.parametrize("title", ["the film was long " * 60, "北京大学" * 100])
def test_a_title_that_is_a_whole_text_gets_three_lines_of_a_page(cross, title, monkeypatch):
    monkeypatch.setattr(drawing, "warn_of_boxes", lambda texts: list(texts))
    drawn = draw(replace(cross, title=title))
    wide = [text.get_window_extent().width / drawn.dpi for text in drawn.texts]
    assert len(wide) == 4  # and the facts
    assert max(wide) <= style.PAGE_WIDTH
    assert any(text.get_text().endswith("…") for text in drawn.texts)


def test_text_in_svg_is_text_with_fonts_to_fall_back_on(cross, tmp_path):
    content = cross.save(tmp_path / "x.svg", view="map").read_text(encoding="utf-8")
    assert re.search(r"font-family: 'DejaVu Sans'.*sans-serif.*>Mäd<", content)
    assert ">de → en<" in content


def planted(n):
    """One key for each query: what a picture must not lose."""
    tokens = [f"t{i}" for i in range(n)]
    return AttentionRecord.of(np.eye(n, dtype=np.float32)[::-1][None].repeat(2, 0), tokens)


@pytest.mark.parametrize("view", ["map", "heads"])
@pytest.mark.parametrize("n", [40, 300, 900])
def test_every_strong_weight_shows_however_many_tokens_there_are(view, n, tmp_path):
    drawn = draw(planted(n), view=view)
    path = write(drawn, tmp_path / "x.png", dpi=100)
    axes = drawn.axes[0]
    (cells,) = axes.images or axes.collections
    grid = np.asarray(cells.get_array())
    down, across = grid.shape
    box = 72 * np.multiply(axes.get_position().size, drawn.get_size_inches())
    assert min(box / np.array([across, down])) >= 1.4 or n <= 40  # points
    assert (grid.max(axis=0) == 1).all()
    dark = (imread(path)[..., :3].mean(axis=-1) < 0.4).any(axis=0)
    assert dark.sum() > 0.5 * 100 * axes.get_position().width * drawn.get_figwidth()


@pytest.mark.parametrize("view", ["map", "heads", "alignment", "layers"])
def test_a_view_in_axes_of_the_user_stays_in_them(cross, view):
    whole = Figure(figsize=(8, 4))
    left, right = whole.subplots(1, 2)
    right.plot([0, 1])
    assert draw(cross, view=view, ax=left) is whole
    whole.canvas.draw()
    place = left.get_window_extent()
    drawn = [axes.get_tightbbox() for axes in left.child_axes]
    assert drawn
    assert all(box.x1 <= place.x1 + 12 for box in drawn)
    assert all(box.y0 >= place.y0 - 30 for box in drawn)
    assert not left.texts  # no heading unless given
    assert len(whole.axes) == 2
    draw(cross, view=view, ax=right, title="Figure 1")
    assert any(text.get_text() == "Figure 1" for text in right.texts)


def test_a_text_too_long_for_its_axes_says_how_much_is_left_out():
    text = [f"token{i}" for i in range(300)]
    record = AttentionRecord.of(np.full((1, 300), 1 / 300), ["reader"], text)
    ax = Figure(figsize=(3, 2)).subplots()
    draw(record, ax=ax)
    *words, note = [shown.get_text() for shown in ax.texts]
    assert note == f"… {300 - len(words)} tokens more, for which the axes have no room"


@pytest.mark.parametrize("view", ["map", "heads", "layers", "alignment"])
@pytest.mark.parametrize("width", [3, 9])
def test_a_figure_takes_a_width_and_no_title(cross, view, width):
    drawn = draw(cross, view=view, width=width, title="")
    assert drawn.get_figwidth() == pytest.approx(width, abs=0.4)
    shown = {text.get_text() for text in drawn.texts}
    assert not {"de → en", "cross 1"} & shown
    assert not drawn.texts
    titled = draw(cross, view=view, title="Mine")
    assert "Mine" in {text.get_text() for text in titled.texts}
    with pytest.raises(SettingsError, match="width is 0"):
        draw(cross, width=0)
    with pytest.raises(SettingsError, match="together with ax"):
        draw(cross, width=3, ax=Figure().subplots())


def explained(values, **options):
    tokens = Tokens.of([f"w{i}" for i in range(len(values))])
    scores = (
        Attribution("n-grams", np.array(values), True, "what n-grams add"),
        Attribution("attention", np.full(len(values), 1 / len(values)), False, "shares"),
    )
    explanation = Explanation(tokens, "good", 0.9, scores, "In front are the n-grams.")
    record = AttentionRecord.of(np.full((1, len(values)), 1 / len(values)), ["reader"], tokens)
    return replace(record, explanation=explanation, **options)


def test_attributions_are_bars_of_every_method_on_scales_of_their_own():
    drawn = draw(explained([0.5, -2.0, np.nan, 0.1]))
    grams, attention = drawn.axes
    assert [text.get_text() for text in grams.get_yticklabels()] == ["w1", "w0", "w3", "w2"]
    widths = [patch.get_width() for patch in grams.patches if isinstance(patch, Rectangle)]
    np.testing.assert_allclose(widths, [-2.0, 0.5, 0.1, 0.0], rtol=1e-6)
    assert [text.get_text() for text in grams.texts] == ["−2.00", "+0.50", "+0.10", "not measured"]
    assert "full bar: 2.00" in grams.get_xlabel()
    # Four even shares are a full bar at least, so even attention is a row of short ones.
    assert attention.get_xlim()[1] == pytest.approx(1.25)
    assert "even share is 25.0%" in attention.get_xlabel()
    with pytest.raises(InputError, match="needs an explanation"):
        draw(explained([1.0, 2.0]).select(), view="attributions")
